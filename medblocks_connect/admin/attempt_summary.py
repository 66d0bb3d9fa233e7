"""The summary of an attempt for staff: one sentence, whose turn it is, what to tell the patient.

Pure: from the attempt, the patient's later attempts and the time. What a code means and whose turn
it is after it comes from :mod:`medblocks_connect.error_messages`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from medblocks_connect.admin.formatting import format_duration, time_taken
from medblocks_connect.attempts.queries import Standing
from medblocks_connect.error_messages import (
    PATIENTS_CHOICES,
    ErrorMessage,
    Turn,
    describe_error,
)
from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.models.attempt import was_never_led_away

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

Status = PatientConnectionAttempt.Status

_TURNS: Final[Mapping[Turn, StrPromise]] = {
    Turn.PATIENT: gettext_lazy("The patient"),
    Turn.HOSPITAL: gettext_lazy("The hospital's portal; a later try may work"),
    Turn.MEDBLOCKS: gettext_lazy("Medblocks; a later try may work"),
    Turn.DEVELOPERS: gettext_lazy("Your developers"),
    Turn.STAFF: gettext_lazy("You: read the description, then ask the patient to try again"),
}


@dataclass(frozen=True)
class AttemptSummary:
    """The part of an attempt's page that staff read first."""

    sentence: str
    turn: str
    meaning: str  # of the error code; "" without one
    tell_patient: str
    next_step: str


@dataclass(frozen=True)
class LaterAttempts:
    """The same patient's later attempts: how many, and the last."""

    count: int = 0
    last: PatientConnectionAttempt | None = None


@dataclass(frozen=True)
class _Known:
    """An attempt with what its sentences depend on beside its columns."""

    attempt: PatientConnectionAttempt
    now: datetime
    never_left: bool
    standing: Standing

    @property
    def is_kept(self) -> bool:
        """Whether the place was connected before this attempt, which did not, and still is."""
        is_kept = self.standing.is_connected and not self.standing.is_later
        return is_kept and self.attempt.status != Status.SUCCEEDED

    @property
    def may_be_anothers(self) -> bool:
        """Whether its connection stands, and another patient came back from its portal."""
        made_it = self.attempt.status == Status.SUCCEEDED and self.standing.is_connected
        return (
            made_it and not self.standing.is_later and self.attempt.another_patient_at is not None
        )

    @property
    def message(self) -> ErrorMessage:
        return describe_error(self.attempt.error, at_start=self.never_left)

    @property
    def is_over(self) -> bool:
        """Whether the session has ended, by the clock or by Medblocks' last word."""
        ends_at = self.attempt.expires_at
        lapsed = ends_at is not None and ends_at < self.now
        return lapsed or self.attempt.settled_at is not None

    @property
    def was_not_started(self) -> bool:
        """Whether nothing came of the start, which Medblocks has not refused either."""
        return self.never_left and self.attempt.status != Status.FAILED

    @property
    def never_came_back(self) -> bool:
        """Whether the outcome is settled, and the patient was led away and did not return."""
        attempt = self.attempt
        if attempt.returned_at is not None or not attempt.patient_session_id or self.never_left:
            return False
        return attempt.status == Status.SUCCEEDED or self.is_over


def summarize(
    attempt: PatientConnectionAttempt,
    later: LaterAttempts,
    now: datetime,
    *,
    standing: Standing | None = None,
    was_disconnected: bool = False,
    never_left: bool | None = None,
) -> AttemptSummary:
    """Summarize ``attempt``; ``was_disconnected``: the connection was ended on this site.

    ``standing`` is how the patient stands at its place now; without, the row decides. So does it
    without ``never_left``: nothing says that the patient left this site for it.
    """
    if never_left is None:
        never_left = was_never_led_away(attempt)
    standing = standing or Standing(attempt.is_connected)
    known = _Known(attempt, now, never_left=never_left, standing=standing)
    clauses = [
        _describe_outcome(known),
        *_list_doubts(known, was_disconnected=was_disconnected),
        _describe_later(known, later),
    ]
    is_ended = was_disconnected and not standing.is_connected
    is_closed = standing.is_later or is_ended or known.is_kept or not attempt.is_in_workspace
    return AttemptSummary(
        sentence="; ".join(filter(None, clauses)) + ".",
        turn=_turn_when_closed(known) if is_closed else _turn_when_open(known),
        meaning=str(known.message.meaning) if attempt.error else "",
        tell_patient=_words_for_patient(known),
        next_step=_("Nothing to do.") if is_closed else _next_step(known),
    )


def _describe_outcome(known: _Known) -> str:
    attempt = known.attempt
    facts = {"facility": attempt.facility, "duration": format_duration(time_taken(attempt))}
    return _choose_sentence(known) % facts


def _choose_sentence(known: _Known) -> str:
    attempt = known.attempt
    timed = time_taken(attempt) is not None
    status = attempt.shown_status
    if status == Status.FAILED:
        return _choose_failure_sentence(known, timed=timed)
    if status == Status.SUCCEEDED:
        return (
            _("Connected to %(facility)s after %(duration)s")
            if timed
            else _("Connected to %(facility)s")
        )
    if known.was_not_started and attempt.status != Status.CREATED and attempt.patient_session_id:
        return _("Chose %(facility)s; Medblocks' answer was lost, and nobody was led to the portal")
    if known.was_not_started:
        return _("Chose %(facility)s, but no session was opened")
    if status == Status.EXPIRED and attempt.returned_at is None:
        return _("Sent to the portal of %(facility)s and never came back")
    if status == Status.EXPIRED:
        return _("Came back from the portal of %(facility)s after %(duration)s without an outcome")
    if status == Status.RETURNED:
        return _("Back from the portal of %(facility)s after %(duration)s, not confirmed yet")
    if known.is_over:
        return _("Sent to the portal of %(facility)s and never came back; the time there is over")
    return _("At the portal of %(facility)s now")


