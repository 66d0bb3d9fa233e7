"""Facilities in Django's cache: those that are known, by every name they are asked for by, and the
ids that Medblocks could not answer for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from medblocks_connect.api import FhirSource
from medblocks_connect.cache import build_key, cache
from medblocks_connect.models import name_place

FACILITY_SECONDS: Final = 24 * 60 * 60
"""A facility that was shown may be chosen much later, from a tab that stayed open."""

_FAILED_LOOKUP_SECONDS: Final = 5 * 60
_FACILITY: Final = "facility"
_FAILED_LOOKUP: Final = "failed-lookup"


def cache_facilities(facilities: Iterable[FhirSource]) -> None:
    """Keep facilities by their ids and by their FHIR base URLs."""
    by_key = {}
    for facility in facilities:
        by_key[_build_key(facility.id)] = facility
        if facility.fhir_base_url:
            by_key[_build_key(facility.fhir_base_url)] = facility
    cache.set_many(by_key, FACILITY_SECONDS)


def get_cached_facilities(connection_ids: Iterable[str]) -> dict[str, FhirSource]:
    """Return the facilities that are kept, by the ids or FHIR base URLs asked for."""
    return _get_all({key: _build_key(key) for key in connection_ids})


def cache_failed_lookup(connection_id: str, seconds: float = _FAILED_LOOKUP_SECONDS) -> None:
    """Keep for ``seconds`` that Medblocks was asked for ``connection_id`` and had no answer."""
    cache.set(build_key(_FAILED_LOOKUP, connection_id), 1, seconds)


def get_failed_lookups(connection_ids: Iterable[str]) -> set[str]:
    """Return which of these ids Medblocks had no answer for a short while ago."""
    return {*_get_all({key: build_key(_FAILED_LOOKUP, key) for key in connection_ids})}


def _build_key(connection_id: str) -> str:
    return build_key(_FACILITY, name_place(connection_id))  # with a slash at its end or without


def _get_all(keys: Mapping[str, str]) -> dict[str, Any]:
    """Return what is kept, by the ids, under their ``keys``."""
    found = cache.get_many(set(keys.values())) if keys else {}
    return {connection_id: found[key] for connection_id, key in keys.items() if key in found}
