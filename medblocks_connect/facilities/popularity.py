"""Popularity: how many patients got through at each facility lately, and nothing of who."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from django.db.models import Count
from django.utils import timezone

from medblocks_connect.cache import build_key, cache
from medblocks_connect.models import PatientConnection

LATELY: Final = timedelta(days=90)
_MOST_FACILITIES: Final = 200
_COUNTS_SECONDS: Final = 10 * 60


def count_connected() -> Mapping[str, int]:
    """Return how many patients connected each facility lately, by its place, the most first."""
    key = build_key("patients-by-facility")
    counts: dict[str, int] | None = cache.get(key)
    if counts is None:
        since = timezone.now() - LATELY
        lately = PatientConnection.objects.in_workspace().filter(since__gt=since)
        rows = lately.values_list("place_id").order_by().annotate(patients=Count("pk"))
        counts = dict(rows.order_by("-patients", "place_id")[:_MOST_FACILITIES])
        cache.set(key, counts, _COUNTS_SECONDS)
    return counts
