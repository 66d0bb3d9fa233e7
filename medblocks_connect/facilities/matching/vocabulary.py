"""Which words of the catalog a typed word may mean: the same, longer, or misspelt.

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
_MEMORY: Final = 2048  # words whose meanings are kept
_SOUNDS_ALIKE: Final = 0.78
_GOOD: Final = 0.8  # with such a likeness, nothing else is looked at
_BEGINNING: Final = 0.93  # a word that was not typed to its end
_MISSPELT: Final = 0.95


class Lists:
    """Many short lists of numbers in two arrays: a list object each would cost ten times more."""

    __slots__ = ("_items", "_starts")

    def __init__(self, lists: Iterable[Sequence[int]]) -> None:
        self._items = array("I")
        self._starts = array("I", [0])
        for each in lists:
            self._items.extend(each)
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
            for trigram in _pieces_of(word):
                place = self._trigrams.setdefault(trigram, len(grouped))
                if place == len(grouped):
                    grouped.append([])
                grouped[place].append(number)
        self._holders = Lists(grouped)
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
        found = (self.find(word[:length]) for length in range(3, min(len(word), 8)))
        return [number for number in found if number is not None]

    def find_misspelt(self, word: str, *, by_sound: bool = False) -> Mapping[int, float]:
        """Return what ``word`` may mean, at most a dozen words, each with a likeness below 1.

        ``by_sound`` also looks for words that sound alike where none is spelt much alike.
        """
        known = self._meanings.get((word, by_sound))
        if known is None:
            known = self._measure(word, by_sound=by_sound)
            if len(self._meanings) >= _MEMORY:
                self._meanings.clear()
            self._meanings[word, by_sound] = known
        return known

    def _measure(self, word: str, *, by_sound: bool) -> Mapping[int, float]:
        shared = self._count_shared(word)
        likeness: dict[int, float] = {}
        for enough in _least_shared(word):
            candidates = [number for number, count in shared.items() if count >= enough]
            spelt = [self.words[number] for number in candidates]
            _note(likeness, candidates, _compare(word, spelt), word, 1.0)
            if len(word) > _SHORT and max(likeness.values(), default=0.0) < _GOOD:
                beginnings = [each[: len(word)] for each in spelt]
                _note(likeness, candidates, _compare(word, beginnings), word, _BEGINNING)
            if likeness:
                break
        if by_sound and max(likeness.values(), default=0.0) < _GOOD:
            for number in self._find_sound(word):
                likeness[number] = max(likeness.get(number, 0.0), _SOUNDS_ALIKE)
        best = sorted(likeness, key=lambda number: (-likeness[number], number))
        return {number: likeness[number] for number in best[:_MOST_MEANINGS]}

    def _find_sound(self, word: str) -> list[int]:
        """Return the words that sound like ``word``, however they are spelt."""
        sound = sound_of(word)
        first = bisect_left(self._by_sound, sound, key=self._sound)
        alike = takewhile(lambda number: self._sound(number) == sound, self._by_sound[first:])
        return list(islice(alike, _MOST_MEANINGS))

    def _sound(self, number: int) -> str:
        return sound_of(self.words[number])

    def _count_shared(self, word: str) -> Counter[int]:
        """Return how many trigrams words share with ``word``, the rarest trigrams alone."""
        places = (self._trigrams.get(each) for each in _pieces_of(word))
        known = sorted((self._holders.length(each), each) for each in places if each is not None)
        shared: Counter[int] = Counter()
        spent = 0
        for length, place in known:
            if spent and spent + length > _TRIGRAM_BUDGET:
                break
            spent += length
            shared.update(self._holders[place])
        return shared


def _pieces_of(word: str) -> set[str]:
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


def _compare(word: str, others: list[str]) -> list[tuple[int, int]]:
    """Return (slips, place) of the others that are near enough, the nearest first."""
    found = process.extract(
        word,
        others,
        scorer=OSA.distance,
        processor=None,
        score_cutoff=allowed_slips(len(word)),
        limit=_MOST_MEANINGS,
    )
    return [(int(slips), place) for _other, slips, place in found]


def _note(
    likeness: dict[int, float],
    candidates: list[int],
    found: list[tuple[int, int]],
    word: str,
    share: float,
) -> None:
    for slips, place in found:
        number = candidates[place]
        like = share * _MISSPELT * (1 - slips / (len(word) + 1))
        if like > likeness.get(number, 0.0):
            likeness[number] = like
