"""Search without a local catalog: what Medblocks is asked, and what is answered from the cache.

Medblocks gives a hundred at a time, of which a patient sees twenty. An answer is kept for
``SEARCH_CACHE_SECONDS``; where all that matched a shorter text is known, or enough of it for the
page, a longer one is answered from that; and when Medblocks is unavailable, the last good answer
stands in. Answers are kept compressed, and so many of one patient's searches a day: nobody fills
the site's cache.
"""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator
from dataclasses import astuple
from typing import Final

from medblocks_connect.api import FhirSource, Page
from medblocks_connect.cache import AGES, Age, build_key, cache, get_or_fetch
from medblocks_connect.conf import conf
from medblocks_connect.facilities.facility_cache import FACILITY_SECONDS, cache_facilities
from medblocks_connect.medblocks_client import get_client

_SHORTEST_QUERY: Final = 2  # characters that Medblocks was asked for
_PAGE_SIZE: Final = 100  # facilities; the most that Medblocks gives at once

_DAY: Final = 24 * 60 * 60  # seconds

MAX_KEPT_PER_PATIENT: Final = 200
"""How many answers to one patient's searches are kept a day: about ten names, typed out."""

_Facilities = Page[FhirSource]


def search_medblocks(
    q: str, kind: str, starting_after: str, enough: int, *, patient_id: str = ""
) -> _Facilities:
    """Return up to a hundred facilities whose name holds ``q``.

    ``enough`` of them may be a part of those: then there is more, and no cursor. With 0 all of
    the hundred are wanted. ``patient_id`` is whose search it is, if it is a patient's. Raises
    ``MedblocksError`` when neither Medblocks nor the cache has an answer.
    """

    def find(age: Age) -> _Facilities | None:
        packed: bytes | None = cache.get(keys[age])
        if packed is not None:
            return _unpack(packed)
        return next(_narrow(age, q, kind, enough), None) if not starting_after else None

    def fetch() -> _Facilities:
        page = get_client().connections.list(
            q=q, type=kind, limit=_PAGE_SIZE, starting_after=starting_after
        )
        cache_facilities(page.data)
        return page

    def keep(page: _Facilities) -> None:
        if _may_keep(patient_id):
            packed = _pack(page)
            cache.set(keys["fresh"], packed, conf.search_cache_seconds)
            cache.set(keys["last-good"], packed, FACILITY_SECONDS)

    keys = {age: _build_key(age, q, kind, starting_after) for age in AGES}
    return get_or_fetch(find, fetch, keep)


def _may_keep(patient_id: str) -> bool:
    """Return whether another answer to this patient may be kept today, and count it."""
    if not patient_id:
        return True
    key = _build_count_key(patient_id, int(time.time() // _DAY))
    if cache.add(key, 1, _DAY):
        return True
    count = cache.incr(key, _DAY)
    return count is not None and count <= MAX_KEPT_PER_PATIENT


def forget_kept_count(patient_id: str) -> None:
    """Forget how many answers to this patient were kept today and yesterday."""
    today = int(time.time() // _DAY)
    cache.delete_many(_build_count_key(patient_id, day) for day in (today, today - 1))


def _build_count_key(patient_id: str, day: int) -> str:
    return build_key("kept-searches", patient_id, str(day))


def _pack(page: _Facilities) -> bytes:
    """Return ``page`` as it is kept: about 7 KB for a hundred facilities, a third of a pickle."""
    facilities = [astuple(facility) for facility in page.data]
    return zlib.compress(json.dumps([facilities, page.has_more, page.next_cursor]).encode())


def _unpack(packed: bytes) -> _Facilities:
    facilities, has_more, next_cursor = json.loads(zlib.decompress(packed))
    return Page(tuple(FhirSource(*fields) for fields in facilities), has_more, next_cursor)


def _narrow(age: Age, q: str, kind: str, enough: int) -> Iterator[_Facilities]:
    """Yield what answers to shorter texts say of ``q``: who types on asks for a part of them.

    Only where that answer was what Medblocks documents, names that hold the text, and was
    complete, or holds ``enough`` that match.
    """
    wanted = q.casefold()
    shorter = (q[:length] for length in range(_SHORTEST_QUERY, len(q)))
    texts = {_build_key(age, text, kind, ""): text.casefold() for text in shorter}
    for key, packed in cache.get_many(texts).items():
        page = _unpack(packed)
        if all(texts[key] in facility.name.casefold() for facility in page.data):
            matching = tuple(
                facility for facility in page.data if wanted in facility.name.casefold()
            )
            if not page.has_more or 0 < enough <= len(matching):
                yield Page(matching, page.has_more, next_cursor="")


def _build_key(age: Age, q: str, kind: str, starting_after: str) -> str:
    return build_key(f"search-{age}", q.casefold(), kind, starting_after)
