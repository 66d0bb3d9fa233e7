"""How a query becomes an ordered list of facilities: what is literally there first, then the rest.

Every step looks at a bounded number of names, so that no query costs much more than another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from medblocks_connect.facilities.matching.fuzzy import find_alike
from medblocks_connect.facilities.matching.index import FacilityIndex
from medblocks_connect.facilities.matching.query import STATE_MARK, Query
from medblocks_connect.facilities.matching.ranking import Tier, rank_literal_match

MOST_FOUND: Final = 100
"""Facilities found by one query at most: nobody reads on after that."""

_LITERAL_AT_MOST: Final = 200
_LITERAL_IS_ENOUGH: Final = 10  # with so many that hold what was typed, nothing was misspelt
_PLAIN_FROM: Final = 3  # telling words; where a name begins with so many of them, none is a slip
_INITIALS_LENGTHS: Final = range(3, 8)


@dataclass(frozen=True, slots=True)
class Match:
    """A facility found: the caller's ``key`` for it, and how it matches.

    ``bears_query`` is whether it has all that was typed to tell it by, and not only something
    like it; ``found_as`` is the folded name, of possibly several, that it was found by.
    """

    key: int
    tier: Tier
    bears_query: bool = True
    found_as: str = ""


def search_index(
    index: FacilityIndex,
    text: str,
    *,
    kind: str = "",
    most: int = MOST_FOUND,
    chosen: Mapping[int, int] | None = None,
) -> list[Match]:
    """Return up to ``most`` facilities for what a patient typed, the best first.

    ``kind`` keeps those of one kind of record system; ``chosen`` says how often a facility was
    chosen lately, by its key. Never raises, whatever ``text`` is.
    """
    query = Query.of(text)
    if not query.words or not len(index):
        return []
    is_wanted = _kind_test(index, kind)
    chosen = chosen or {}
    ranked = _find_literally(index, query, is_wanted, chosen)
    only_alike: set[int] = set()
    best = min(ranked.values(), default=Tier.SIMILAR)
    is_plain = len(query.telling) >= _PLAIN_FROM and best <= Tier.NAME_BEGINS
    if len(ranked) < _LITERAL_IS_ENOUGH and not is_plain:
        for number in _find_by_initials(index, query, is_wanted, chosen):
            ranked.setdefault(number, Tier.INITIALS)
        for each in find_alike(index, query, is_wanted, chosen):
            if ranked.setdefault(each.name, Tier.SIMILAR) is Tier.SIMILAR and not each.bears_query:
                only_alike.add(each.name)
    # A facility is in the index under its name and under each alias of it.
    best_by_key: dict[int, Match] = {}
    for number, tier in ranked.items():
        key = index.keys[number]
        if key not in best_by_key:
            bears_query = number not in only_alike
            best_by_key[key] = Match(key, tier, bears_query, index.name(number))
    return list(best_by_key.values())[:most]


def _kind_test(index: FacilityIndex, kind: str) -> Callable[[int], bool]:
    if not kind:
        return lambda _number: True
    if kind not in index.kind_names:
        return lambda _number: False
    wanted, kinds = index.kind_names.index(kind), index.kinds
    return lambda number: kinds[number] == wanted


def _find_literally(
    index: FacilityIndex,
    query: Query,
    is_wanted: Callable[[int], bool],
    chosen: Mapping[int, int],
) -> dict[int, Tier]:
    """Return the names that hold every telling word as typed, or its beginning, in order."""
    found: dict[int, None] = {}
    for joined in {query.joined, "".join([*query.words[:-1], query.typed[-1]])}:
        found.update(dict.fromkeys(index.find_beginning(joined, _LITERAL_AT_MOST)))
    every = [query.readings(place) for place in range(len(query.words))]
    telling = [every[place] for place in query.telling]
    looked_for = [every, telling] if len(telling) < len(every) else [every]
    if query.state_place is not None:
        beside = [every[place] for place in query.telling if place != query.state_place]
        looked_for.insert(0, [*beside, [STATE_MARK + query.likely_state]])
    for readings in looked_for:
        holding = (
            number
            for number in _holders_of_rarest(index, readings)
            if _holds_all(index.texts[number], readings) and is_wanted(number)
        )
        found.update(dict.fromkeys(islice(holding, _LITERAL_AT_MOST)))
    if len(found) >= _LITERAL_AT_MOST:  # those chosen lately may be beyond
        numbers = chain.from_iterable(index.find_key(key) for key in chosen)
        found.update(
            (number, None) for number in numbers if _holds_all(index.texts[number], telling)
        )
    ranks = [
        rank_literal_match(
            query,
            index.texts[number],
            size=index.sizes[number],
            times_chosen=chosen.get(index.keys[number], 0),
            number=number,
        )
        for number in found
        if is_wanted(number)
    ]
    return {rank.number: rank.tier for rank in sorted(ranks)}


def _holders_of_rarest(index: FacilityIndex, readings: list[list[str]]) -> Iterable[int]:
    """Return the names that hold the rarest of the words, those with the whole word first."""
    spans = [
        [index.vocabulary.find_beginning(reading.strip()) for reading in each] for each in readings
    ]
    rarest = min(spans, key=lambda each: sum(index.count_all_holders(words) for words in each))
    words = [words for words in rarest if words]
    whole = chain.from_iterable(index.holders(each.start) for each in words)
    return chain(whole, *(index.find_holders(each) for each in words))


def _holds_all(text: str, readings: list[list[str]]) -> bool:
    return all(any(reading in text for reading in each) for each in readings)


def _find_by_initials(
    index: FacilityIndex,
    query: Query,
    is_wanted: Callable[[int], bool],
    chosen: Mapping[int, int],
) -> list[int]:
    """Return names that a lone short word abbreviates: "ucsf"."""
    if len(query.words) != 1 or len(query.typed[0]) not in _INITIALS_LENGTHS:
        return []
    found = index.find_initials(query.typed[0], _LITERAL_AT_MOST, chosen)
    return [number for number in found if is_wanted(number)]
