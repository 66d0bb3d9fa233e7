"""Disambiguation: facilities that look the same are told apart, by as little as is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from medblocks_connect.api import FhirSource
from medblocks_connect.facilities.matching.normalization import fold
from medblocks_connect.facilities.matching.states import split_state
from medblocks_connect.url_safety import is_public_https


@dataclass(frozen=True)
class Difference:
    """The difference of a facility from others of its name; empty for one that is alone."""

    host: str = ""
    is_portal: bool = True  # the host is the portal's, and not the record system's
    entry: int = 0  # which of several that nothing else tells apart
    entries: int = 0


def disambiguate(facilities: Sequence[FhirSource]) -> Mapping[str, Difference]:
    """Return how each of ``facilities`` differs from the others of its name, by their ids.

    Where neither the state nor the record system nor the host differs, they are numbered.
    """
    split = {facility.id: split_state(facility.name or facility.id) for facility in facilities}
    names = {connection_id: fold(name) for connection_id, (_state, name) in split.items()}
    count = Counter(names.values())
    same_name = [facility for facility in facilities if count[names[facility.id]] > 1]
    hosts = {facility.id: _find_host(facility) for facility in same_name}
    looks = {}  # what a patient sees of each
    for facility in facilities:
        key = facility.id
        looks[key] = (names[key], split[key][0], facility.type, hosts.get(key))
    entries, entry = Counter(looks.values()), Counter[object]()
    differences = {}
    for connection_id, look in looks.items():
        entry[look] += 1
        host, is_portal = hosts.get(connection_id, ("", True))
        numbers = (entry[look], entries[look]) if entries[look] > 1 else (0, 0)
        differences[connection_id] = Difference(host, is_portal, *numbers)
    return differences


def _find_host(facility: FhirSource) -> tuple[str, bool]:
    """Return the portal's host and True, else that of the record system's address and False."""
    for url, is_portal in ((facility.portal_url, True), (facility.fhir_base_url, False)):
        if is_public_https(url):
            return (urlsplit(url).hostname or "").removeprefix("www."), is_portal
    return "", True
