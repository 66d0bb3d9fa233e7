"""The search of an index: names that hold what was typed, then initials, then similar names.

Every step looks at a bounded number of names, so that no query costs much more than another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Final

from medblocks_connect.facilities.matching.fuzzy import find_similar_names
from medblocks_connect.facilities.matching.index import FacilityIndex
from medblocks_connect.facilities.matching.query import STATE_MARK, Query
from medblocks_connect.facilities.matching.ranking import Tier, rank_literal_match

MAXIMUM_MATCHES: Final = 100
"""Facilities found by one query at most: nobody reads on after that."""

_MOST_LITERAL_MATCHES: Final = 200
_ENOUGH_LITERAL_MATCHES: Final = 10  # with so many that hold what was typed, nothing was misspelt
_ENOUGH_WORDS: Final = 3  # distinctive ones; where a name begins with so many, none is a slip
_INITIALS_LENGTHS: Final = range(3, 8)


@dataclass(frozen=True, slots=True)
class Match:
    """A facility found: the caller's ``key`` for it, and how it matches.

    ``contains_query`` is whether it has every distinctive word, and not only something similar;
    ``found_as`` is the folded name, of possibly several, that it was found by.
    """

    key: int
    tier: Tier
    contains_query: bool = True
    found_as: str = ""


def search_index(
    index: FacilityIndex,
    text: str,
    *,
    kind: str = "",
    most: int = MAXIMUM_MATCHES,
    chosen: Mapping[int, int] | None = None,
) -> list[Match]:
    """Return up to ``most`` facilities for what a patient typed, the best first.

    ``kind`` keeps those of one kind of record system; ``chosen`` says how often a facility was
    chosen lately, by its key. Never raises, whatever ``text`` is.
    """
    query = Query.of(text)
    if not query.words or not len(index):
        return []
    is_of_kind = _filter_by_kind(index, kind)
    chosen = chosen or {}
    ranked = _find_literal_matches(index, query, is_of_kind, chosen)
    only_similar: set[int] = set()
    best = min(ranked.values(), default=Tier.SIMILAR)
    is_plain = len(query.distinctive) >= _ENOUGH_WORDS and best <= Tier.NAME_BEGINS
    if len(ranked) < _ENOUGH_LITERAL_MATCHES and not is_plain:
        for number in _find_by_initials(index, query, is_of_kind, chosen):
            ranked.setdefault(number, Tier.INITIALS)
        for name in find_similar_names(index, query, is_of_kind, chosen):
            tier = ranked.setdefault(name.number, Tier.SIMILAR)
            if tier is Tier.SIMILAR and not name.contains_query:
                only_similar.add(name.number)
    # A facility is in the index under its name and under each alias of it.
    best_by_key: dict[int, Match] = {}
    for number, tier in ranked.items():
        key = index.keys[number]
        if key not in best_by_key:
            contains_query = number not in only_similar
            best_by_key[key] = Match(key, tier, contains_query, index.name(number))
    return list(best_by_key.values())[:most]


def _filter_by_kind(index: FacilityIndex, kind: str) -> Callable[[int], bool]:
    if not kind:
        return lambda _number: True
    if kind not in index.kind_names:
        return lambda _number: False
    wanted, kinds = index.kind_names.index(kind), index.kinds
    return lambda number: kinds[number] == wanted


def _find_literal_matches(
    index: FacilityIndex,
    query: Query,
    is_of_kind: Callable[[int], bool],
    chosen: Mapping[int, int],
) -> dict[int, Tier]:
    """Return the names that hold every distinctive word as typed, or its beginning, in order."""
    numbers: dict[int, None] = {}  # without repeats; their order counts nothing
    for joined in {query.joined, "".join([*query.words[:-1], query.typed[-1]])}:
        numbers.update(dict.fromkeys(index.find_beginning(joined, _MOST_LITERAL_MATCHES)))
    every_word = [query.readings(place) for place in range(len(query.words))]
    distinctive = [every_word[place] for place in query.distinctive]
    searches = [every_word, distinctive] if len(distinctive) < len(every_word) else [every_word]
    if query.state_place is not None:
        rest = [every_word[place] for place in query.distinctive if place != query.state_place]
        searches.insert(0, [*rest, [STATE_MARK + query.likely_state]])
    for readings in searches:
        holding = (
            number
            for number in _holders_of_rarest(index, readings)
            if _contains_all(index.texts[number], readings) and is_of_kind(number)
        )
        numbers.update(dict.fromkeys(islice(holding, _MOST_LITERAL_MATCHES)))
    if len(numbers) >= _MOST_LITERAL_MATCHES:  # those chosen lately may be beyond
        for number in chain.from_iterable(index.find_entries(key) for key in chosen):
            if _contains_all(index.texts[number], distinctive):
                numbers[number] = None
    ranks = [
        rank_literal_match(
            query,
            index.texts[number],
            size=index.sizes[number],
            times_chosen=chosen.get(index.keys[number], 0),
            number=number,
        )
        for number in numbers
        if is_of_kind(number)
    ]
    return {rank.number: rank.tier for rank in sorted(ranks)}


def _holders_of_rarest(index: FacilityIndex, readings: list[list[str]]) -> Iterable[int]:
    """Return the names that hold the rarest of the words, those with the whole word first."""
    spans = [
        [index.vocabulary.find_beginning(reading.strip()) for reading in of_word]
        for of_word in readings
    ]
    rarest = min(spans, key=lambda of_word: sum(map(index.count_all_holders, of_word)))
    words = [span for span in rarest if span]
    whole = chain.from_iterable(index.holders(span.start) for span in words)
    return chain(whole, *(index.find_holders(span) for span in words))


def _contains_all(text: str, readings: list[list[str]]) -> bool:
    return all(any(reading in text for reading in of_word) for of_word in readings)


def _find_by_initials(
    index: FacilityIndex,
    query: Query,
    is_of_kind: Callable[[int], bool],
    chosen: Mapping[int, int],
) -> list[int]:
    """Return names that a lone short word abbreviates: "ucsf"."""
    if len(query.words) != 1 or len(query.typed[0]) not in _INITIALS_LENGTHS:
        return []
    numbers = index.find_initials(query.typed[0], _MOST_LITERAL_MATCHES, chosen)
    return [number for number in numbers if is_of_kind(number)]
