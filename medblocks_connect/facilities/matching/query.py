"""The query: the words of what a patient typed, and the other ways to read each of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

from medblocks_connect.facilities.matching.abbreviations import FILLER, SYNONYMS
from medblocks_connect.facilities.matching.normalization import expand, fold, initials_of
from medblocks_connect.facilities.matching.states import STATE_CODES, STATE_NAMES, split_state

MAXIMUM_LENGTH: Final = 64
"""Characters of the input that count; the rest changes nothing, not even the time."""
_MOST_WORDS: Final = 12

STATE_MARK: Final = "\n "
"""Stands in an index entry before the state's code, which is no part of the name."""


@dataclass(frozen=True)
class Query:
    """A folded query; the short forms in ``words`` are expanded.

    ``state`` is the code of a prefix such as NY; ``state_place`` is the place of a first or last
    word that may be a state's code, or not: "or".
    """

    words: tuple[str, ...]
    typed: tuple[str, ...]  # as ``words``, but not expanded
    state: str = ""
    state_place: int | None = None

    @classmethod
    def of(cls, text: str) -> Query:
        """Read what a patient typed."""
        bounded = text[:MAXIMUM_LENGTH]
        state, name = split_state(bounded)
        if name == bounded:  # no prefix: a code at the end is one of the words
            state = ""
        typed = tuple(fold(name).split()[:_MOST_WORDS])
        words = tuple(expand(word) for word in typed)
        ends = (len(typed) - 1, 0) if len(typed) > 1 and not state else ()
        codes = (place for place in ends if typed[place].upper() in STATE_NAMES)
        return cls(words, typed, state.lower(), next(codes, None))

    @cached_property
    def likely_state(self) -> str:
        """The code of the state that is meant, or may be."""
        return self.state if self.state_place is None else self.typed[self.state_place]

    @cached_property
    def words_without_state(self) -> tuple[str, ...]:
        """The words but for that which may be a state's code."""
        return tuple(word for place, word in enumerate(self.words) if place != self.state_place)

    @cached_property
    def joined(self) -> str:
        """The words without the spaces between them."""
        return "".join(self.words)

    @cached_property
    def distinctive(self) -> list[int]:
        """The places of the words that tell names apart; of all words where none does."""
        places = [place for place, word in enumerate(self.words) if word not in FILLER]
        return places or list(range(len(self.words)))

    @cached_property
    def initials(self) -> str:
        """The initials of four words or more: somebody may know the place by them."""
        initials = initials_of(" ".join(self.words))
        return initials if len(initials) > 3 else ""

    def readings(self, place: int) -> list[str]:
        """Return what an index entry may hold for the word at ``place``: beginnings of words.

        A state that is spelt out is also its code; the last word may be unfinished, so "st" is
        "saint" and also the beginning of "stanford".
        """
        word, typed = self.words[place], self.typed[place]
        readings = [f" {synonym}" for synonym in (word, *SYNONYMS.get(word, ()))]
        if place == len(self.words) - 1 and typed != word:
            readings.append(f" {typed}")
        for first, last in ((place, place), (place - 1, place), (place, place + 1)):
            if first >= 0 and last < len(self.words):
                code = STATE_CODES.get("".join(self.words[first : last + 1]))
                if code:
                    readings.append(STATE_MARK + code.lower())
        return readings
