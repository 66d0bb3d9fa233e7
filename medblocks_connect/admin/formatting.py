"""The format of each value that staff see of an attempt: escaped, bounded, and in words.

What came from outside is text of any kind: it stands in a ``<bdi>`` (right-to-left text must not
reorder what is around it) and is cut to what a reader takes in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from django.utils import formats, timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from medblocks_connect.admin.links import attempt_list_url, patient_url
from medblocks_connect.error_messages import (
    PATIENTS_CHOICES,
    describe_error,
    name_record_system,
)
from medblocks_connect.models import PatientConnection, PatientConnectionAttempt
from medblocks_connect.models.attempt import Led, was_never_led_away

Status = PatientConnectionAttempt.Status

SHORT: Final = 80
"""Characters of a description in a list."""

NOTHING: Final = "\u2013"

LONG: Final = 2000
"""Characters of a description on a page: what the return view keeps of one."""

WHOLE: Final = 20_000
"""Characters of a description on its attempt's own page, however its row came to be."""

TONES: Final[Mapping[str, str]] = {
    Status.CREATED: "quiet",
    Status.STARTED: "open",
    Status.RETURNED: "open",
    Status.EXPIRED: "warn",
    Status.FAILED: "bad",
    Status.SUCCEEDED: "good",
}


_DOTTED_PART: Final = re.compile(r"[^._]*[._]|[^._]+")


def show_status(attempt: PatientConnectionAttempt) -> SafeString:
    """Show the status as a word in its colour, with notes where it does not say all."""
    status = attempt.shown_status
    lost = status == Status.SUCCEEDED and attempt.lost_at is not None
    notes = [
        note
        for note, holds in (
            (_("access lost later"), lost),
            # "Back, not confirmed" says it already.
            (_("claimed, not confirmed"), attempt.unconfirmed and status != Status.RETURNED),
            (_("claim and fact disagree"), attempt.claim_disagrees),
            (_("workspace %s") % attempt.workspace, not attempt.is_in_workspace),
        )
        if holds
    ]
    is_held_here = attempt.is_connected or status != Status.SUCCEEDED
    tone = choose_tone(status, attempt.error, at_start=was_never_led_away(attempt))
    badge = show_badge(str(status.label), tone if is_held_here else "warn")
    if not notes:
        return badge
    return format_html('{} <span class="medblocks-note">{}</span>', badge, ", ".join(notes))


def choose_tone(status: str, error: str, *, at_start: bool) -> str:
    """Return the tone of a status; the patient's own "no" is nobody's failure."""
    if status == Status.FAILED and error in PATIENTS_CHOICES and not at_start:
        return "quiet"
    return TONES.get(status, "quiet")


def show_timed_status(attempt: PatientConnectionAttempt) -> SafeString:
    """Show the status, and how long the attempt took."""
    taken = time_taken(attempt)
    if taken is None:
        return show_status(attempt)
    note = _("after %s") % format_duration(taken)
    return format_html('{} <span class="medblocks-note">{}</span>', show_status(attempt), note)


def show_nothing() -> SafeString:
    """Show a dash for an empty value; the style sheet hides it where a line is a card."""
    return format_html('<span class="medblocks-nothing">{}</span>', NOTHING)


def show_badge(word: str, tone: str) -> SafeString:
    """Show ``word`` in the colour of ``tone``: good, bad, warn, open or quiet."""
    return format_html('<span class="medblocks-badge medblocks-{}">{}</span>', tone, word)


def show_error(error: str, *, at_start: bool = False) -> SafeString:
    """Show the code and its meaning in plain words; ``at_start``: it ended the start."""
    if not error:
        return show_nothing()
    return format_html(
        '<code class="medblocks-code"><bdi>{}</bdi></code> <span class="medblocks-note">{}</span>',
        error,
        describe_error(error, at_start=at_start).meaning,
    )


def show_failure(error: str, description: str, *, at_start: bool = False) -> SafeString:
    """Show the code, its meaning, and the beginning of the description."""
    shown = show_error(error, at_start=at_start)
    if not description:
        return shown
    words = show_external_text(description)
    return format_html('{} <span class="medblocks-said">{}</span>', shown, words)


def show_external_text(text: str, length: int = SHORT) -> SafeString:
    """Show text from outside, cut to ``length`` characters."""
    if not text:
        return show_nothing()
    return format_html("<bdi>{}</bdi>", shorten(text, length))


def show_dotted(text: str) -> SafeString:
    """Show a word of several parts, such as an event's type, so that it breaks between these."""
    parts = _DOTTED_PART.findall(shorten(text, SHORT))
    return format_html(
        "<bdi>{}</bdi>", format_html_join("", "{}<wbr>", ((part,) for part in parts))
    )


