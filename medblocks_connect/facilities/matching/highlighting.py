"""Highlighting: the parts of a facility's name that are what the patient typed, misspelt or not."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from rapidfuzz.distance import OSA

from medblocks_connect.facilities.matching.normalization import expand, fold
from medblocks_connect.facilities.matching.query import Query
from medblocks_connect.facilities.matching.vocabulary import allowed_slips

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*", re.UNICODE)
_MOST_WORDS: Final = 40
_RUN_TOGETHER_FROM: Final = 4  # letters of a word that was typed without a space beside it


@dataclass(frozen=True)
class NamePart:
    """A piece of a name; ``is_match`` where it is what was typed."""

    text: str
    is_match: bool = False


def mark_match(name: str, typed: str) -> tuple[NamePart, ...]:
    """Cut ``name`` into parts that together are the name, those that match ``typed`` marked."""
    query = Query.of(typed)
    parts: list[NamePart] = []
    end = 0
    for number, word in enumerate(_WORD.finditer(name)):
        if number == _MOST_WORDS:
            break
        length = _measure_match(word[0], query)
        if length:
            parts.append(NamePart(name[end : word.start()]))
            end = word.start() + length
            parts.append(NamePart(name[word.start() : end], is_match=True))
    parts.append(NamePart(name[end:]))
    return tuple(part for part in parts if part.text)


def _measure_match(word: str, query: Query) -> int:
    """Return how many letters of ``word`` are what was typed."""
    folded = fold(word).replace(" ", "")
    whole = expand(folded)
    if not folded:
        return 0
    if query.state and folded == query.state:
        return len(word)
    for typed, longer in zip(query.typed, query.words, strict=True):
        if folded.startswith(typed) or whole.startswith(longer):
            # Only a beginning that is spelt the same can be cut out of the word as it is written.
            is_beginning = word.casefold().startswith(typed)
            return len(typed) if is_beginning and len(typed) <= len(word) else len(word)
    for typed in query.words:
        slips = allowed_slips(len(typed))
        if slips and OSA.distance(typed, whole, score_cutoff=slips) <= slips:
            return len(word)
        if len(whole) >= _RUN_TOGETHER_FROM and whole in typed:
            return len(word)
    return 0
