"""Searching where there is no local catalog: what is asked of Medblocks, and what need not be.

A page is kept for ``SEARCH_CACHE_SECONDS``; where all that matched a shorter text is known, a
longer one is answered from that; and when Medblocks is away, the last good answer is.
"""

from __future__ import annotations

from typing import Final

from django.core.cache import cache

from medblocks_connect.api import FhirSource, MedblocksError, Page
from medblocks_connect.conf import conf
from medblocks_connect.facilities.remembered import KNOWN_FOR_SECONDS, cache_key, remember
from medblocks_connect.medblocks import get_client

_SHORTEST: Final = 2  # characters that Medblocks was asked for

_Facilities = Page[FhirSource]


def ask_medblocks(q: str, kind: str, starting_after: str, limit: int) -> _Facilities:
    """Return a page of up to ``limit`` facilities whose name holds ``q``.

    Raises ``MedblocksError`` when neither Medblocks nor the cache has an answer.
    """
    key = _key("search", q, kind, starting_after)
    page: _Facilities | None = cache.get(key)
    if page is None and not starting_after:
        page = _narrow("search", q, kind)
    if page is not None:
        return page
    try:
        page = get_client().connections.list(
            q=q, type=kind, limit=limit, starting_after=starting_after
        )
    except MedblocksError:
        last_good: _Facilities | None = cache.get(_key("last good", q, kind, starting_after))
        if last_good is None and not starting_after:
            last_good = _narrow("last good", q, kind)
        if last_good is None:
            raise
        return last_good
    cache.set(key, page, conf.search_cache_seconds)
    cache.set(_key("last good", q, kind, starting_after), page, KNOWN_FOR_SECONDS)
    remember(page.data)
    return page


def _narrow(what: str, q: str, kind: str) -> _Facilities | None:
    """Answer from the whole answer to a shorter text: who types on asks for a part of it.

    Only where that answer was complete, and was what Medblocks documents: names that hold the
    text.
    """
    wanted = q.casefold()
    keys = {_key(what, q[:length], kind, ""): q[:length] for length in range(_SHORTEST, len(q))}
    known: dict[str, _Facilities] = cache.get_many(keys)
    for key, page in known.items():
        is_whole = not page.has_more
        asked = keys[key].casefold()
        if is_whole and all(asked in each.name.casefold() for each in page.data):
            found = tuple(each for each in page.data if wanted in each.name.casefold())
            return Page(data=found, has_more=False, next_cursor="")
    return None


def _key(what: str, q: str, kind: str, starting_after: str) -> str:
    return cache_key(what, q.casefold(), kind, starting_after)
