"""Searching where there is no local catalog: what is asked of Medblocks, and what need not be.

Medblocks gives a hundred at a time, of which a patient sees twenty. An answer is kept for
``SEARCH_CACHE_SECONDS``; where all that matched a shorter text is known, or enough of it for the
page, a longer one is answered from that; and when Medblocks is away, the last good answer is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from medblocks_connect.api import FhirSource, MedblocksError, Page
from medblocks_connect.cache import cache
from medblocks_connect.conf import conf
from medblocks_connect.facilities.facility_cache import KNOWN_FOR_SECONDS, cache_key, remember
from medblocks_connect.medblocks_client import get_client

_SHORTEST: Final = 2  # characters that Medblocks was asked for
_ASKED_FOR: Final = 100  # facilities; the most that Medblocks gives at once

_Facilities = Page[FhirSource]


def ask_medblocks(q: str, kind: str, starting_after: str, enough: int) -> _Facilities:
    """Return up to a hundred facilities whose name holds ``q``.

    ``enough`` of them may be a part of those: then there is more, and no cursor. With 0 all of
    the hundred are wanted. Raises ``MedblocksError`` when neither Medblocks nor the cache has an
    answer.
    """
    known = _recall("search", q, kind, starting_after, enough)
    if known is not None:
        return known
    try:
        page = get_client().connections.list(
            q=q, type=kind, limit=_ASKED_FOR, starting_after=starting_after
        )
    except MedblocksError:
        last_good = _recall("last good", q, kind, starting_after, enough)
        if last_good is None:
            raise
        return last_good
    cache.set(_key("search", q, kind, starting_after), page, conf.search_cache_seconds)
    cache.set(_key("last good", q, kind, starting_after), page, KNOWN_FOR_SECONDS)
    remember(page.data)
    return page


def _recall(what: str, q: str, kind: str, starting_after: str, enough: int) -> _Facilities | None:
    page: _Facilities | None = cache.get(_key(what, q, kind, starting_after))
    if page is None and not starting_after:
        page = next(_narrow(what, q, kind, enough), None)
    return page


def _narrow(what: str, q: str, kind: str, enough: int) -> Iterator[_Facilities]:
    """Yield what answers to shorter texts say of ``q``: who types on asks for a part of them.

    Only where that answer was what Medblocks documents, names that hold the text, and was
    complete, or holds ``enough`` that match.
    """
    wanted = q.casefold()
    keys = {_key(what, q[:length], kind, ""): q[:length] for length in range(_SHORTEST, len(q))}
    known: dict[str, _Facilities] = cache.get_many(keys)
    for key, page in known.items():
        asked = keys[key].casefold()
        if all(asked in each.name.casefold() for each in page.data):
            found = tuple(each for each in page.data if wanted in each.name.casefold())
            if not page.has_more or 0 < enough <= len(found):
                yield Page(found, page.has_more, next_cursor="")


def _key(what: str, q: str, kind: str, starting_after: str) -> str:
    return cache_key(what, q.casefold(), kind, starting_after)
