"""When the demo's history happened: over the last 30 days, where it really took half a minute.

The only place of the demo that changes rows of the app, and times are all it changes: what came
of each attempt stays as the real pages made it.
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

# Whoever is on the way now is on the way today.
_STAY: Final = {Status.CREATED, Status.STARTED, Status.RETURNED}
_HELD: Final = timedelta(days=6)
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
    made = PatientConnectionAttempt.objects.filter(pk__in=list(keys))
    ended = list(made.exclude(status__in=_STAY).order_by("pk"))
    for place, attempt in enumerate(ended):
        back = timedelta(days=DAYS - 1) * (len(ended) - place) / len(ended)
        day = timezone.localtime(now - back)
        start = min(day.replace(hour=9 + place * 5 % 9, minute=place * 7 % 60), now - back / 2)
        clock = _Clock(attempt, start, _minutes_taken(attempt, place))
        # What was lost was held for some days, and lost before now.
        lost_at = start + min(_HELD, (now - start) / 2) if attempt.lost_at else None
        _date_attempt(attempt, clock, lost_at)
    return len(ended)


@dataclass(frozen=True)
class _Clock:
    """Turns a real moment of an attempt into the one that is told."""

    attempt: PatientConnectionAttempt
    start: datetime
    taken: timedelta

    def told(self, moment: datetime | None) -> datetime | None:
        if moment is None:
            return None
        end = self.attempt.returned_at or self.attempt.finished_at or self.attempt.created_at
        really = max(end - self.attempt.created_at, timedelta(milliseconds=1))
        part = max(moment - self.attempt.created_at, timedelta(0)) / really
        # What came after the end (a webhook, a second look) came at once.
        return self.start + self.taken * min(part, 1.2)


def _minutes_taken(attempt: PatientConnectionAttempt, place: int) -> timedelta:
    if attempt.status == Status.EXPIRED:
        return timedelta(minutes=35)
    reached_portal = attempt.patient_session_id is not None
    return timedelta(minutes=2 + place * 3 % 7) if reached_portal else timedelta(seconds=1)


def _date_attempt(
    attempt: PatientConnectionAttempt, clock: _Clock, lost_at: datetime | None
) -> None:
    for event in attempt.events.all():
        at_loss = lost_at if event.kind == AttemptEvent.Kind.LOST else None
        _move(event, ("occurred_at", "created_at"), clock, at_loss)
    for delivery in attempt.deliveries.all():
        at_loss = lost_at if delivery.event_type == "connection.token_refresh_failed" else None
        _move(delivery, ("occurred_at", "received_at", "processed_at"), clock, at_loss)
    times: dict[str, Any] = {name: clock.told(getattr(attempt, name)) for name in _ATTEMPT_TIMES}
    if attempt.expires_at:
        times["expires_at"] = clock.start + timedelta(minutes=30)
    rows = PatientConnectionAttempt.objects.filter(pk=attempt.pk)
    rows.update(created_at=clock.start, lost_at=lost_at, **times)


def _move(row: Model, names: Iterable[str], clock: _Clock, at_loss: datetime | None) -> None:
    moments = {name: getattr(row, name) for name in names}
    told = {name: at_loss or clock.told(moment) for name, moment in moments.items() if moment}
    for name, moment in told.items():
        setattr(row, name, moment)
    row.save(update_fields=list(told))
