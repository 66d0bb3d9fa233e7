"""Candidates for each word of a query: the words it may mean, how surely, and its weight."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from medblocks_connect.facilities.matching.abbreviations import FILLER, SYNONYMS
from medblocks_connect.facilities.matching.index import FacilityIndex
from medblocks_connect.facilities.matching.normalization import expand
from medblocks_connect.facilities.matching.query import Query
from medblocks_connect.facilities.matching.states import STATE_CODES
from medblocks_connect.facilities.matching.vocabulary import Vocabulary

BEGINNING: Final = 0.9
"""Similarity of a word that was not typed to its end."""

_SHORT_FORM: Final = 0.75
_DOUBTFUL_FORM: Final = 0.6  # of a word that the catalog does not know
_LONGEST_FORM: Final = 13  # letters of a word that is shortened; longer ones are run together
_INITIALS: Final = 0.8
_STATE: Final = 0.95
_RUN_TOGETHER: Final = 0.95
_FILLER_SHARE: Final = 0.25
_LONGEST_LIST: Final = 400  # beginnings looked at for one word
_MOST_INITIALS: Final = 50
_MOST_WORDS_WITH_INITIALS: Final = 4
_LENGTHS_OF_INITIALS: Final = range(3, 6)
_AS_GOOD: Final = 0.05
_SURE_LENGTH: Final = 6
_UNDERSTOOD: Final = 0.75
_SPLIT_FROM: Final = 7  # letters of two words run together, one of them misspelt


@dataclass(slots=True)
class Word:
    """One word of the query: what it may mean, by the vocabulary's numbers, and its weight."""

    typed: str
    meanings: dict[int, float] = field(default_factory=dict)
    parts: dict[int, float] = field(default_factory=dict)  # where it is two words run together
    initials_of: dict[int, float] = field(default_factory=dict)  # names, not words
    weight: float = 1.0
    total: int = 0  # how many names hold one of the meanings

    def add_meaning(self, number: int | None, similarity: float) -> None:
        """Note that the word may mean the vocabulary's ``number``."""
        if number is not None and similarity > self.meanings.get(number, 0.0):
            self.meanings[number] = similarity

    @property
    def is_filler(self) -> bool:
        """Return whether the word tells no names apart."""
        return self.typed in FILLER

    @property
    def is_exact(self) -> bool:
        """Return whether the catalog has the word as it was typed."""
        return 1.0 in self.meanings.values()

    def list_meanings(self) -> Mapping[int, float]:
        """Return what a name may hold for this word, whole or in part."""
        return {**self.parts, **self.meanings} if self.parts else self.meanings


def read_words(
    index: FacilityIndex, query: Query, chosen: Mapping[int, int], *, thoroughly: bool
) -> list[Word]:
    """Return the query's words with what they may mean.

    Not ``thoroughly``: a word that the catalog has is taken for what it says. A slip that makes
    another word of it ("marin" for "martin") is seen thoroughly only.
    """
    vocabulary = index.vocabulary
    words = [_read_word(vocabulary, word, thoroughly=thoroughly) for word in query.words]
    if query.typed[-1] != query.words[-1]:
        _add_beginnings(vocabulary, words[-1], query.typed[-1])
    for first, second in pairwise(words):
        _read_word_pair(vocabulary, first, second, thoroughly=thoroughly)
    for word in words:
        if max(word.meanings.values(), default=0.0) < BEGINNING:
            word.parts.update(_split_word(vocabulary, word.typed))
    if query.state:
        words.append(_read_word(vocabulary, query.state, thoroughly=False))
    _read_initials(index, query, words, chosen)
    for word in words:
        _weigh_word(index, word)
    return words


def _read_word(vocabulary: Vocabulary, typed: str, *, thoroughly: bool) -> Word:
    word = Word(typed)
    exact = vocabulary.find(typed)
    word.add_meaning(exact, 1.0)
    _add_beginnings(vocabulary, word, typed)
    for synonym in SYNONYMS.get(typed, ()):
        word.add_meaning(vocabulary.find(synonym), BEGINNING)
    if len(typed) <= _LONGEST_FORM:
        form = _DOUBTFUL_FORM if exact is None else _SHORT_FORM
        for number in vocabulary.find_short_forms(typed):
            word.add_meaning(number, form)
    if exact is None or (thoroughly and not word.is_filler):
        for number, similarity in vocabulary.find_misspelt(typed, by_sound=thoroughly).items():
            word.add_meaning(number, similarity)
    if typed in STATE_CODES:
        word.add_meaning(vocabulary.find(STATE_CODES[typed].lower()), _STATE)
    return word


