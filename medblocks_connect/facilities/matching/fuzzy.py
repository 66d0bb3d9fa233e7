"""How a name that does not hold what was typed is still found: word by word, misspelt or not.

The names that hold meanings of the query's rarest words are the candidates; they are measured
word by word, and as a whole with rapidfuzz.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import mul
from typing import Final

from rapidfuzz import fuzz

from medblocks_connect.facilities.matching.index import FacilityIndex
from medblocks_connect.facilities.matching.query import STATE_MARK, Query
from medblocks_connect.facilities.matching.ranking import rank_similarity
from medblocks_connect.facilities.matching.word_candidates import BEGINNING, Word, read_words

_FIRST_NAMES: Final = 1200  # gathered for the rarest words; others only add to these
_MANY_NAMES: Final = 6000  # the same, where the first look found nothing that is like enough
_FEW_NAMES: Final = 150  # so few are measured without gathering more
_CHEAPER: Final = 3  # times
_WHOLE_BUDGET: Final = 40_000  # names looked at for one query
_MEASURED: Final = 60  # names measured in full
_MOST_ALIKE: Final = 50
_SHORT: Final = 2  # words of a query in which one that the catalog has may still be a slip
_ENOUGH: Final = 10  # names alike, beyond which nothing else is looked for
_LEAST_COVERED: Final = 0.4
_WELL_COVERED: Final = 0.5
_ALIKE_AS_WHOLE: Final = 0.75  # with a slip in each of its words a name is still so like
_NEAR_BEST: Final = 0.75  # of the best, where that has all the words
# What a likeness is made of: the words, the whole name, its beginning, and how large it sounds.
_WORDS_SHARE: Final = 0.65
_WHOLE_SHARE: Final = 0.2
_START_SHARE: Final = 0.15
_SIZE_SHARE: Final = 0.02
_STATE_SHARE: Final = 0.05
_WELL: Final = 0.6  # a word that is at least so like is understood
_SURELY: Final = 0.755  # and so, it hardly means anything else: one slip in four letters or more
_AS_TYPED: Final = 0.8  # as good as typed so: one slip in six letters or more
_MANY_SLIPS: Final = 2  # words; whoever makes so many slips means this, and no stranger


@dataclass(frozen=True, slots=True)
class Alike:
    """How like a name is to the query."""

    name: int
    likeness: float
    is_complete: bool  # every telling word is understood
    is_sure: bool  # and can hardly mean anything else
    bears_query: bool  # and what was typed is there: it is no stranger with a name much like it


def find_alike(
    index: FacilityIndex,
    query: Query,
    is_wanted: Callable[[int], bool],
    chosen: Mapping[int, int],
) -> list[Alike]:
    """Return the names that are like the query, the most like first.

    Among those that are as like, the more ``chosen``, by their keys, come first.
    """

    def rank(each: Alike) -> tuple[float, int, int]:
        return rank_similarity(each.likeness, chosen.get(index.keys[each.name], 0), each.name)

    found: dict[int, Alike] = {}
    for thoroughly in (False, True):
        words = read_words(index, query, chosen, thoroughly=thoroughly)
        gathered = _gather(index, words, _MANY_NAMES if thoroughly else _FIRST_NAMES, chosen)
        candidates = [each for each in gathered if is_wanted(each)]
        measured = sorted(_measure(index, query, words, candidates[:_MEASURED]), key=rank)
        for each in measured:
            if each.name not in found or each.likeness > found[each.name].likeness:
                found[each.name] = each
        is_short = len(words) <= _SHORT
        if measured and measured[0].is_sure and not (is_short and len(measured) < _ENOUGH):
            break
    best_first = sorted(found.values(), key=rank)[:_MOST_ALIKE]
    best = best_first[0].likeness if best_first and best_first[0].is_complete else 0.0
    return [each for each in best_first if each.likeness >= _NEAR_BEST * best]


def _gather(
    index: FacilityIndex, words: list[Word], most: int, chosen: Mapping[int, int]
) -> list[int]:
    """Return the most promising names, by the words they hold, the rarest words first.

    Names come in anew up to about ``most``; beyond that a word only tells between those found.
    """
    scores: dict[int, float] = {}
    spent = 0
    for word in sorted(words, key=lambda each: (each.is_filler, each.total)):
        if spent > _WHOLE_BUDGET:
            break
        if scores and len(scores) <= _FEW_NAMES and (word.is_filler or word.total > most):
            continue  # measuring these few in full costs less
        spent += _add_scores(index, word, scores, most)
    least = 0.55 * max(scores.values(), default=0.0)
    ranks = [
        rank_similarity(score, chosen.get(index.keys[number], 0), number)
        for number, score in scores.items()
        if score >= least
    ]
    return [number for _score, _chosen, number in sorted(ranks)]


def _add_scores(index: FacilityIndex, word: Word, scores: dict[int, float], most: int) -> int:
    """Add what ``word`` is worth to the names that hold it; return how many were looked at."""
    is_full = bool(scores) and len(scores) + word.total > most
    if is_full and word.is_exact and len(scores) * _CHEAPER < word.total:
        # Looking into these few names costs less than listing all that hold the word.
        beginning = f" {word.typed}"
        for name in scores:
            if beginning in index.texts[name]:
                scores[name] += word.weight
        return len(scores)
    worths = _worths(index, word)
    if is_full:
        for name in scores.keys() & worths.keys():
            scores[name] += worths[name]
    else:
        for name, worth in worths.items():
            scores[name] = scores.get(name, 0.0) + worth
    return len(worths)


def _worths(index: FacilityIndex, word: Word) -> dict[int, float]:
    """Return the names that hold a meaning of ``word``, each with what the best one is worth."""
    worths: dict[int, float] = {}
    for number, share in word.parts.items():
        for name in index.holders(number):
            worths[name] = worths.get(name, 0.0) + word.weight * share
    for number in sorted(word.meanings, key=word.meanings.__getitem__):
        worths.update(dict.fromkeys(index.holders(number), word.weight * word.meanings[number]))
    for name, likeness in word.initials_of.items():
        worths[name] = max(word.weight * likeness, worths.get(name, 0.0))
    return worths


def _measure(
    index: FacilityIndex, query: Query, words: list[Word], candidates: list[int]
) -> list[Alike]:
    meanings = _by_spelling(index, words)
    weights = [word.weight for word in words]
    whole = sum(weights)
    places = range(len(words))
    telling = [place for place in places if not words[place].is_filler] or [*places]
    to_be_told = sum(weights[place] for place in telling)
    joined = query.joined
    measured = []
    for name in candidates:
        likeness = _liken(index.texts[name].split(), meanings, words, name)
        covered = sum(map(mul, weights, likeness)) / whole
        if covered < _LEAST_COVERED:
            continue
        other = index.joined(name)
        # What a long name holds beyond twice what was typed makes it no less like.
        alike_as_whole = fuzz.ratio(joined, other[: 2 * len(joined)]) / 100
        if covered >= _WELL_COVERED or alike_as_whole >= _ALIKE_AS_WHOLE:
            score = (
                _WORDS_SHARE * covered
                + _WHOLE_SHARE * alike_as_whole
                + _START_SHARE * fuzz.ratio(joined, other[: len(joined)]) / 100
                - _SIZE_SHARE * index.sizes[name]
                + _compare_states(index.texts[name], query.likely_state)
            )
            least = min(likeness[place] for place in telling)
            as_typed = sum(weights[place] for place in telling if likeness[place] >= _AS_TYPED)
            misspelt = sum(likeness[place] < BEGINNING for place in telling)
            is_sure = least >= _SURELY
            bears_query = is_sure and (misspelt >= _MANY_SLIPS or as_typed >= to_be_told / 2)
            measured.append(Alike(name, round(score, 3), least >= _WELL, is_sure, bears_query))
    return measured


def _compare_states(text: str, state: str) -> float:
    """Return what it is worth that a name is in the state that may have been typed, or is not."""
    if not state or STATE_MARK not in text:
        return 0.0
    return _STATE_SHARE if text.endswith(STATE_MARK + state) else -_STATE_SHARE


_Meanings = dict[str, list[tuple[int, float, bool]]]


def _by_spelling(index: FacilityIndex, words: list[Word]) -> _Meanings:
    """Return, for each word a name may hold: (place in the query, likeness, is only a part)."""
    spelt = index.vocabulary.words
    meanings: _Meanings = {}
    for place, word in enumerate(words):
        for number, likeness in word.meanings.items():
            meanings.setdefault(spelt[number], []).append((place, likeness, False))
        for number, share in word.parts.items():
            meanings.setdefault(spelt[number], []).append((place, share, True))
    return meanings


def _liken(held: list[str], meanings: _Meanings, words: list[Word], name: int) -> list[float]:
    """Return how like what a name holds is to each word of the query."""
    likeness = [0.0] * len(words)
    parts = likeness.copy()
    for each in held:
        for place, like, is_part in meanings.get(each, ()):
            if is_part:
                parts[place] += like
            elif like > likeness[place]:
                likeness[place] = like
    for place, word in enumerate(words):
        if word.parts or word.initials_of:
            likeness[place] = max(
                likeness[place], min(parts[place], 1.0), word.initials_of.get(name, 0.0)
            )
    return likeness
