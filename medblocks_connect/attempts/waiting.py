"""Waiting after a return: the time that a page waits for Medblocks, and when it reloads itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.utils import timezone

from medblocks_connect.models import PatientConnectionAttempt

MAX_WAIT: Final = timedelta(minutes=2)
"""How long after the return a page waits for Medblocks' word, before a mere claim is shown."""

RELOAD_SECONDS: Final = 5
"""How often a page that waits for Medblocks loads itself anew, at first."""

SLOW_RELOAD_SECONDS: Final = 15
"""How often it does so later: each time, a screen reader begins anew."""

USUAL_WAIT: Final = timedelta(minutes=1)
"""After this long a wait is told to be a long one, and the page looks less often."""

_Status = PatientConnectionAttempt.Status


def is_confirming(attempt: PatientConnectionAttempt) -> bool:
    """Return whether the patient is back and Medblocks has yet to say what came of it.

    A failure that only the return URL claims waits for a while, for Medblocks' last word: until
    then a page that says "failed" could turn into "connected".
    """
    if not attempt.is_in_workspace:  # nobody can ask about it
        return False
    if attempt.status in {_Status.STARTED, _Status.RETURNED}:
        return True
    if not attempt.unconfirmed or attempt.settled_at is not None or attempt.returned_at is None:
        return False
    return timezone.now() < attempt.returned_at + MAX_WAIT


def seconds_until_reload(attempt: PatientConnectionAttempt, *, stopped: bool) -> int:
    """Return in how many seconds the page of ``attempt`` loads itself anew; 0 for not at all."""
    came_back = attempt.returned_at
    if stopped or not is_confirming(attempt) or came_back is None:
        return 0
    # A page left open must not go on for ever.
    if timezone.now() - came_back >= MAX_WAIT:
        return 0
    return SLOW_RELOAD_SECONDS if is_long_wait(attempt) else RELOAD_SECONDS


def is_long_wait(attempt: PatientConnectionAttempt) -> bool:
    """Return whether the patient came back longer ago than an answer usually takes."""
    came_back = attempt.returned_at
    return came_back is not None and timezone.now() - came_back >= USUAL_WAIT
