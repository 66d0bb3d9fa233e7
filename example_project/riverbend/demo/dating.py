"""Dates the demo's history, made in half a minute, back over the last 30 days.

The only place of the demo that changes rows of the app, and it changes times alone: the outcome of
each attempt stays as the real pages made it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Model
from django.utils import timezone

from medblocks_connect.models import AttemptEvent, PatientConnectionAttempt

DAYS: Final = 30

Status = PatientConnectionAttempt.Status

# A patient who is at the portal now left today.
_ONGOING: Final = {Status.CREATED, Status.STARTED, Status.RETURNED}
_LONGEST_ACCESS: Final = timedelta(days=6)
_ATTEMPT_TIMES: Final = (
    "returned_at",
    "failure_at",
    "finished_at",
    "asked_at",
    "answered_at",
    "settled_at",
)


def date_back(keys: Iterable[int], now: datetime) -> int:
    """Spread the attempts ``keys`` that have ended over the :data:`DAYS` before ``now``.

    Return how many these are.
    """
    attempts = PatientConnectionAttempt.objects.filter(pk__in=list(keys))
    ended = list(attempts.exclude(status__in=_ONGOING).order_by("pk"))
    for index, attempt in enumerate(ended):
        back = timedelta(days=DAYS - 1) * (len(ended) - index) / len(ended)
        day = timezone.localtime(now - back)
        start = min(day.replace(hour=9 + index * 5 % 9, minute=index * 7 % 60), now - back / 2)
        clock = _Clock(attempt, start, _duration(attempt, index))
        # Access that was lost had been held for some days.
        lost_at = start + min(_LONGEST_ACCESS, (now - start) / 2) if attempt.lost_at else None
        _date_attempt(attempt, clock, lost_at)
    return len(ended)


@dataclass(frozen=True)
class _Clock:
    """Converts the real moments of an attempt into those of its new day."""

    attempt: PatientConnectionAttempt
    start: datetime
    duration: timedelta

    def convert(self, moment: datetime | None) -> datetime | None:
        if moment is None:
            return None
        end = self.attempt.returned_at or self.attempt.finished_at or self.attempt.created_at
        real_duration = max(end - self.attempt.created_at, timedelta(milliseconds=1))
        fraction = max(moment - self.attempt.created_at, timedelta(0)) / real_duration
        # What came after the end (a webhook, a second look) came at once.
        return self.start + self.duration * min(fraction, 1.2)


def _duration(attempt: PatientConnectionAttempt, index: int) -> timedelta:
    if attempt.status == Status.EXPIRED:
        return timedelta(minutes=35)
    reached_portal = attempt.patient_session_id is not None
    return timedelta(minutes=2 + index * 3 % 7) if reached_portal else timedelta(seconds=1)


def _date_attempt(
    attempt: PatientConnectionAttempt, clock: _Clock, lost_at: datetime | None
) -> None:
    for event in attempt.events.all():
        at_loss = lost_at if event.kind == AttemptEvent.Kind.LOST else None
        _date_row(event, ("occurred_at", "created_at"), clock, at_loss)
    for delivery in attempt.deliveries.all():
        at_loss = lost_at if delivery.event_type == "connection.token_refresh_failed" else None
        _date_row(delivery, ("occurred_at", "received_at", "processed_at"), clock, at_loss)
    times: dict[str, Any] = {name: clock.convert(getattr(attempt, name)) for name in _ATTEMPT_TIMES}
    if attempt.expires_at:
        times["expires_at"] = clock.start + timedelta(minutes=30)
    rows = PatientConnectionAttempt.objects.filter(pk=attempt.pk)
    rows.update(created_at=clock.start, lost_at=lost_at, **times)


def _date_row(row: Model, names: Iterable[str], clock: _Clock, at_loss: datetime | None) -> None:
    moments = {name: getattr(row, name) for name in names}
    dated = {name: at_loss or clock.convert(moment) for name, moment in moments.items() if moment}
    for name, moment in dated.items():
        setattr(row, name, moment)
    row.save(update_fields=list(dated))
