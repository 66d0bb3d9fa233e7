"""Facilities in Django's cache: those that are known, by every name they are asked for by, and the
ids that Medblocks could not answer for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from medblocks_connect.api import FhirSource
from medblocks_connect.cache import build_key, cache

FACILITY_SECONDS: Final = 24 * 60 * 60
"""A facility that was shown may be chosen much later, from a tab that stayed open."""

_FAILED_LOOKUP_SECONDS: Final = 5 * 60
_FACILITY: Final = "facility"
_FAILED_LOOKUP: Final = "failed-lookup"


def cache_facilities(facilities: Iterable[FhirSource]) -> None:
    """Keep facilities by their ids and by their FHIR base URLs."""
    by_key = {}
    for facility in facilities:
        by_key[build_key(_FACILITY, facility.id)] = facility
        if facility.fhir_base_url:
            by_key[build_key(_FACILITY, facility.fhir_base_url)] = facility
    cache.set_many(by_key, FACILITY_SECONDS)


def get_cached_facilities(connection_ids: Iterable[str]) -> dict[str, FhirSource]:
    """Return the facilities that are kept, by the ids or FHIR base URLs asked for."""
    return _get_all(_FACILITY, connection_ids)


def cache_failed_lookup(connection_id: str) -> None:
    """Keep for some minutes that Medblocks was asked for ``connection_id`` and had no answer."""
    cache.set(build_key(_FAILED_LOOKUP, connection_id), 1, _FAILED_LOOKUP_SECONDS)


def get_failed_lookups(connection_ids: Iterable[str]) -> set[str]:
    """Return which of these ids Medblocks had no answer for a short while ago."""
    return {*_get_all(_FAILED_LOOKUP, connection_ids)}


def _get_all(kind: str, connection_ids: Iterable[str]) -> dict[str, Any]:
    ids = {build_key(kind, connection_id): connection_id for connection_id in connection_ids}
    return {ids[key]: value for key, value in cache.get_many(ids).items()} if ids else {}
