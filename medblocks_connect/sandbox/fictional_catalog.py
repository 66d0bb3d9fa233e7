"""The catalog of make-believe facilities, read once from ``catalog.json``."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Facility:
    """One FhirSource of the catalog.

    ``refuses`` is the error code that every start at this facility is refused with, or ``""``.
    """

    id: str
    name: str
    type: str | None
    fhir_base_url: str
    logo_url: str | None
    portal_url: str | None
    refuses: str = ""


@cache
def all_facilities() -> tuple[Facility, ...]:
    """Return the whole catalog, in the order of the names."""
    path = Path(__file__).with_name("catalog.json")
    return tuple(Facility(**row) for row in json.loads(path.read_text(encoding="utf-8")))


@cache
def _by_address() -> dict[str, Facility]:
    found = {facility.id: facility for facility in all_facilities()}
    return found | {facility.fhir_base_url: facility for facility in all_facilities()}


def find_facility(identifier: str) -> Facility | None:
    """Find a facility by its id or by its ``fhir_base_url``."""
    return _by_address().get(identifier)


def search_facilities(text: str = "", vendor: str = "") -> list[Facility]:
    """Return the facilities whose name contains ``text`` in any case, of one vendor if given."""
    wanted = text.casefold()
    return [
        facility
        for facility in all_facilities()
        if wanted in facility.name.casefold() and (not vendor or facility.type == vendor)
    ]
