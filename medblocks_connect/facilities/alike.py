"""How a name that does not hold what was typed is still found: word by word, misspelt or not.

The names that hold meanings of the query's rarest words are the candidates; they are measured
word by word, and as a whole with rapidfuzz.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rapidfuzz import fuzz

from medblocks_connect.facilities.index import FacilityIndex
from medblocks_connect.facilities.meanings import BEGINNING, Word, read_words
from medblocks_connect.facilities.query import Query

_FIRST_NAMES: Final = 1200  # gathered for the rarest words; others only add to these
_FEW_NAMES: Final = 150  # so few are measured without gathering more
_WHOLE_BUDGET: Final = 40_000  # names looked at for one query
_MEASURED: Final = 80  # names measured in full
_MOST_ALIKE: Final = 50
_LEAST_COVERED: Final = 0.42
# What a likeness is made of: the words, the whole name, its beginning, and how large it sounds.
_WORDS_SHARE: Final = 0.65
_WHOLE_SHARE: Final = 0.2
_START_SHARE: Final = 0.15
_SIZE_SHARE: Final = 0.01
_WELL: Final = 0.6  # a word that is at least so like is understood


@dataclass(frozen=True, slots=True)
class _Measured:
    """How like a name is to the query; compared by ``order``."""

    order: tuple[float, int]  # the most like first, then by number
    is_complete: bool  # every telling word is understood


def find_alike(index: FacilityIndex, query: Query, is_wanted: Callable[[int], bool]) -> list[int]:
    """Return the names that are like the query, the most like first."""
    measured: list[_Measured] = []
    for thoroughly in (False, True):
        words = read_words(index, query, thoroughly=thoroughly)
        candidates = [each for each in _gather(index, words) if is_wanted(each)]
        measured = _measure(index, query, words, candidates[:_MEASURED])
        if measured and measured[0].is_complete:
            break
    return [each.order[1] for each in measured[:_MOST_ALIKE]]


def _gather(index: FacilityIndex, words: list[Word]) -> list[int]:
    """Return the most promising names, by the words they hold, the rarest words first."""
    scores: dict[int, float] = {}
    spent = 0
    for word in sorted(words, key=lambda each: (each.is_filler, each.total)):
        if spent and len(scores) <= _FEW_NAMES and (word.is_filler or word.total > _FIRST_NAMES):
            continue  # measuring these few in full costs less
        if spent > _WHOLE_BUDGET:
            break
        worths = _worths(index, word)
        spent += len(worths)
        if not scores:
            scores = worths
        elif len(scores) + len(worths) <= _FIRST_NAMES:
            for name, worth in worths.items():
                scores[name] = scores.get(name, 0.0) + worth
        else:
            for name in scores.keys() & worths.keys():
                scores[name] += worths[name]
    least = 0.55 * max(scores.values(), default=0.0)
    promising = sorted(name for name, score in scores.items() if score >= least)
    promising.sort(key=scores.__getitem__, reverse=True)
    return promising


def _worths(index: FacilityIndex, word: Word) -> dict[int, float]:
    """Return the names that hold a meaning of ``word``, each with what the best one is worth."""
    worths: dict[int, float] = {}
    meanings = word.all_meanings()
    for number in sorted(meanings, key=meanings.__getitem__):
        worths.update(dict.fromkeys(index.holders(number), word.weight * meanings[number]))
    for name, likeness in word.initials_of.items():
        worths[name] = max(word.weight * likeness, worths.get(name, 0.0))
    return worths


def _measure(
    index: FacilityIndex, query: Query, words: list[Word], candidates: list[int]
) -> list[_Measured]:
    spelt = index.vocabulary.words
    spelt_out = [
        (
            word,
            {spelt[number]: likeness for number, likeness in word.meanings.items()},
            {spelt[number]: share for number, share in word.parts.items()},
        )
        for word in words
    ]
    weight = sum(word.weight for word in words)
    joined = query.joined
    measured = []
    for name in candidates:
        held = index.texts[name].split()
        covered, is_complete = 0.0, True
        for word, meanings, parts in spelt_out:
            likeness = max([meanings.get(each, 0.0) for each in held])
            if parts and likeness < BEGINNING:
                likeness = max(likeness, sum([parts.get(each, 0.0) for each in held]))
            likeness = max(likeness, word.initials_of.get(name, 0.0))
            covered += word.weight * likeness
            is_complete = is_complete and (likeness >= _WELL or word.is_filler)
        covered /= weight
        if covered >= _LEAST_COVERED:
            other = index.joined(name)
            score = (
                _WORDS_SHARE * covered
                + _WHOLE_SHARE * fuzz.ratio(joined, other) / 100
                + _START_SHARE * fuzz.ratio(joined, other[: len(joined)]) / 100
                - _SIZE_SHARE * index.sizes[name]
            )
            measured.append(_Measured((-round(score, 3), name), is_complete))
    measured.sort(key=lambda each: each.order)
    return measured