def _add_beginnings(vocabulary: Vocabulary, word: Word, typed: str) -> None:
    if len(typed) > 1 and not word.is_filler:
        beginnings = vocabulary.find_beginning(typed)[:_LONGEST_LIST]
        word.meanings = {**dict.fromkeys(beginnings, BEGINNING), **word.meanings}


def _read_word_pair(vocabulary: Vocabulary, first: Word, second: Word, *, thoroughly: bool) -> None:
    """Let two words that are one in the catalog mean it: "river side", "new york"."""
    joined = first.typed + second.typed
    whole = vocabulary.find(joined)
    code = vocabulary.find(STATE_CODES[joined].lower()) if joined in STATE_CODES else None
    meanings = {
        number: similarity
        for number, similarity in ((whole, _RUN_TOGETHER), (code, _STATE))
        if number is not None
    }
    least = min(max(word.meanings.values(), default=0.0) for word in (first, second))
    if whole is None and least < (1.0 if thoroughly else _UNDERSTOOD):
        meanings.update(vocabulary.find_misspelt(joined))
    for number, similarity in meanings.items():
        first.add_meaning(number, similarity)
        second.add_meaning(number, similarity)


def _split_word(vocabulary: Vocabulary, typed: str) -> Mapping[int, float]:
    """Return the words that ``typed`` is made of, each with its share of the letters."""
    for length in range(len(typed) - 2, 1, -1):
        first, second = (vocabulary.find(expand(part)) for part in (typed[:length], typed[length:]))
        if first is not None and second is not None:
            share = length / len(typed)
            return {second: 1 - share, first: share}
    if len(typed) < _SPLIT_FROM:
        return {}
    return next(_split_misspelt(vocabulary, typed), {})


def _split_misspelt(vocabulary: Vocabulary, typed: str) -> Iterator[Mapping[int, float]]:
    """Yield a known word with a misspelt one after or before it, the longest known word first.

    The rest may itself be several words: "riversidegenralhospital".
    """
    for length in range(len(typed) - 3, 3, -1):
        for word, rest in ((typed[:length], typed[length:]), (typed[-length:], typed[:-length])):
            number = vocabulary.find(expand(word))
            if number is None or len(rest) < 3:
                continue
            share = length / len(typed)
            meanings = vocabulary.find_misspelt(rest) or _split_word(vocabulary, rest)
            if meanings:
                shares = {
                    meaning: (1 - share) * similarity for meaning, similarity in meanings.items()
                }
                yield {**shares, number: share}


def _read_initials(
    index: FacilityIndex, query: Query, words: list[Word], chosen: Mapping[int, int]
) -> None:
    """Let a short word mean the names with these initials, and many words their own initials."""
    initials = index.vocabulary.find(query.initials) if query.initials else None
    for word in words:
        word.add_meaning(initials, _INITIALS)
        if (
            len(words) <= _MOST_WORDS_WITH_INITIALS
            and len(word.typed) in _LENGTHS_OF_INITIALS
            and not word.is_exact
        ):
            names = index.find_initials(word.typed, _MOST_INITIALS, chosen)
            word.initials_of = dict.fromkeys(names, _INITIALS)


def _weigh_word(index: FacilityIndex, word: Word) -> None:
    """Let a word count for as much as it tells names apart, and as surely as it is understood."""
    meanings = word.list_meanings()
    word.total = sum(index.count_holders(number) for number in meanings)
    best = max(meanings.values(), default=0.0)
    held_by = sum(
        index.count_holders(number)
        for number, similarity in meanings.items()
        if similarity > best - _AS_GOOD
    )
    word.weight = math.log(1.5 + len(index) / (1 + (held_by or len(index) // 100)))
    if best < 1.0:
        # A short word that is not in the catalog may be anything.
        word.weight *= min(1.0, len(word.typed) / _SURE_LENGTH)
    if word.is_filler:
        word.weight *= _FILLER_SHARE
