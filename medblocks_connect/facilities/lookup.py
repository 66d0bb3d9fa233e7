"""Lookup: the facility that an id means, and the ids that Medblocks may be asked for at all."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from medblocks_connect.api import (
    FhirSource,
    MedblocksBusyError,
    MedblocksClient,
    MedblocksError,
    NotFoundError,
)
from medblocks_connect.conf import conf
from medblocks_connect.facilities.catalog import (
    find_by_address,
    find_in_catalog,
    is_address_in_catalog,
)
from medblocks_connect.facilities.facility_cache import (
    cache_facilities,
    cache_failed_lookup,
    get_cached_facilities,
    get_failed_lookups,
)
from medblocks_connect.medblocks_client import get_client
from medblocks_connect.models import PatientConnectionAttempt, is_url
from medblocks_connect.url_safety import is_internal_host

_SECONDS_FOR_ALL: Final = 2.0  # that a patient waits for what is offered beside the search
_LEAST_SECONDS: Final = 0.1  # Medblocks could not answer in less
_UNAVAILABLE_SECONDS: Final = 5
_MEDBLOCKS_UNAVAILABLE: Final = ""  # kept as a failed lookup; no facility has this id
_MOST_RECOMMENDED: Final = 20
_MOST_LOOKED_AT: Final = 40
# A path, any scheme with an address behind it, and what a browser follows or runs without one. An
# id may hold a colon: "epic:12345", "urn:uuid:…".
_LIKE_A_URL = re.compile(
    r"[/\\]|[a-z][a-z0-9+.-]*://|"
    r"(https?|javascript|vbscript|data|blob|file|filesystem|about|view-source):",
    re.IGNORECASE,
)
_BETWEEN_SEGMENTS = re.compile(r"[/\\]")
_FHIR_PATH = re.compile(r"fhir|argonaut|dstu2|stu3|/r[45]b?(/|$)", re.IGNORECASE)


def get_facility(
    connection_id: str, *, timeout: float | None = None, client: MedblocksClient | None = None
) -> FhirSource:
    """Return the facility ``connection_id``: from the cache, the local catalog or Medblocks.

    ``timeout`` is in seconds; ``client`` is None for that of patients' requests. Raises
    ``NotFoundError`` for one that Medblocks does not know, and other ``MedblocksError``\\ s when
    it cannot be asked.
    """
    facility = find_known_facility(connection_id)
    if facility is None:
        client = client or get_client()
        facility = client.connections.retrieve(connection_id, timeout=timeout)
        cache_facilities([facility])
    return facility


def find_known_facility(connection_id: str) -> FhirSource | None:
    """Return the facility ``connection_id`` without asking Medblocks; None where it is unknown."""
    cached = get_cached_facilities([connection_id]).get(connection_id)
    if cached is not None:
        return cached
    listed = (find_in_catalog([connection_id]) or {}).get(connection_id)
    if listed is None and is_url(connection_id):
        return find_by_address(connection_id)
    return listed


@dataclass(frozen=True)
class KnownFacilities:
    """The ``facilities`` that are known without asking Medblocks, by the ids that were asked for.

    With a catalog, one that is not among them was withdrawn, or never was.
    """

    facilities: Mapping[str, FhirSource]
    has_catalog: bool


def find_known_facilities(connection_ids: Iterable[str]) -> KnownFacilities:
    """Return what is known of all these facilities, in two queries, less what was withdrawn."""
    wanted = list(dict.fromkeys(connection_ids))
    listed = find_in_catalog(wanted) if wanted else {}
    # The catalog comes first: the cache does not hear of it when a facility is withdrawn.
    cached = get_cached_facilities(key for key in wanted if key not in (listed or {}))
    by_id: dict[str, FhirSource | None] = {**cached, **(listed or {})}
    facilities = {key: by_id.get(key) for key in wanted}
    return KnownFacilities(
        {key: facility for key, facility in facilities.items() if facility is not None},
        has_catalog=listed is not None,
    )


def get_facilities(connection_ids: Iterable[str]) -> list[FhirSource]:
    """Return the facilities with these ids, in order, less those that are unknown now.

    Medblocks is asked only where there is no catalog, for two seconds in all, and not again for
    some minutes about an id that it does not know, for some seconds where it did not answer: a
    patient is waiting.
    """
    wanted = list(dict.fromkeys(connection_ids))
    known = find_known_facilities(wanted)
    facilities = dict(known.facilities)
    if not known.has_catalog:
        facilities.update(_ask_medblocks_for([key for key in wanted if key not in facilities]))
    return [facilities[key] for key in wanted if key in facilities]


def _ask_medblocks_for(connection_ids: Sequence[str]) -> Mapping[str, FhirSource]:
    facilities: dict[str, FhirSource] = {}
    failed = get_failed_lookups([_MEDBLOCKS_UNAVAILABLE, *connection_ids])
    until = time.monotonic() + _SECONDS_FOR_ALL
    for connection_id in connection_ids:
        seconds_left = until - time.monotonic()
        if _MEDBLOCKS_UNAVAILABLE in failed or seconds_left < _LEAST_SECONDS:
            break
        if connection_id in failed:
            continue
        try:
            facilities[connection_id] = get_facility(connection_id, timeout=seconds_left)
        except NotFoundError:
            cache_failed_lookup(connection_id)
        except MedblocksBusyError:  # which cost no time, and may be over in a moment
            break
        except MedblocksError:
            cache_failed_lookup(_MEDBLOCKS_UNAVAILABLE, _UNAVAILABLE_SECONDS)
            break
    return facilities


def list_recommendable(connection_ids: Sequence[str]) -> list[str]:
    """Return those ids of a browser's that are facilities we know, once each, the latest 20."""
    wanted = [key for key in connection_ids[-_MOST_LOOKED_AT:] if is_acceptable_id(key)]
    return list(find_known_facilities(wanted).facilities)[-_MOST_RECOMMENDED:]


