"""Where a search is answered: by the local catalog where there is one, else by Medblocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from django.core.cache import cache

from medblocks_connect.api import FhirSource, Page
from medblocks_connect.facilities.aliases import find_aliased, find_found_by
from medblocks_connect.facilities.catalog import get_index, read_facilities
from medblocks_connect.facilities.index import FacilityIndex
from medblocks_connect.facilities.lookup import get_facilities
from medblocks_connect.facilities.matching import MOST_FOUND, search_index
from medblocks_connect.facilities.popularity import count_chosen
from medblocks_connect.facilities.remembered import cache_key
from medblocks_connect.facilities.remote import ask_medblocks
from medblocks_connect.models import Facility

MINIMUM_QUERY_LENGTH: Final = 2
MAXIMUM_QUERY_LENGTH: Final = 64
RESULTS_PER_PAGE: Final = 20

_LOCAL_CURSOR: Final = "local:"  # no cursor of Medblocks': the place in our own results
_PRIMARY_KEYS_FOR: Final = 10 * 60  # seconds


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
        """Whether there is enough to look for."""
        return len(self.q) >= MINIMUM_QUERY_LENGTH


@dataclass(frozen=True)
class FoundFacilities:
    """A page of facilities. ``total`` is how many match in all, None where only Medblocks knows;
    ``is_capped`` says that there are more than are worth counting.

    ``listed`` is the whole list that the page is cut out of, as far as it is known: twins are
    told apart over all of it. ``only_alike`` says that none of it bears what was typed: the place
    may well be missing. ``aliases`` holds the host's name, by the id, of each facility on the page
    that was found by it.
    """

    page: Page[FhirSource]
    first: int = 0  # where the page begins in ``listed``
    total: int | None = None
    is_capped: bool = False
    listed: tuple[FhirSource, ...] = ()
    only_alike: bool = False
    aliases: Mapping[str, str] = field(default_factory=dict)


def _printable(text: str) -> str:
    return " ".join("".join(each if each.isprintable() else " " for each in text[:2000]).split())


def search_facilities(search: FacilitySearch) -> Page[FhirSource]:
    """Return a page of facilities for ``search``, as :func:`find_facilities` does."""
    return find_facilities(search).page


def find_facilities(search: FacilitySearch) -> FoundFacilities:
    """Return a page of facilities for ``search`` and how many there are.

    Raises ``MedblocksError`` where there is no local catalog and Medblocks has no answer.
    """
    index = get_index()
    if index is not None:
        return _search_catalog(index, search)
    # A cursor of ours from before the catalog went away means nothing to Medblocks.
    is_ours = search.starting_after.startswith(_LOCAL_CURSOR)
    cursor = "" if is_ours else search.starting_after
    page = ask_medblocks(search.q, search.type, cursor, RESULTS_PER_PAGE)
    aliases = {} if cursor else find_aliased(search.q)
    page = _put_first(get_facilities(aliases), page)
    is_all = not (page.has_more or cursor)
    return FoundFacilities(
        page, total=len(page.data) if is_all else None, listed=page.data, aliases=aliases
    )


def _search_catalog(index: FacilityIndex, search: FacilitySearch) -> FoundFacilities:
    found = search_index(
        index, search.q, kind=search.type, most=MOST_FOUND + 1, chosen=_chosen_keys()
    )
    matches = {match.key: match for match in found[:MOST_FOUND]}
    sources = read_facilities(matches)
    listed = tuple(sources.values())
    start = _read_cursor(search.starting_after)
    end = start + RESULTS_PER_PAGE
    has_more = end < len(listed)
    page = Page(listed[start:end], has_more, f"{_LOCAL_CURSOR}{end}" if has_more else "")
    return FoundFacilities(
        page,
        start,
        len(listed),
        is_capped=len(found) > MOST_FOUND,
        listed=listed,
        only_alike=bool(found) and not any(match.bears_query for match in found),
        aliases=find_found_by({source: matches[key].found_as for key, source in sources.items()}),
    )


def _read_cursor(cursor: str) -> int:
    """Return the place that a cursor of ours names; the beginning for any other text."""
    digits = cursor.removeprefix(_LOCAL_CURSOR)
    is_ours = cursor.startswith(_LOCAL_CURSOR) and digits.isascii() and digits.isdigit()
    return int(digits) if is_ours and len(digits) <= len(str(MOST_FOUND)) else 0


def _chosen_keys() -> Mapping[int, int]:
    """Return how many patients chose each facility lately, by its primary key."""
    key = cache_key("chosen keys")
    keys: dict[int, int] | None = cache.get(key)
    if keys is None:
        counts = count_chosen()
        rows = Facility.objects.filter(connection_id__in=list(counts))
        keys = {
            pk: counts[connection_id]
            for pk, connection_id in rows.values_list("pk", "connection_id")
            if connection_id in counts
        }
        cache.set(key, keys, _PRIMARY_KEYS_FOR)
    return keys


def _put_first(aliased: Sequence[FhirSource], page: Page[FhirSource]) -> Page[FhirSource]:
    """Put before ``page`` the facilities that the host calls by the name typed."""
    shown = {each.id for each in aliased}
    rest = (each for each in page.data if each.id not in shown)
    return Page((*aliased, *rest), page.has_more, page.next_cursor)
