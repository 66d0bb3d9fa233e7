"""Similar names: found word by word, misspelt or not, where a name does not hold what was typed.

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

_MOST_CANDIDATES: Final = 1200  # gathered for the rarest words; others only add to these
_MOST_CANDIDATES_THOROUGHLY: Final = 6000  # where the first look found nothing similar enough
_FEW_CANDIDATES: Final = 150  # so few are measured without gathering more
_CHEAPER: Final = 3  # times
_NAMES_BUDGET: Final = 40_000  # names looked at for one query
_MOST_MEASURED: Final = 60  # names measured in full
_MOST_SIMILAR: Final = 50
_SHORT_QUERY: Final = 2  # words, of which one that the catalog has may still be a slip
_ENOUGH_SIMILAR: Final = 10  # names, beyond which nothing else is looked for
_PROMISING: Final = 0.55  # of the best candidate's score
_LEAST_COVERED: Final = 0.4
_WELL_COVERED: Final = 0.5
_SIMILAR_AS_WHOLE: Final = 0.75  # with a slip in each of its words a name is still so similar
_NEAR_BEST: Final = 0.75  # of the best, where that has all the words
# What a similarity is made of: the words, the whole name, its beginning, and how large it sounds.
_WORDS_SHARE: Final = 0.65
_WHOLE_SHARE: Final = 0.2
_START_SHARE: Final = 0.15
_SIZE_SHARE: Final = 0.02
_STATE_SHARE: Final = 0.05
_UNDERSTOOD: Final = 0.6  # a word that is at least so similar is understood
_SURE: Final = 0.755  # and so, it hardly means anything else: one slip in four letters or more
_AS_TYPED: Final = 0.8  # as good as typed so: one slip in six letters or more
_MANY_SLIPS: Final = 2  # words; whoever makes so many slips means this, and no stranger


@dataclass(frozen=True, slots=True)
class SimilarName:
    """A name of the index that is similar to the query, and how surely it is the one meant."""

    number: int
    similarity: float
    is_complete: bool  # every distinctive word is understood
    is_sure: bool  # and can hardly mean anything else
    contains_query: bool  # and has what was typed: it is no other place of a similar name


def find_similar_names(
    index: FacilityIndex,
    query: Query,
    is_of_kind: Callable[[int], bool],
    chosen: Mapping[int, int],
) -> list[SimilarName]:
    """Return the names that are similar to the query, in the order of ``rank_similarity``.

    ``chosen`` says how often a facility was chosen lately, by its key.
    """

    def rank(name: SimilarName) -> tuple[float, int, int]:
        return rank_similarity(name.similarity, chosen.get(index.keys[name.number], 0), name.number)

    best_by_number: dict[int, SimilarName] = {}
    for thoroughly in (False, True):
        words = read_words(index, query, chosen, thoroughly=thoroughly)
        most = _MOST_CANDIDATES_THOROUGHLY if thoroughly else _MOST_CANDIDATES
        gathered = _gather_candidates(index, words, most, chosen)
        candidates = [number for number in gathered if is_of_kind(number)][:_MOST_MEASURED]
        measured = sorted(_measure_candidates(index, query, words, candidates), key=rank)
        for name in measured:
            best = best_by_number.setdefault(name.number, name)
            if name.similarity > best.similarity:
                best_by_number[name.number] = name
        is_enough = len(words) > _SHORT_QUERY or len(measured) >= _ENOUGH_SIMILAR
        if measured and measured[0].is_sure and is_enough:
            break
    names = sorted(best_by_number.values(), key=rank)[:_MOST_SIMILAR]
    highest = names[0].similarity if names and names[0].is_complete else 0.0
    return [name for name in names if name.similarity >= _NEAR_BEST * highest]


def _gather_candidates(
    index: FacilityIndex, words: list[Word], most: int, chosen: Mapping[int, int]
) -> list[int]:
    """Return the most promising names, by the words they hold, the rarest words first.

    Names come in anew up to about ``most``; beyond that a word only decides between those found.
    """
    scores: dict[int, float] = {}
    spent = 0
    for word in sorted(words, key=lambda word: (word.is_filler, word.total)):
        if spent > _NAMES_BUDGET:
            break
        if scores and len(scores) <= _FEW_CANDIDATES and (word.is_filler or word.total > most):
            continue  # measuring these few in full costs less
        spent += _add_scores(index, word, scores, most)
    least = _PROMISING * max(scores.values(), default=0.0)
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
        for number in scores:
            if beginning in index.texts[number]:
                scores[number] += word.weight
        return len(scores)
    added = _score_holders(index, word)
    if is_full:
        for number in scores.keys() & added.keys():
            scores[number] += added[number]
    else:
        for number, score in added.items():
            scores[number] = scores.get(number, 0.0) + score
    return len(added)


def _score_holders(index: FacilityIndex, word: Word) -> dict[int, float]:
    """Return the names that hold a meaning of ``word``, each with what the best one is worth."""
    scores: dict[int, float] = {}
    for part, share in word.parts.items():
        for number in index.holders(part):
            scores[number] = scores.get(number, 0.0) + word.weight * share
    for meaning in sorted(word.meanings, key=word.meanings.__getitem__):
        scores.update(dict.fromkeys(index.holders(meaning), word.weight * word.meanings[meaning]))
    for number, similarity in word.initials_of.items():
        scores[number] = max(word.weight * similarity, scores.get(number, 0.0))
    return scores


def _measure_candidates(
    index: FacilityIndex, query: Query, words: list[Word], candidates: list[int]
) -> list[SimilarName]:
    meanings = _group_by_spelling(index, words)
    weights = [word.weight for word in words]
    weight_of_all = sum(weights)
    places = range(len(words))
    distinctive = [place for place in places if not words[place].is_filler] or [*places]
    distinctive_weight = sum(weights[place] for place in distinctive)
    joined = query.joined
    measured = []
    for number in candidates:
        by_word = _compare_words(index.texts[number].split(), meanings, words, number)
        covered = sum(map(mul, weights, by_word)) / weight_of_all
        if covered < _LEAST_COVERED:
            continue
        name = index.joined(number)
        # What a long name holds beyond twice what was typed makes it no less similar.
        as_whole = fuzz.ratio(joined, name[: 2 * len(joined)]) / 100
        if covered < _WELL_COVERED and as_whole < _SIMILAR_AS_WHOLE:
            continue
        similarity = (
            _WORDS_SHARE * covered
            + _WHOLE_SHARE * as_whole
            + _START_SHARE * fuzz.ratio(joined, name[: len(joined)]) / 100
            - _SIZE_SHARE * index.sizes[number]
            + _compare_states(index.texts[number], query.likely_state)
        )
        least = min(by_word[place] for place in distinctive)
        is_complete, is_sure = least >= _UNDERSTOOD, least >= _SURE
        as_typed = sum(weights[place] for place in distinctive if by_word[place] >= _AS_TYPED)
        misspelt = sum(by_word[place] < BEGINNING for place in distinctive)
        is_there = misspelt >= _MANY_SLIPS or as_typed >= distinctive_weight / 2
        contains_query = is_sure and is_there
        measured.append(
            SimilarName(number, round(similarity, 3), is_complete, is_sure, contains_query)
        )
    return measured


def _compare_states(text: str, state: str) -> float:
    """Return what it is worth that a name is in the state that may have been typed, or is not."""
    if not state or STATE_MARK not in text:
        return 0.0
    return _STATE_SHARE if text.endswith(STATE_MARK + state) else -_STATE_SHARE


_MeaningsBySpelling = dict[str, list[tuple[int, float, bool]]]


def _group_by_spelling(index: FacilityIndex, words: list[Word]) -> _MeaningsBySpelling:
    """Return, for each word a name may hold: (place in the query, similarity, is only a part)."""
    spelt = index.vocabulary.words
    meanings: _MeaningsBySpelling = {}
    for place, word in enumerate(words):
        for number, similarity in word.meanings.items():
            meanings.setdefault(spelt[number], []).append((place, similarity, False))
        for number, share in word.parts.items():
            meanings.setdefault(spelt[number], []).append((place, share, True))
    return meanings


def _compare_words(
    held: list[str], meanings: _MeaningsBySpelling, words: list[Word], number: int
) -> list[float]:
    """Return, for each word of the query, the similarity of what the name ``number`` holds."""
    by_word = [0.0] * len(words)
    parts = by_word.copy()
    for held_word in held:
        for place, similarity, is_part in meanings.get(held_word, ()):
            if is_part:
                parts[place] += similarity
            elif similarity > by_word[place]:
                by_word[place] = similarity
    for place, word in enumerate(words):
        if word.parts or word.initials_of:
            by_word[place] = max(
                by_word[place], min(parts[place], 1.0), word.initials_of.get(number, 0.0)
            )
    return by_word
