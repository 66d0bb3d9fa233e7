"""How a query becomes an ordered list of facilities: what is literally there first, then the rest.

Every step looks at a bounded number of names, so that no query costs much more than another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final, NamedTuple

from medblocks_connect.facilities.matching.fuzzy import find_alike
from medblocks_connect.facilities.matching.index import FacilityIndex
from medblocks_connect.facilities.matching.normalization import FILLER
from medblocks_connect.facilities.matching.query import STATE_MARK, Query
from medblocks_connect.facilities.matching.ranking import Size, Tier

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
    best = min(ranked.values(), default=Tier.ALIKE)
    is_plain = len(query.telling) >= _PLAIN_FROM and best <= Tier.NAME_BEGINS
    if len(ranked) < _LITERAL_IS_ENOUGH and not is_plain:
        for number in _find_by_initials(index, query, is_wanted, chosen):
            ranked.setdefault(number, Tier.INITIALS)
        for each in find_alike(index, query, is_wanted, chosen):
            if ranked.setdefault(each.name, Tier.ALIKE) is Tier.ALIKE and not each.bears_query:
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
    judged = [
        (_judge(index, query, number, chosen), number) for number in found if is_wanted(number)
    ]
    return {number: place.tier for place, number in sorted(judged)}


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


class _Place(NamedTuple):
    """How a name that holds the query matches it: the lower, the better."""

    is_trial: bool
    state: int  # 0 where it is that of the query, 1 unknown, 2 another
    tier: Tier
    missing: int
    is_scattered: bool
    size: int
    not_chosen: int


def _judge(index: FacilityIndex, query: Query, number: int, chosen: Mapping[int, int]) -> _Place:
    text = index.texts[number]
    name, _mark, state = text[1:].partition(STATE_MARK)
    is_scattered = not any(f" {' '.join(each)}" in text for each in (query.words, query.typed))
    is_there = state == query.likely_state != ""
    sought = query.beside_state if is_there else query.words
    telling = {query.words[place] for place in query.telling}
    joined = name.replace(" ", "")
    in_order = name.split()
    held = {*in_order, *(set(query.words) - set(sought))}
    if joined in {query.joined, "".join(sought)}:
        tier = Tier.EXACT
    elif held - FILLER == telling - FILLER or held == telling:
        tier = Tier.SAME_WORDS
    elif joined.startswith((query.joined, "".join(query.typed), "".join(sought))) or _begins(
        in_order, sought
    ):
        tier = Tier.NAME_BEGINS
    else:
        tier = Tier.WORDS_BEGIN
    may_be_a_word = query.state_place is not None and not is_scattered
    is_elsewhere = query.likely_state and not (is_there or may_be_a_word)
    size = index.sizes[number]
    return _Place(
        is_trial=size == Size.TRIAL and tier is not Tier.EXACT,
        state=(2 if state else 1) if is_elsewhere else 0,
        tier=tier,
        missing=0 if held.issuperset(query.words) else 1 if telling <= held else 2,
        is_scattered=is_scattered,
        size=size,
        not_chosen=-chosen.get(index.keys[number], 0),
    )


def _begins(words: list[str], typed: tuple[str, ...]) -> bool:
    """Return whether the words typed begin the name's words one by one: "mass gen hosp"."""
    return len(typed) <= len(words) and all(map(str.startswith, words, typed))


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
