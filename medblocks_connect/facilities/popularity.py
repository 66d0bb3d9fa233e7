"""Popularity: how many of this site's patients chose each facility lately, and nothing of who."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from django.db.models import Count
from django.utils import timezone

from medblocks_connect.cache import build_key, cache
from medblocks_connect.models import PatientConnectionAttempt

LATELY: Final = timedelta(days=90)
_MOST_FACILITIES: Final = 200
_COUNTS_SECONDS: Final = 10 * 60


def count_chosen() -> Mapping[str, int]:
    """Return how many patients chose each facility lately, by its id, the most chosen first."""
    key = build_key("patients-by-facility")
    counts: dict[str, int] | None = cache.get(key)
    if counts is None:
        since = timezone.now() - LATELY
        lately = PatientConnectionAttempt.objects.in_workspace().filter(created_at__gt=since)
        patients = Count("patient_id", distinct=True)
        rows = lately.exclude(connection_id="").values_list("connection_id").order_by()
        chosen = rows.annotate(patients=patients).order_by("-patients", "connection_id")
        counts = dict(chosen[:_MOST_FACILITIES])
        cache.set(key, counts, _COUNTS_SECONDS)
    return counts
