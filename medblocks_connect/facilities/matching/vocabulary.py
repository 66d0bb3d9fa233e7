"""The words of the catalog, and those that a typed word may mean: the same, longer, or misspelt.

A few thousand words stand for all names, so a misspelling is looked for among words and not
among names: that is what makes it fast. Candidates come from trigrams, the rarest first, up to a
fixed number, so that no input costs more than another; rapidfuzz then measures them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, takewhile
from typing import Final

from rapidfuzz import process
from rapidfuzz.distance import OSA

from medblocks_connect.facilities.matching.normalization import sound_of

_TRIGRAM_BUDGET: Final = 1500  # vocabulary entries looked at for one word
_SHORT: Final = 4  # letters; a transposition leaves such a word no trigram at all
_MOST_MEANINGS: Final = 12
_MEANINGS_KEPT: Final = 2048  # words whose meanings are kept
_SAME_SOUND: Final = 0.78
_GOOD_ENOUGH: Final = 0.8  # with such a similarity, nothing else is looked at
_BEGINNING: Final = 0.93  # a word that was not typed to its end
_MISSPELT: Final = 0.95


class PackedLists:
    """Many short lists of numbers in two arrays: a list object each would cost ten times more."""

    __slots__ = ("_items", "_starts")

    def __init__(self, lists: Iterable[Sequence[int]]) -> None:
        self._items = array("I")
        self._starts = array("I", [0])
        for numbers in lists:
            self._items.extend(numbers)
            self._starts.append(len(self._items))

    def __getitem__(self, number: int) -> array[int]:
        return self._items[self._starts[number] : self._starts[number + 1]]

    def length(self, number: int) -> int:
        """Return how long the list ``number`` is, without copying it."""
        return self._starts[number + 1] - self._starts[number]

    def span(self, numbers: range) -> array[int]:
        """Return the lists ``numbers`` one after the other."""
        return self._items[self._starts[numbers.start] : self._starts[numbers.stop]]

    def span_length(self, numbers: range) -> int:
        """Return how long all the lists ``numbers`` are together."""
        return self._starts[numbers.stop] - self._starts[numbers.start]


class Vocabulary:
    """The distinct words of a catalog, in alphabetical order; a word is known by its number."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words = sorted(words)
        self._trigrams: dict[str, int] = {}
        grouped: list[list[int]] = []
        for number, word in enumerate(self.words):
            for trigram in _split_into_trigrams(word):
                place = self._trigrams.setdefault(trigram, len(grouped))
                if place == len(grouped):
                    grouped.append([])
                grouped[place].append(number)
        self._holders = PackedLists(grouped)
        self._by_sound = array("I", sorted(range(len(self.words)), key=self._sound))
        self._meanings: dict[tuple[str, bool], Mapping[int, float]] = {}

    def find(self, word: str) -> int | None:
        """Return the number of exactly this word."""
        place = bisect_left(self.words, word)
        return place if place < len(self.words) and self.words[place] == word else None

    def find_beginning(self, beginning: str) -> range:
        """Return the numbers of all words that begin so."""
        first = bisect_left(self.words, beginning)
        return range(first, bisect_left(self.words, beginning + "\U0010ffff", first))

    def find_short_forms(self, word: str) -> list[int]:
        """Return the words of 3 letters or more that ``word`` begins with ("med" for "medical")."""
        numbers = (self.find(word[:length]) for length in range(3, min(len(word), 8)))
        return [number for number in numbers if number is not None]

    def find_misspelt(self, word: str, *, by_sound: bool = False) -> Mapping[int, float]:
        """Return the words that ``word`` may mean, at most a dozen, each with a similarity below 1.

        ``by_sound`` also looks for words that sound alike where none is spelt so similarly.
        """
        meanings = self._meanings.get((word, by_sound))
        if meanings is None:
            meanings = self._compare_with_all(word, by_sound=by_sound)
            if len(self._meanings) >= _MEANINGS_KEPT:
                self._meanings.clear()
            self._meanings[word, by_sound] = meanings
        return meanings

    def _compare_with_all(self, word: str, *, by_sound: bool) -> Mapping[int, float]:
        shared = self._count_shared(word)
        similarity: dict[int, float] = {}
        for enough in _least_shared(word):
            candidates = [number for number, count in shared.items() if count >= enough]
            spelt = [self.words[number] for number in candidates]
            _keep_best(similarity, candidates, _find_near(word, spelt), word, 1.0)
            if len(word) > _SHORT and max(similarity.values(), default=0.0) < _GOOD_ENOUGH:
                beginnings = [candidate[: len(word)] for candidate in spelt]
                _keep_best(similarity, candidates, _find_near(word, beginnings), word, _BEGINNING)
            if similarity:
                break
        if by_sound and max(similarity.values(), default=0.0) < _GOOD_ENOUGH:
            for number in self._find_sound(word):
                similarity[number] = max(similarity.get(number, 0.0), _SAME_SOUND)
        best = sorted(similarity, key=lambda number: (-similarity[number], number))
        return {number: similarity[number] for number in best[:_MOST_MEANINGS]}

    def _find_sound(self, word: str) -> list[int]:
        """Return the words that sound like ``word``, however they are spelt."""
        sound = sound_of(word)
        first = bisect_left(self._by_sound, sound, key=self._sound)
        same = takewhile(lambda number: self._sound(number) == sound, self._by_sound[first:])
        return list(islice(same, _MOST_MEANINGS))

    def _sound(self, number: int) -> str:
        return sound_of(self.words[number])

    def _count_shared(self, word: str) -> Counter[int]:
        """Return how many trigrams words share with ``word``, the rarest trigrams alone."""
        places = (self._trigrams.get(trigram) for trigram in _split_into_trigrams(word))
        lengths = [(self._holders.length(place), place) for place in places if place is not None]
        shared: Counter[int] = Counter()
        spent = 0
        for length, place in sorted(lengths):
            if spent and spent + length > _TRIGRAM_BUDGET:
                break
            spent += length
            shared.update(self._holders[place])
        return shared


