"""What Django's cache knows of facilities: who they are, under every name they are asked for by."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from django.core.cache import cache

from medblocks_connect import __version__
from medblocks_connect.api import FhirSource
from medblocks_connect.conf import conf

KNOWN_FOR_SECONDS: Final = 24 * 60 * 60
"""A facility that was shown may be chosen much later, from a tab that stayed open."""


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
    known: FhirSource | None = cache.get(cache_key("facility", connection_id))
    return known
