"""Time zones: Medblocks' times are aware, in UTC; the host stores them as its ``USE_TZ`` says."""

from __future__ import annotations

from datetime import datetime, timezone

from django.conf import settings
from django.utils import timezone as django_timezone

# MariaDB's DATETIME begins in the year 1000, Python's arithmetic ends with 9999: a time outside
# these years is a fault of its sender, and no reason to fail.
_FIRST_YEAR, _LAST_YEAR = 1970, 9000


def to_stored_time(moment: datetime | None) -> datetime | None:
    """Return ``moment`` as the host's database takes it, or None where it makes no sense."""
    if moment is None or not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        return None
    if settings.USE_TZ:
        return to_utc(moment)
    return django_timezone.make_naive(moment) if moment.tzinfo else moment


def to_utc(moment: datetime) -> datetime:
    """Return ``moment`` in UTC; a naive one is in the host's own time zone."""
    if django_timezone.is_naive(moment):
        moment = django_timezone.make_aware(moment)
    return moment.astimezone(timezone.utc)
