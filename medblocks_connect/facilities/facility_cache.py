"""What Django's cache knows of facilities: who they are, under every name they are asked for by,
and which were asked for in vain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

from medblocks_connect import __version__
from medblocks_connect.api import FhirSource
from medblocks_connect.cache import cache
from medblocks_connect.conf import conf

KNOWN_FOR_SECONDS: Final = 24 * 60 * 60
"""A facility that was shown may be chosen much later, from a tab that stayed open."""

_IN_VAIN_FOR_SECONDS: Final = 5 * 60


def cache_key(*parts: str) -> str:
    """Return the cache's key for what ``parts`` name.

    Hashed: a cache's keys are bounded and plain, what a patient types is not. The base URL keeps
    a sandbox's facilities apart from the real ones, the version this release's objects from
    another's.
    """
    told = "\0".join((__version__, conf.base_url, *parts))
    return f"medblocks_connect:{hashlib.sha256(told.encode()).hexdigest()}"


def remember(facilities: Iterable[FhirSource]) -> None:
    """Keep facilities by their ids and by their FHIR base URLs."""
    known = {}
    for each in facilities:
        known[cache_key("facility", each.id)] = each
        if each.fhir_base_url:
            known[cache_key("facility", each.fhir_base_url)] = each
    cache.set_many(known, KNOWN_FOR_SECONDS)


def recall(connection_id: str) -> FhirSource | None:
    """Return the facility of this id or FHIR base URL where it is known."""
    return recall_all([connection_id]).get(connection_id)


def recall_all(connection_ids: Iterable[str]) -> dict[str, FhirSource]:
    """Return those facilities that are known, by the ids or FHIR base URLs asked for."""
    return _get_all("facility", connection_ids)


def remember_in_vain(what: str) -> None:
    """Keep for some minutes that Medblocks was asked for ``what``, an id, and could not tell."""
    cache.set(cache_key("in vain", what), what, _IN_VAIN_FOR_SECONDS)


def recall_in_vain(what: Iterable[str]) -> set[str]:
    """Return which of these Medblocks was asked for in vain a short while ago."""
    return {*_get_all("in vain", what)}


def _get_all(kind: str, names: Iterable[str]) -> dict[str, Any]:
    keys = {cache_key(kind, name): name for name in names}
    return {keys[key]: value for key, value in cache.get_many(keys).items()} if keys else {}