def show_whole(text: str) -> SafeString:
    """Show text from outside whole, as far as any screen goes."""
    shown = show_external_text(text, WHOLE)
    if len(text) <= WHOLE:
        return shown
    left_out = _("%d characters left out") % (len(text) - WHOLE + 1)
    return format_html('{} <span class="medblocks-note">{}</span>', shown, left_out)


def shorten(text: str, length: int) -> str:
    """Return at most ``length`` characters of ``text``, the last an ellipsis if it was cut."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "\u2026"


def link_patient(attempt: PatientConnectionAttempt) -> SafeString:
    """Show the patient's id, as the way to their history."""
    if not attempt.patient_id:
        return show_nothing()
    return format_html(
        '<a href="{}" title="{}"><bdi>{}</bdi></a>',
        patient_url(attempt.pk),
        _("This patient's whole history"),
        shorten(attempt.patient_id, SHORT),
    )


def show_actor(actor: str) -> SafeString:
    """Show who acted for the patient, as a note; nothing where it was the patient."""
    if not actor:
        return SafeString("")
    who = format_html("<bdi>{}</bdi>", shorten(actor, SHORT))
    by_whom = format_html(_("by {actor}"), actor=who)
    return format_html('<span class="medblocks-note">{}</span>', by_whom)


def link_facility(attempt: PatientConnectionAttempt | PatientConnection) -> SafeString:
    """Show the facility, as the way to its other attempts, and its kind of record system."""
    name = format_html("<bdi>{}</bdi>", shorten(attempt.facility, SHORT))
    if attempt.place_id:
        name = format_html(
            '<a href="{}" title="{}">{}</a>',
            attempt_list_url(place_id__exact=attempt.place_id),
            _("All attempts at this facility"),
            name,
        )
    if not attempt.connection_type:
        return name
    kind = shorten(name_record_system(attempt.connection_type), SHORT)
    return format_html('{} <span class="medblocks-note"><bdi>{}</bdi></span>', name, kind)


def show_yes_or_no(value: bool) -> SafeString:  # noqa: FBT001 - the value that is shown
    """Show ``value`` in a word: Django's icon for False is a red cross, also where No is well."""
    return format_html("{}", _("Yes") if value else _("No"))


def show_count(number: int, unit: object) -> SafeString:
    """Show a number; where the screen is too narrow for headings, with what it counts."""
    return format_html('{} <span class="medblocks-narrow">{}</span>', number, unit)


def show_copyable(text: str) -> SafeString:
    """Show an id with a button that copies it; without scripts, a click selects it whole."""
    if not text:
        return show_nothing()
    return format_html(
        '<span class="medblocks-copyable"><code class="medblocks-code">{}</code>'
        '<button type="button" class="medblocks-copy" data-medblocks-copy="{}" '
        'data-medblocks-copied="{}" hidden>{}</button></span>',
        text,
        text,
        _("Copied"),
        _("Copy"),
    )


def format_time(moment: datetime) -> str:
    """Return ``moment`` as Django's admin writes times here."""
    local = moment if timezone.is_naive(moment) else timezone.localtime(moment)
    return formats.date_format(local, "DATETIME_FORMAT")


class Timed(Led, Protocol):
    """An attempt, or a row with the columns that say how long it took."""

    created_at: Any
    finished_at: Any


def time_taken(attempt: Timed) -> timedelta | None:
    """Return how long the attempt took, to the patient's return or else to its end.

    None where the patient never reached the portal: there was nothing to take time.
    """
    if was_never_led_away(attempt):
        return None
    end = attempt.returned_at or attempt.finished_at
    return max(end - attempt.created_at, timedelta(0)) if end else None


def show_duration(attempt: PatientConnectionAttempt) -> SafeString:
    """Show how long the attempt took."""
    taken = time_taken(attempt)
    return show_nothing() if taken is None else format_html("{}", format_duration(taken))


def format_duration(duration: timedelta | None) -> str:
    """Return ``duration`` in the one unit that people would say it in."""
    if duration is None:
        return NOTHING
    seconds = int(duration.total_seconds())
    if seconds < 90:  # "80 seconds" is said, "100 seconds" is not
        return ngettext("%d second", "%d seconds", seconds) % seconds
    minutes = round(seconds / 60)
    if minutes < 90:
        return ngettext("%d minute", "%d minutes", minutes) % minutes
    hours = round(seconds / 3600)
    if hours < 48:
        return ngettext("%d hour", "%d hours", hours) % hours
    days = round(seconds / 86400)
    return ngettext("%d day", "%d days", days) % days
