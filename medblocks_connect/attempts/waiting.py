"""When an attempt's page looks again, and when it offers another way than a retry."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.utils import timezone

from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.models.attempt import LOOK_FOR

LOOK_EVERY_SECONDS: Final = 5
"""How often a page that waits for Medblocks loads itself anew, at first."""

LOOK_THEN_EVERY_SECONDS: Final = 15
"""How often it does so later: each time, a screen reader begins anew."""

USUAL_WAIT: Final = timedelta(minutes=1)
"""After this long a wait is told to be a long one, and the page looks less often."""

_CANCELLED: Final = "user_denied"
_RECENT: Final = timedelta(days=30)
_STATUS = PatientConnectionAttempt.Status


def has_failed_twice(attempt: PatientConnectionAttempt) -> bool:
    """Whether this failure is not the first of this patient at this facility in the last 30 days.

    A success in between begins anew; the patient's own "no" is no failure.
    """
    if not _is_failure(attempt):
        return False
    earlier = PatientConnectionAttempt.objects.filter(
        patient_id=attempt.patient_id,
        connection_id=attempt.connection_id,
        created_at__gte=attempt.created_at - _RECENT,
        id__lt=attempt.pk,
        status__in=(_STATUS.FAILED, _STATUS.EXPIRED, _STATUS.SUCCEEDED),
    ).exclude(error=_CANCELLED)
    latest = earlier.order_by("-id").first()
    return latest is not None and _is_failure(latest)


def seconds_until_next_look(attempt: PatientConnectionAttempt, *, stopped: bool) -> int:
    """Return in how many seconds the page of ``attempt`` loads itself anew; 0 for not at all."""
    came_back = attempt.returned_at
    if stopped or not attempt.is_confirming or came_back is None:
        return 0
    # A page left open must not go on for ever.
    if timezone.now() - came_back >= LOOK_FOR:
        return 0
    return LOOK_THEN_EVERY_SECONDS if is_long_wait(attempt) else LOOK_EVERY_SECONDS


def is_long_wait(attempt: PatientConnectionAttempt) -> bool:
    """Whether the patient of ``attempt`` came back longer ago than an answer usually takes."""
    came_back = attempt.returned_at
    return came_back is not None and timezone.now() - came_back >= USUAL_WAIT


def _is_failure(attempt: PatientConnectionAttempt) -> bool:
    if attempt.error == _CANCELLED:
        return False
    return attempt.status in {_STATUS.FAILED, _STATUS.EXPIRED}
