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
from medblocks_connect.error_messages import PATIENTS_CHOICES, Turn, describe_error
from medblocks_connect.models import PatientConnectionAttempt

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
    """The same patient's later attempts: how many, the last, and whether one connected this
    facility.
    """

    count: int = 0
    last: PatientConnectionAttempt | None = None
    is_connected: bool = False


def summarize(
    attempt: PatientConnectionAttempt,
    later: LaterAttempts,
    now: datetime,
    *,
    was_disconnected: bool = False,
) -> AttemptSummary:
    """Summarize ``attempt``; ``was_disconnected``: the connection was ended on this site."""
    clauses = [
        _describe_outcome(attempt, now),
        *_list_doubts(attempt, was_disconnected=was_disconnected),
        _describe_later(attempt, later),
    ]
    is_closed = later.is_connected or was_disconnected or not attempt.is_in_workspace
    return AttemptSummary(
        sentence="; ".join(filter(None, clauses)) + ".",
        turn=_turn_when_closed(attempt, later) if is_closed else _turn_when_open(attempt, now),
        meaning=str(describe_error(attempt.error).meaning) if attempt.error else "",
        tell_patient=_words_for_patient(attempt, now, is_regained=later.is_connected),
        next_step=_("Nothing to do.") if is_closed else _next_step(attempt, now),
    )


def _describe_outcome(attempt: PatientConnectionAttempt, now: datetime) -> str:
    facts = {"facility": attempt.facility, "duration": format_duration(time_taken(attempt))}
    return _choose_sentence(attempt, now) % facts


def _choose_sentence(attempt: PatientConnectionAttempt, now: datetime) -> str:
    timed = time_taken(attempt) is not None
    status = attempt.shown_status
    if status == Status.FAILED:
        return _choose_failure_sentence(attempt, timed=timed)
    if status == Status.SUCCEEDED:
        return (
            _("Connected to %(facility)s after %(duration)s")
            if timed
            else _("Connected to %(facility)s")
        )
    if attempt.status == Status.CREATED:
        return _("Chose %(facility)s, but no session was opened")
    if status == Status.EXPIRED and attempt.returned_at is None:
        return _("Sent to the portal of %(facility)s and never came back")
    if status == Status.EXPIRED:
        return _("Came back from the portal of %(facility)s after %(duration)s without an outcome")
    if status == Status.RETURNED:
        return _("Back from the portal of %(facility)s after %(duration)s, not confirmed yet")
    if _is_over(attempt, now):
        return _("Sent to the portal of %(facility)s; the time there is over")
    return _("At the portal of %(facility)s now")


def _choose_failure_sentence(attempt: PatientConnectionAttempt, *, timed: bool) -> str:
    if not attempt.patient_session_id and attempt.returned_at is None:
        return _("Could not be started at %(facility)s: the patient never reached the portal")
    if not timed:
        return _("Failed at the portal of %(facility)s")
    if attempt.error in PATIENTS_CHOICES:
        return _("Denied at the portal of %(facility)s after %(duration)s")
    if attempt.error == "access_denied":
        return _("Refused by the portal of %(facility)s after %(duration)s")
    return _("Failed at the portal of %(facility)s after %(duration)s")


def _list_doubts(attempt: PatientConnectionAttempt, *, was_disconnected: bool) -> list[str]:
    doubts = []
    if not attempt.is_in_workspace:
        text = _("it is of the workspace %(workspace)s, which the API key does not open")
        doubts.append(text % {"workspace": attempt.workspace})
    if was_disconnected:
        doubts.append(_("it was disconnected on this site since"))
    elif attempt.lost_at is not None and attempt.status == Status.SUCCEEDED:
        doubts.append(_("access was lost since"))
    if attempt.unconfirmed and attempt.status == Status.FAILED:
        doubts.append(_("only the return URL says so, Medblocks has not confirmed it"))
    if attempt.claim_disagrees and attempt.status == Status.SUCCEEDED:
        doubts.append(_("the return URL said that it failed, but Medblocks is believed"))
    elif attempt.claim_disagrees:
        doubts.append(_("the return URL said “connected”, but Medblocks is believed"))
    return doubts


def _describe_later(attempt: PatientConnectionAttempt, later: LaterAttempts) -> str:
    if attempt.is_connected:
        return ""
    if later.is_connected:
        return _("a later try connected it")
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


def _is_over(attempt: PatientConnectionAttempt, now: datetime) -> bool:
    return attempt.expires_at is not None and attempt.expires_at < now


def _turn_when_closed(attempt: PatientConnectionAttempt, later: LaterAttempts) -> str:
    if later.is_connected:
        return _("Nobody: a later try connected it")
    if not attempt.is_in_workspace:
        return _("Nobody: it is of another workspace")
    return _("Nobody: it was disconnected on this site")


def _turn_when_open(attempt: PatientConnectionAttempt, now: datetime) -> str:
    if attempt.status == Status.SUCCEEDED:
        return _("Nobody") if attempt.lost_at is None else _("The patient")
    if attempt.status == Status.FAILED:
        return str(_TURNS[describe_error(attempt.error).turn])
    if attempt.status in {Status.EXPIRED, Status.CREATED}:
        return _("The patient")
    if attempt.status == Status.STARTED and not _is_over(attempt, now):
        return _("The patient: they may be at the portal now")
    return _("Medblocks: it has yet to say what came of it")


def _words_for_patient(
    attempt: PatientConnectionAttempt, now: datetime, *, is_regained: bool
) -> str:
    status = attempt.shown_status
    if is_regained or attempt.is_connected:
        return _("You are connected. Records can take a while to arrive.")
    if status == Status.SUCCEEDED:
        return _("The connection has ended. You can connect again in a minute.")
    if status == Status.FAILED:
        message = describe_error(attempt.error)
        return f"{message.what_happened} {message.what_to_do}"
    if status == Status.EXPIRED:
        return _("The sign-in was not finished in time. Please try again; it takes a few minutes.")
    if status == Status.STARTED and not _is_over(attempt, now):
        return _("Please finish the sign-in at the hospital's portal.")
    if status == Status.CREATED:
        return _("We could not open the hospital's portal. Please try again.")
    return _("We are still checking with your hospital. Please look again in a few minutes.")


def _next_step(attempt: PatientConnectionAttempt, now: datetime) -> str:
    if attempt.status == Status.SUCCEEDED:
        if attempt.lost_at is None:
            return _("Nothing to do.")
        return _("Send them the link in the reconnect queue, unless they disconnected on purpose.")
    if attempt.status == Status.FAILED:
        return str(describe_error(attempt.error).next_step)
    if attempt.status == Status.EXPIRED:
        return _("Ask what they saw at the portal, then ask them to try again.")
    if attempt.status == Status.STARTED and not _is_over(attempt, now):
        return _("Wait until they are back, or until the session expires.")
    if attempt.status == Status.CREATED:
        return _("Ask them to try again. If it repeats, your developers should look at the log.")
    return _("Ask Medblocks again now; if nobody may, medblocks_reconcile does it by itself.")
