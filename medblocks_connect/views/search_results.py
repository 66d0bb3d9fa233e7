"""Search results as a patient sees them: facilities, suggestions, or that there are none."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlencode

from medblocks_connect.api import FhirSource, InvalidRequestError, MedblocksError
from medblocks_connect.conf import conf
from medblocks_connect.error_messages import RECORD_SYSTEMS, name_record_system
from medblocks_connect.facilities.catalog import find_catalog, get_index
from medblocks_connect.facilities.disambiguation import Difference, disambiguate
from medblocks_connect.facilities.lookup import find_known_facility, get_facilities, get_facility
from medblocks_connect.facilities.matching.highlighting import NamePart, mark_match
from medblocks_connect.facilities.matching.states import STATE_NAMES, split_state
from medblocks_connect.facilities.search import FacilitySearch, FoundFacilities, find_facilities
from medblocks_connect.facilities.suggestions import suggest_facilities
from medblocks_connect.models import PatientConnection, PatientConnectionAttempt, name_place
from medblocks_connect.patients import Patient
from medblocks_connect.url_safety import is_public_https

_WORD = re.compile(r"[^\W\d_]+", re.UNICODE)
_SMALL_WORDS: Final = {"and", "at", "de", "del", "for", "in", "la", "of", "on", "s", "the", "y"}


@dataclass(frozen=True)
class FacilityResult:
    """One facility in the list: nothing of it is trusted to be safe markup."""

    connection_id: str
    name: str  # without a vendor's prefix
    record_system: str
    initials: str
    logo_url: str  # "" unless it is safe to show
    parts: tuple[NamePart, ...] = ()  # of the name; what was typed is marked
    state: str = ""  # the state's name, where the facility's name gives it
    alias: tuple[NamePart, ...] = ()  # what people here call it too
    is_connected: bool = False  # the patient is, as far as we know
    difference: Difference = field(default_factory=Difference)


@dataclass(frozen=True)
class SuggestedGroup:
    """Facilities offered before typing, and why: ``connected``, ``used``, ``pinned``, ``popular``.

    Those that the patient is ``connected`` to are named, and not offered.
    """

    reason: str
    facilities: tuple[FacilityResult, ...]


@dataclass(frozen=True)
class SearchResults:
    """The results of a search: exactly one of hint, unavailable, none and some."""

    facilities: tuple[FacilityResult, ...] = ()
    is_hint: bool = False  # too short to ask
    is_unavailable: bool = False  # Medblocks could not be asked
    is_only_similar: bool = False  # no name contains what was typed
    record_system: str = ""  # the one that the search was limited to
    more: str = ""  # query string of the next page
    shown: int = 0  # how many are shown with the pages before; 0 where nobody counted
    total: int | None = None  # None where nobody counted
    is_capped: bool = False  # there are more than the total
    is_later: bool = False  # a page after the first
    suggested: tuple[SuggestedGroup, ...] = ()

    @property
    def is_none(self) -> bool:
        """Return whether the search was asked, and nothing was found."""
        return not (self.facilities or self.is_hint or self.is_unavailable)

    @property
    def is_missed(self) -> bool:
        """Return whether the place that was looked for may well be missing."""
        return self.is_none or self.is_only_similar

    @property
    def has_former_places(self) -> bool:
        """Return whether places are shown that the patient connected before."""
        return any(group.reason in {"connected", "used"} for group in self.suggested)


def show_results(search: FacilitySearch, patient: Patient | None = None) -> SearchResults:
    """Search, and return the results as a patient sees them. Never raises ``MedblocksError``.

    Where nothing is typed yet, ``patient`` is offered what they may be looking for.
    """
    if not search.is_long_enough:
        offered = patient if not search.q else None
        return SearchResults(is_hint=True, suggested=_suggest(offered) if offered else ())
    try:
        found = find_facilities(search, patient.patient_id if patient else "")
    except InvalidRequestError:
        # Medblocks does not take this cursor or kind: the first page of all that matches it does.
        first = FacilitySearch(search.q)
        return (
            SearchResults(is_unavailable=True) if search == first else show_results(first, patient)
        )
    except MedblocksError:
        return SearchResults(is_unavailable=True)
    more = ""
    if found.page.has_more:
        next_page = {"q": search.q, "type": search.type, "starting_after": found.page.next_cursor}
        more = urlencode({name: value for name, value in next_page.items() if value})
    return SearchResults(
        _show_page(found, search.q, patient),
        is_only_similar=found.only_similar,
        record_system=name_record_system(search.type),
        more=more,
        shown=found.first + len(found.page.data) if found.total is not None else 0,
        total=found.total,
        is_capped=found.is_capped,
        is_later=bool(search.starting_after),
    )


def _show_page(
    found: FoundFacilities, typed: str, patient: Patient | None
) -> tuple[FacilityResult, ...]:
    # Over all that was found: one of the same name may be on the next page.
    differences = disambiguate(found.listed)
    connected = find_connected(patient, found.page.data) if patient else frozenset()
    return tuple(
        replace(
            show_facility(facility, typed, found.aliases.get(facility.id, "")),
            is_connected=facility.id in connected,
            difference=differences.get(facility.id, Difference()),
        )
        for facility in found.page.data
    )


def _suggest(patient: Patient) -> tuple[SuggestedGroup, ...]:
    suggestions = suggest_facilities(patient)
    offered = (*suggestions.used, *suggestions.pinned, *suggestions.popular)
    differences = disambiguate(offered)
    connected = find_connected(patient, offered)

    def show(reason: str, facilities: Sequence[FhirSource]) -> SuggestedGroup:
        shown = (
            replace(
                show_facility(facility, alias=suggestions.aliases.get(facility.id, "")),
                difference=differences[facility.id],
            )
            for facility in facilities
        )
        return SuggestedGroup(reason, tuple(shown))

    groups = (
        show("connected", [facility for facility in offered if facility.id in connected]),
        *(
            show(reason, _leave_out(connected, getattr(suggestions, reason)))
            for reason in ("used", "pinned", "popular")
        ),
    )
    return tuple(group for group in groups if group.facilities)


def _leave_out(
    connected: AbstractSet[str], facilities: Sequence[FhirSource]
) -> Sequence[FhirSource]:
    return [facility for facility in facilities if facility.id not in connected]


def find_connected(patient: Patient, facilities: Iterable[FhirSource]) -> frozenset[str]:
    """Return the ids of those of ``facilities`` that the patient is connected to.

    A place whose id Medblocks never told is known by its FHIR base URL.
    """
    names = {facility.id: _list_places(facility) for facility in facilities}
    own = PatientConnection.objects.of_patient(patient.patient_id).that_stand()
    wanted = {place for places in names.values() for place in places}
    connected = set(own.at_places(wanted).values_list("place_id", flat=True))
    return frozenset(key for key, places in names.items() if places & connected)


def _list_places(facility: FhirSource) -> set[str]:
    return {name_place(facility.id), name_place(facility.fhir_base_url)} - {""}


def show_facility(facility: FhirSource, typed: str = "", alias: str = "") -> FacilityResult:
    """Return one facility as a patient sees it, what they ``typed`` marked in its names."""
    state, name = split_state(facility.name or facility.id)
    return FacilityResult(
        connection_id=facility.id,
        name=name,
        record_system=name_record_system(facility.type),
        initials=choose_initials(name if facility.name else ""),
        logo_url=facility.logo_url if is_public_https(facility.logo_url) else "",
        parts=mark_match(name, typed),
        state=STATE_NAMES.get(state, ""),
        alias=mark_match(alias, typed),
    )


def list_record_systems() -> list[tuple[str, str]]:
    """Return the kinds of record system to filter by, each with its name, in order of the names.

    Those of the local catalog where there is one, else those that are known.
    """
    index = get_index()
    kinds = [kind for kind in index.kind_names if kind] if index else list(RECORD_SYSTEMS)
    named = ((kind, name_record_system(kind)) for kind in kinds)
    return sorted(named, key=lambda named_kind: named_kind[1].casefold())


def describe_search_page() -> dict[str, Any]:
    """Return what the whole search page shows beside the results."""
    return {
        "record_systems": list_record_systems(),
        "has_catalog": find_catalog() is not None,
        "hosted_fallback": conf.hosted_fallback,
        "request_notes": conf.request_notes,
    }


def describe_place(connection_id: str) -> FacilityResult:
    """Return the facility to go to, with an empty name where Medblocks cannot tell it now."""
    unnamed = FacilityResult(connection_id, name="", record_system="", initials="", logo_url="")
    try:
        facility = get_facility(connection_id)
    except MedblocksError:
        return unnamed
    return show_facility(facility) if facility.name else unnamed


def choose_initials(name: str) -> str:
    """Return up to two capitals that stand for ``name``: "RG" for "Riverside General"."""
    words = _WORD.findall(name)
    telling = [word for word in words if word.casefold() not in _SMALL_WORDS] or words
    return "".join(word[0] for word in telling[:2]).upper()


def find_place_name(attempt: PatientConnectionAttempt, *, may_ask: bool = True) -> str:
    """Return the name of the place of ``attempt``, never an id; "" where nobody can tell it.

    ``may_ask``: Medblocks may be asked, where nothing here knows the name.
    """
    if attempt.connection_name or not attempt.connection_id or not attempt.is_in_workspace:
        return attempt.connection_name
    if not may_ask:
        known = find_known_facility(attempt.connection_id)
        return known.name if known else ""
    return next((facility.name for facility in get_facilities([attempt.connection_id])), "")