def _choose_failure_sentence(known: _Known, *, timed: bool) -> str:
    if known.never_left:
        return _("Could not be started at %(facility)s: the patient never reached the portal")
    if not timed:
        return _("Failed at the portal of %(facility)s")
    if known.attempt.error in PATIENTS_CHOICES:
        return _("Denied at the portal of %(facility)s after %(duration)s")
    if known.attempt.error == "access_denied":
        return _("Refused by the portal of %(facility)s after %(duration)s")
    return _("Failed at the portal of %(facility)s after %(duration)s")


def _list_doubts(known: _Known, *, was_disconnected: bool) -> list[str]:
    attempt = known.attempt
    doubts = []
    if known.never_came_back and attempt.status in {Status.SUCCEEDED, Status.FAILED}:
        doubts.append(_("the patient never came back"))
    if not attempt.is_in_workspace:
        text = _("it is of the workspace %(workspace)s, which the API key does not open")
        doubts.append(text % {"workspace": attempt.workspace})
    if was_disconnected:
        doubts.append(_("it was disconnected on this site since"))
    elif attempt.lost_at is not None and attempt.status == Status.SUCCEEDED:
        doubts.append(_("access was lost since"))
    if attempt.another_patient_at is not None:
        doubts.append(
            _("another patient came back from its portal, so the link may have been passed on")
        )
    if known.standing.lacks_records and attempt.status == Status.SUCCEEDED:
        doubts.append(_("some of its records did not arrive"))
    if attempt.unconfirmed and attempt.status == Status.FAILED:
        doubts.append(_("only the return URL says so, Medblocks has not confirmed it"))
    if attempt.claim_disagrees and attempt.status == Status.SUCCEEDED:
        doubts.append(_("the return URL said that it failed, but Medblocks is believed"))
    elif attempt.claim_disagrees:
        doubts.append(_("the return URL said “connected”, but Medblocks is believed"))
    return doubts


def _describe_later(known: _Known, later: LaterAttempts) -> str:
    if known.standing.is_later:
        return _("a later try connected it")
    if known.is_kept:
        return _("the patient is connected there all the same, since before it")
    if known.standing.is_connected:
        return ""
    if later.last is None:
        return _("the patient has not tried again")
    facts = {
        "count": later.count,
        "facility": later.last.facility,
        "status": later.last.shown_status.label,
    }
    return (
        ngettext(
            "the patient has tried again once since, at %(facility)s (“%(status)s”)",
            "the patient has tried again %(count)d times since, "
            "last at %(facility)s (“%(status)s”)",
            later.count,
        )
        % facts
    )


def _turn_when_closed(known: _Known) -> str:
    if known.standing.is_later:
        return _("Nobody: a later try connected it")
    if known.is_kept:
        return _("Nobody: the patient is connected there")
    if not known.attempt.is_in_workspace:
        return _("Nobody: it is of another workspace")
    return _("Nobody: it was disconnected on this site")


def _turn_when_open(known: _Known) -> str:
    attempt = known.attempt
    if known.may_be_anothers:
        return _("You: the records may be another person's")
    if attempt.status == Status.SUCCEEDED:
        if known.standing.lacks_records:
            return _("Medblocks: it could not fetch all records")
        return _("Nobody") if known.standing.is_connected else _("The patient")
    if attempt.status == Status.FAILED:
        return str(_TURNS[known.message.turn])
    if attempt.status == Status.EXPIRED or known.was_not_started:
        return _("The patient")
    if attempt.status == Status.STARTED and not known.is_over:
        return _("The patient: they may be at the portal now")
    return _("Medblocks: it has yet to say what came of it")


def _words_for_patient(known: _Known) -> str:
    attempt = known.attempt
    status = attempt.shown_status
    if known.standing.lacks_records:
        return _("You are connected. Some records did not arrive. They may come later.")
    if known.standing.is_connected:
        return _("You are connected. Records can take a while to arrive.")
    if status == Status.SUCCEEDED:
        return _("The connection has ended. You can connect again in a minute.")
    if status == Status.FAILED:
        return known.message.text
    if known.was_not_started:
        return _("We could not open the hospital's portal. Please try again.")
    if status == Status.EXPIRED:
        return _("The sign-in was not finished in time. Please try again; it takes a few minutes.")
    if status == Status.STARTED and not known.is_over:
        return _("Please finish the sign-in at the hospital's portal.")
    return _("We are still checking with your hospital. Please look again in a few minutes.")


def _next_step(known: _Known) -> str:
    attempt = known.attempt
    if known.may_be_anothers:
        return _(
            "Ask the patient who signed in at the portal. If it was somebody else, have them "
            "disconnect it on their connections page, then connect again themselves."
        )
    if attempt.status == Status.SUCCEEDED:
        if known.standing.lacks_records:
            return _("Wait a day. If they still lack, send Medblocks' support the bundle below.")
        if known.standing.is_connected:
            return _("Nothing to do.")
        return _("Send them the link in the reconnect queue, unless they disconnected on purpose.")
    if attempt.status == Status.FAILED:
        return str(known.message.next_step)
    if known.was_not_started:
        return _("Ask them to try again. If it repeats, your developers should look at the log.")
    if attempt.status == Status.EXPIRED:
        return _("Ask what they saw at the portal, then ask them to try again.")
    if attempt.status == Status.STARTED and not known.is_over:
        return _("Wait until they are back, or until the session expires.")
    return _("Ask Medblocks again now; if nobody may, medblocks_reconcile does it by itself.")
