"""Search: answered by the local catalog where there is one, else by Medblocks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from medblocks_connect.api import FhirSource, Page
from medblocks_connect.cache import build_key, cache
from medblocks_connect.facilities.aliases import find_by_alias, find_matched_aliases
from medblocks_connect.facilities.catalog import get_index, read_facilities
from medblocks_connect.facilities.lookup import get_facilities
from medblocks_connect.facilities.matching.index import FacilityIndex
from medblocks_connect.facilities.matching.matcher import MAXIMUM_MATCHES, search_index
from medblocks_connect.facilities.popularity import count_connected
from medblocks_connect.facilities.remote import search_medblocks
from medblocks_connect.models import Facility, filter_workspace

MINIMUM_QUERY_LENGTH: Final = 2
MAXIMUM_QUERY_LENGTH: Final = 64
RESULTS_PER_PAGE: Final = 20

# No cursors of Medblocks': the place in our own results, and that in a list of Medblocks'.
_LOCAL_CURSOR: Final = "local:"
_PLACE_CURSOR: Final = "place:"
_PRIMARY_KEYS_SECONDS: Final = 10 * 60


@dataclass(frozen=True)
class FacilitySearch:
    """A search, normalised: the same one is asked of Medblocks once."""

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
        """Return whether there is enough to look for."""
        return len(self.q) >= MINIMUM_QUERY_LENGTH


@dataclass(frozen=True)
class FoundFacilities:
    """A page of facilities. ``total`` is how many match in all, None where only Medblocks knows;
    ``is_capped`` says that there are more than are worth counting.

    ``listed`` is the whole list that the page is cut out of, as far as it is known: facilities that
    look the same are told apart over all of it. ``only_similar`` says that none of it contains what
    was typed: the place may well be missing. ``aliases`` holds the host's name, by the id, of each
    facility on the page that was found by it.
    """

    page: Page[FhirSource]
    first: int = 0  # where the page begins in ``listed``
    total: int | None = None
    is_capped: bool = False
    listed: tuple[FhirSource, ...] = ()
    only_similar: bool = False
    aliases: Mapping[str, str] = field(default_factory=dict)


def _printable(text: str) -> str:
    return " ".join(
        "".join(letter if letter.isprintable() else " " for letter in text[:2000]).split()
    )


def find_facilities(search: FacilitySearch, patient_id: str = "") -> FoundFacilities:
    """Return a page of facilities for ``search`` and how many there are.

    ``patient_id`` is whose search it is, if it is a patient's. Raises ``MedblocksError`` where
    there is no local catalog and Medblocks has no answer.
    """
    index = get_index()
    if index is not None:
        return _search_catalog(index, search)
    return _search_without_catalog(search, patient_id)


def _search_without_catalog(search: FacilitySearch, patient_id: str) -> FoundFacilities:
    start, cursor = _read_place(search.starting_after)
    # The first page may be a part of what a shorter text found, with one more to show that there
    # is a next; that one goes on in the whole.
    enough = 0 if start else RESULTS_PER_PAGE + 1
    whole = search_medblocks(search.q, search.type, cursor, enough, patient_id=patient_id)
    aliases = {} if cursor else find_by_alias(search.q)
    facilities = (*get_facilities(aliases), *whole.data)
    listed = tuple({facility.id: facility for facility in facilities}.values())
    end = start + RESULTS_PER_PAGE
    is_part = whole.has_more and not whole.next_cursor
    has_more = whole.has_more or end < len(listed)
    next_cursor = whole.next_cursor
    if end < len(listed) or is_part:
        next_cursor = f"{_PLACE_CURSOR}{end}:{cursor}"
    return FoundFacilities(
        Page(listed[start:end], has_more, next_cursor),
        start,
        total=None if whole.has_more or cursor else len(listed),
        listed=listed,
        aliases=aliases,
    )


def _read_place(starting_after: str) -> tuple[int, str]:
    """Return the place in a list of Medblocks', and Medblocks' cursor of that list."""
    if starting_after.startswith(_PLACE_CURSOR):
        digits, _colon, cursor = starting_after.removeprefix(_PLACE_CURSOR).partition(":")
        return _read_number(digits), cursor
    # A cursor of the catalog's, from before it went away, means nothing to Medblocks.
    return 0, "" if starting_after.startswith(_LOCAL_CURSOR) else starting_after


def _search_catalog(index: FacilityIndex, search: FacilitySearch) -> FoundFacilities:
    matches = search_index(
        index, search.q, kind=search.type, most=MAXIMUM_MATCHES + 1, chosen=_count_chosen_by_key()
    )
    by_key = {match.key: match for match in matches[:MAXIMUM_MATCHES]}
    facilities = read_facilities(by_key)
    listed = tuple(facilities.values())
    start = _read_cursor(search.starting_after)
    end = start + RESULTS_PER_PAGE
    has_more = end < len(listed)
    page = Page(listed[start:end], has_more, f"{_LOCAL_CURSOR}{end}" if has_more else "")
    return FoundFacilities(
        page,
        start,
        len(listed),
        is_capped=len(matches) > MAXIMUM_MATCHES,
        listed=listed,
        only_similar=bool(matches) and not any(match.contains_query for match in matches),
        aliases=find_matched_aliases(
            {facility: by_key[key].found_as for key, facility in facilities.items()}
        ),
    )


def _read_cursor(cursor: str) -> int:
    """Return the place that a cursor of the catalog's names; the beginning for any other text."""
    is_ours = cursor.startswith(_LOCAL_CURSOR)
    return _read_number(cursor.removeprefix(_LOCAL_CURSOR)) if is_ours else 0


def _read_number(digits: str) -> int:
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= len(str(MAXIMUM_MATCHES))
    return int(digits) if is_number else 0


def _count_chosen_by_key() -> Mapping[int, int]:
    """Return how many patients chose each facility lately, by its primary key."""
    cache_key = build_key("patients-by-primary-key")
    counts_by_key: dict[int, int] | None = cache.get(cache_key)
    if counts_by_key is None:
        counts = count_connected()
        rows = filter_workspace(Facility.objects.filter(connection_id__in=list(counts)))
        counts_by_key = {
            pk: counts[connection_id]
            for pk, connection_id in rows.values_list("pk", "connection_id")
            if connection_id in counts
        }
        cache.set(cache_key, counts_by_key, _PRIMARY_KEYS_SECONDS)
    return counts_by_key
