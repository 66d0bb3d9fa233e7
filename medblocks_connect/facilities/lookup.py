"""Which facility an id means, and which ids may be asked for at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import urlsplit

from medblocks_connect.api import FhirSource, MedblocksError, NotFoundError
from medblocks_connect.facilities.catalog import find_in_catalog
from medblocks_connect.facilities.remembered import recall, remember
from medblocks_connect.medblocks import get_client

_MOST_RECOMMENDED: Final = 20
_MOST_LOOKED_AT: Final = 40
_LIKE_A_URL = re.compile(r"[/\\]|[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_FHIR_PATH = re.compile(r"fhir|argonaut|dstu2|stu3|/r[45]b?(/|$)", re.IGNORECASE)


def get_facility(connection_id: str, *, timeout: float | None = None) -> FhirSource:
    """Return the facility ``connection_id``: from the cache, the local catalog or Medblocks.

    ``timeout`` is in seconds. Raises ``NotFoundError`` for one that Medblocks does not know, and
    other ``MedblocksError``\\ s when it cannot be asked.
    """
    known = find_known_facility(connection_id)
    if known is None:
        known = get_client().connections.retrieve(connection_id, timeout=timeout)
        remember([known])
    return known


def find_known_facility(connection_id: str) -> FhirSource | None:
    """Return the facility ``connection_id`` without asking Medblocks; None where it is unknown."""
    return recall(connection_id) or find_in_catalog([connection_id]).get(connection_id)


def get_facilities(connection_ids: Iterable[str]) -> list[FhirSource]:
    """Return the facilities with these ids, in order, less those that nobody can tell now.

    Once Medblocks did not answer it is not asked for the rest: a patient is waiting.
    """
    found = []
    is_away = False
    for connection_id in dict.fromkeys(connection_ids):
        facility = find_known_facility(connection_id)
        if facility is None and not is_away:
            facility, is_away = _ask(connection_id)
        if facility is not None:
            found.append(facility)
    return found


def _ask(connection_id: str) -> tuple[FhirSource | None, bool]:
    """Return the facility, and whether Medblocks is away."""
    try:
        return get_facility(connection_id), False
    except NotFoundError:
        return None, False
    except MedblocksError:
        return None, True


def list_recommendable(connection_ids: Sequence[str]) -> list[str]:
    """Return those ids of a browser's that are facilities we know, once each, the latest 20."""
    wanted = [each for each in connection_ids[-_MOST_LOOKED_AT:] if is_acceptable_id(each)]
    known = [each for each in dict.fromkeys(wanted) if find_known_facility(each) is not None]
    return known[-_MOST_RECOMMENDED:]


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
    return _looks_like_fhir(connection_id) or find_known_facility(connection_id) is not None


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
