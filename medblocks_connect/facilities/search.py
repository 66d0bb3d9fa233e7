"""Finding a facility: what is asked of Medblocks, and what Django's cache already knows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from django.core.cache import cache

from medblocks_connect import __version__
from medblocks_connect.api import FhirSource, Page
from medblocks_connect.conf import conf
from medblocks_connect.medblocks import get_client

MINIMUM_QUERY_LENGTH: Final = 2
MAXIMUM_QUERY_LENGTH: Final = 64
RESULTS_PER_PAGE: Final = 20

# A facility that was shown may be chosen much later, from a tab that stayed open.
_KNOWN_FOR_SECONDS: Final = 24 * 60 * 60
_LIKE_A_URL = re.compile(r"[/\\]|[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_FHIR_PATH = re.compile(r"fhir|argonaut|dstu2|stu3|/r[45]b?(/|$)", re.IGNORECASE)


@dataclass(frozen=True)
class FacilitySearch:
    """What a patient typed, normalised: the same question is asked of Medblocks once."""

    q: str = ""
    type: str = ""
    starting_after: str = ""

    @classmethod
    def of(cls, q: str, facility_type: str = "", starting_after: str = "") -> FacilitySearch:
        """Normalise what came from outside: printable, single-spaced, of bounded length."""
        return cls(
            _printable(q)[:MAXIMUM_QUERY_LENGTH].strip(),
            _printable(facility_type)[:50],
            _printable(starting_after)[:500],
        )

    @property
    def is_long_enough(self) -> bool:
        """Whether Medblocks is worth asking."""
        return len(self.q) >= MINIMUM_QUERY_LENGTH


def _printable(text: str) -> str:
    return " ".join("".join(each if each.isprintable() else " " for each in text[:2000]).split())


def search_facilities(search: FacilitySearch) -> Page[FhirSource]:
    """Return a page of facilities for ``search``, from the cache or from Medblocks.

    Raises ``MedblocksError`` when neither has an answer.
    """
    key = _key("search", search.q.casefold(), search.type, search.starting_after)
    page: Page[FhirSource] | None = cache.get(key)
    if page is None:
        page = get_client().connections.list(
            q=search.q,
            type=search.type,
            limit=RESULTS_PER_PAGE,
            starting_after=search.starting_after,
        )
        cache.set(key, page, conf.search_cache_seconds)
        _remember(page.data)
    return page


def get_facility(connection_id: str, *, timeout: float | None = None) -> FhirSource:
    """Return the facility ``connection_id``, from the cache or from Medblocks.

    ``timeout`` is in seconds. Raises ``NotFoundError`` for one that Medblocks does not know, and
    other ``MedblocksError``\\ s when it cannot be asked.
    """
    known: FhirSource | None = cache.get(_key("facility", connection_id))
    if known is None:
        known = get_client().connections.retrieve(connection_id, timeout=timeout)
        _remember([known])
    return known


def is_acceptable_id(connection_id: str) -> bool:
    """Whether ``connection_id`` may be asked for: bounded, printable, and no stray path or URL.

    Medblocks' ids come in several shapes, so no pattern is demanded. A URL is acceptable only as
    a facility's own FHIR base URL: one that was shown, or that looks like one (the catalog
    decides).
    """
    if not 0 < len(connection_id) <= 500 or not connection_id.isprintable():
        return False
    if connection_id != connection_id.strip() or ".." in connection_id or connection_id == ".":
        return False
    if not _LIKE_A_URL.match(connection_id):
        return True
    return cache.get(_key("facility", connection_id)) is not None or _looks_like_fhir(connection_id)


def _looks_like_fhir(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    named = f"{host or ''}{parts.path}"
    return (
        parts.scheme in {"http", "https"}
        and bool(host)
        and plain
        and not any(each in url for each in " \\<>\"'")
        and _FHIR_PATH.search(named) is not None
    )


def _remember(facilities: Iterable[FhirSource]) -> None:
    known = {}
    for each in facilities:
        known[_key("facility", each.id)] = each
        if each.fhir_base_url:
            known[_key("facility", each.fhir_base_url)] = each
    cache.set_many(known, _KNOWN_FOR_SECONDS)


def _key(*parts: str) -> str:
    # Hashed: a cache's keys are bounded and plain, what a patient types is not. The base URL
    # keeps a sandbox's facilities apart from the real ones, the version this release's objects
    # from another's.
    told = "\0".join((__version__, conf.base_url, *parts))
    return f"medblocks_connect:{hashlib.sha256(told.encode()).hexdigest()}"