def is_acceptable_id(connection_id: str, *, patient_id: str = "") -> bool:
    """Return whether ``connection_id`` may be asked for: bounded, printable, no path and no URL.

    Medblocks' ids come in several shapes, so no pattern is demanded. A URL is acceptable only as
    a facility's own FHIR base URL: one that was shown, that the local catalog has, that looks like
    one where there is no catalog, or that an earlier attempt of ``patient_id`` was started with.
    """
    if not 0 < len(connection_id) <= 500 or not connection_id.isprintable():
        return False
    if connection_id != connection_id.strip() or connection_id == ".":
        return False
    if ".." in _BETWEEN_SEGMENTS.split(connection_id):
        return False
    return (
        not _LIKE_A_URL.match(connection_id)
        or _may_be_fhir_base_url(connection_id)
        or find_known_facility(connection_id) is not None
        or _has_started_with(patient_id, connection_id)
    )


def _has_started_with(patient_id: str, connection_id: str) -> bool:
    own = PatientConnectionAttempt.objects.of_patient(patient_id).in_workspace()
    return own.filter(connection_id=connection_id).exists()


def _may_be_fhir_base_url(url: str) -> bool:
    """Return whether ``url`` may be a facility's: its host may be asked."""
    if not _looks_like_fhir(url):
        return False
    in_catalog = is_address_in_catalog(url)
    if in_catalog is not None:
        return in_catalog
    # A Medblocks on this machine is a sandbox, whose facilities are here too.
    return not is_internal_host(_host_of(url)) or is_internal_host(_host_of(conf.base_url))


def _host_of(url: str) -> str:
    return (urlsplit(url).hostname or "").rstrip(".")


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
        and not any(character in url for character in " \\<>\"'")
        and _FHIR_PATH.search(named) is not None
    )
