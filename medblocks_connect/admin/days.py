"""Where a day begins here, as the host's database takes it."""

from __future__ import annotations

from datetime import date, datetime, time

from django.utils import timezone


def start_of(day: date) -> datetime:
    """Return the first moment of ``day``: aware under ``USE_TZ``, else naive."""
    midnight = datetime.combine(day, time.min)
    return midnight if timezone.is_naive(timezone.now()) else timezone.make_aware(midnight)


def today() -> date:
    """Return which day it is here."""
    now = timezone.now()
    return now.date() if timezone.is_naive(now) else timezone.localdate(now)