def _split_into_trigrams(word: str) -> set[str]:
    """Return the trigrams of ``word``; of a short one also its ends.

    One slip in a short word mostly leaves its first two letters, its last two, or both ends.
    """
    padded = f" {word} "
    pieces = {padded[place : place + 3] for place in range(len(padded) - 2)}
    if len(word) <= _SHORT + 1:
        pieces |= {f"^{word[:2]}", f"{word[-2:]}$", f"{word[:1]}_{word[-1:]}"}
    return pieces


def _least_shared(word: str) -> tuple[int, ...]:
    """Return how many trigrams a word must share with ``word`` to be looked at; then how few."""
    if len(word) <= _SHORT + 2:
        return (1,)
    # One slip leaves all but four trigrams; two slips mostly one in three, seldom one in four.
    return max(2, len(word) // 3), max(2, len(word) // 4)


def allowed_slips(length: int) -> int:
    """Return how many slips of the finger a word of ``length`` letters may have."""
    if length <= 6:
        return 1 if length > 1 else 0
    return 2 if length <= 8 else 3


def _find_near(word: str, candidates: list[str]) -> list[tuple[int, int]]:
    """Return (slips, place) of the candidates that are near enough, the nearest first."""
    near = process.extract(
        word,
        candidates,
        scorer=OSA.distance,
        processor=None,
        score_cutoff=allowed_slips(len(word)),
        limit=_MOST_MEANINGS,
    )
    return [(int(slips), place) for _candidate, slips, place in near]


def _keep_best(
    similarity: dict[int, float],
    candidates: list[int],
    near: list[tuple[int, int]],
    word: str,
    share: float,
) -> None:
    for slips, place in near:
        number = candidates[place]
        measured = share * _MISSPELT * (1 - slips / (len(word) + 1))
        if measured > similarity.get(number, 0.0):
            similarity[number] = measured
