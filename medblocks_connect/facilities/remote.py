"""Search without a local catalog: what Medblocks is asked, and what is answered from the cache.

Medblocks gives a hundred at a time, of which a patient sees twenty. An answer is kept for
``SEARCH_CACHE_SECONDS``; where all that matched a shorter text is known, or enough of it for the
page, a longer one is answered from that; and when Medblocks is unavailable, the last good answer
stands in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from medblocks_connect.api import FhirSource, Page
from medblocks_connect.cache import AGES, Age, build_key, cache, get_or_fetch
from medblocks_connect.conf import conf
from medblocks_connect.facilities.facility_cache import FACILITY_SECONDS, cache_facilities
from medblocks_connect.medblocks_client import get_client

_SHORTEST_QUERY: Final = 2  # characters that Medblocks was asked for
_PAGE_SIZE: Final = 100  # facilities; the most that Medblocks gives at once

_Facilities = Page[FhirSource]


def search_medblocks(q: str, kind: str, starting_after: str, enough: int) -> _Facilities:
    """Return up to a hundred facilities whose name holds ``q``.

    ``enough`` of them may be a part of those: then there is more, and no cursor. With 0 all of
    the hundred are wanted. Raises ``MedblocksError`` when neither Medblocks nor the cache has an
    answer.
    """

    def find(age: Age) -> _Facilities | None:
        page: _Facilities | None = cache.get(keys[age])
        if page is None and not starting_after:
            page = next(_narrow(age, q, kind, enough), None)
        return page

    def fetch() -> _Facilities:
        page = get_client().connections.list(
            q=q, type=kind, limit=_PAGE_SIZE, starting_after=starting_after
        )
        cache_facilities(page.data)
        return page

    keys = {age: _build_key(age, q, kind, starting_after) for age in AGES}
    return get_or_fetch(
        keys,
        fetch,
        find,
        fresh_seconds=conf.search_cache_seconds,
        last_good_seconds=FACILITY_SECONDS,
    )


def _narrow(age: Age, q: str, kind: str, enough: int) -> Iterator[_Facilities]:
    """Yield what answers to shorter texts say of ``q``: who types on asks for a part of them.

    Only where that answer was what Medblocks documents, names that hold the text, and was
    complete, or holds ``enough`` that match.
    """
    wanted = q.casefold()
    shorter = (q[:length] for length in range(_SHORTEST_QUERY, len(q)))
    texts = {_build_key(age, text, kind, ""): text.casefold() for text in shorter}
    pages: dict[str, _Facilities] = cache.get_many(texts)
    for key, page in pages.items():
        if all(texts[key] in facility.name.casefold() for facility in page.data):
            matching = tuple(
                facility for facility in page.data if wanted in facility.name.casefold()
            )
            if not page.has_more or 0 < enough <= len(matching):
                yield Page(matching, page.has_more, next_cursor="")


def _build_key(age: Age, q: str, kind: str, starting_after: str) -> str:
    return build_key(f"search-{age}", q.casefold(), kind, starting_after)
