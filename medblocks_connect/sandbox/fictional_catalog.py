"""The catalog of make-believe facilities, read once from ``catalog.json``."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class FictionalFacility:
    """One FhirSource of the make-believe catalog.

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
def all_facilities() -> tuple[FictionalFacility, ...]:
    """Return the whole catalog, in the order of the names."""
    path = Path(__file__).with_name("catalog.json")
    return tuple(FictionalFacility(**row) for row in json.loads(path.read_text(encoding="utf-8")))


@cache
def _facilities_by_identifier() -> dict[str, FictionalFacility]:
    by_id = {facility.id: facility for facility in all_facilities()}
    return by_id | {facility.fhir_base_url: facility for facility in all_facilities()}


def find_facility(identifier: str) -> FictionalFacility | None:
    """Find a facility by its id or by its ``fhir_base_url``, with a slash at its end or not."""
    facilities = _facilities_by_identifier()
    return facilities.get(identifier) or facilities.get(identifier.rstrip("/"))


def search_catalog(text: str = "", vendor: str = "") -> list[FictionalFacility]:
    """Return the facilities whose name contains ``text`` in any case, of one vendor if given."""
    folded = text.casefold()
    return [
        facility
        for facility in all_facilities()
        if folded in facility.name.casefold() and (not vendor or facility.type == vendor)
    ]
