"""The index: the names of a whole catalog in memory, to be searched; small, and read-only.

An index is built once per version of the catalog and shared by the threads of a process. The
names are numbered in the order of ``rank_in_catalog``: wherever only some of many can be looked
at, the lowest numbers are the right ones.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from heapq import nsmallest
from itertools import takewhile

from medblocks_connect.facilities.matching.normalization import fold_fully, initials_of
from medblocks_connect.facilities.matching.ranking import (
    CatalogRank,
    rank_in_catalog,
    rank_initials,
    take_beginnings,
)
from medblocks_connect.facilities.matching.states import split_state
from medblocks_connect.facilities.matching.vocabulary import PackedLists, Vocabulary

_LAST = "\U0010ffff"
_SCANNED_AT_MOST = 20_000  # beyond it, so many names match that the first ones do


@dataclass(frozen=True)
class IndexEntry:
    """A facility as the index takes it: ``key`` is whatever number the caller knows it by."""

    key: int
    name: str
    kind: str = ""


class FacilityIndex:
    """The names of a catalog, to be searched with ``search_index``.

    ``texts`` holds the folded names, each with a space before it and the state's code after a
    mark; ``sizes``, ``keys`` and ``kinds`` are parallel to it.
    """

    def __init__(self, entries: Iterable[IndexEntry]) -> None:
        ranks = sorted(_rank(entry) for entry in entries)
        self.texts = [f" {rank.folded}{rank.state_mark}" for rank in ranks]
        self.sizes = array("B", (rank.size for rank in ranks))
        self.keys = array("q", (rank.key for rank in ranks))
        self.kind_names = sorted({rank.kind for rank in ranks})
        numbers = {kind: number for number, kind in enumerate(self.kind_names)}
        self.kinds = array("H", (numbers[rank.kind] for rank in ranks))
        del ranks
        self._by_start = array("I", sorted(range(len(self.texts)), key=self.joined))
        self._by_initials = array("I", sorted(range(len(self.texts)), key=self._initials))
        self._by_all_initials = array("I", sorted(range(len(self.texts)), key=self._all_initials))
        self._by_key = array("I", sorted(range(len(self.texts)), key=self.keys.__getitem__))
        holders: dict[str, list[int]] = {}
        for number, text in enumerate(self.texts):
            for word in set(text.split()):
                holders.setdefault(word, []).append(number)
        self.vocabulary = Vocabulary(holders)
        self._holders = PackedLists(holders[word] for word in self.vocabulary.words)

    def __len__(self) -> int:
        return len(self.texts)

    def name(self, number: int) -> str:
        """Return the folded name, without the state."""
        return self.texts[number].partition("\n")[0][1:]

    def joined(self, number: int) -> str:
        """Return the folded name without the spaces in it."""
        return self.name(number).replace(" ", "")

    def _initials(self, number: int) -> str:
        return initials_of(self.name(number))

    def _all_initials(self, number: int) -> str:
        return initials_of(self.name(number), with_little_words=True)

    def find_entries(self, key: int) -> Iterator[int]:
        """Return the entries of the caller's ``key``."""
        first = bisect_left(self._by_key, key, key=self.keys.__getitem__)
        while first < len(self) and self.keys[self._by_key[first]] == key:
            yield self._by_key[first]
            first += 1

    def find_beginning(self, joined: str, most: int) -> list[int]:
        """Return the names that begin with ``joined``, in the order of ``take_beginnings``."""
        first, last = self._bounds(self._by_start, joined, self.joined)
        names = self._by_start[first:last]
        exact = list(takewhile(lambda number: self.joined(number) == joined, names[:most]))
        return take_beginnings(exact, names[len(exact) :], most)

    def find_initials(self, initials: str, most: int, chosen: Mapping[int, int]) -> list[int]:
        """Return the names whose initials begin so: "ucsf" and "chop" both leave out no letter.

        They come in the order of ``rank_initials``; ``chosen`` says how often a facility was chosen
        lately, by its key.
        """
        is_whole: dict[int, bool] = {}  # by number: these initials and no more
        for order, key in (
            (self._by_initials, self._initials),
            (self._by_all_initials, self._all_initials),
        ):
            first, last = self._bounds(order, initials, key)
            for number in order[first:last]:
                is_whole[number] = is_whole.get(number, False) or key(number) == initials
        ranks = (
            rank_initials(
                is_whole=whole, times_chosen=chosen.get(self.keys[number], 0), number=number
            )
            for number, whole in is_whole.items()
        )
        return [number for _is_longer, _chosen, number in nsmallest(most, ranks)]

    def _bounds(
        self, order: array[int], beginning: str, key: Callable[[int], str]
    ) -> tuple[int, int]:
        first = bisect_left(order, beginning, key=key)
        return first, bisect_left(order, beginning + _LAST, first, key=key)

    def holders(self, word: int) -> array[int]:
        """Return the numbers of the names that hold the vocabulary's ``word``."""
        return self._holders[word]

    def count_holders(self, word: int) -> int:
        """Return how many names hold the vocabulary's ``word``."""
        return self._holders.length(word)

    def count_all_holders(self, words: range) -> int:
        """Return how many names hold one of ``words``, those with several counted as often."""
        return self._holders.span_length(words)

    def find_holders(self, words: range) -> Iterable[int]:
        """Return the names that hold one of ``words``, by number; all names where most do."""
        if self.count_all_holders(words) > _SCANNED_AT_MOST:
            return range(len(self))
        return sorted(set(self._holders.span(words)))


def _rank(entry: IndexEntry) -> CatalogRank:
    state, name = split_state(entry.name)
    return rank_in_catalog(fold_fully(name), state, entry.kind, entry.key)
