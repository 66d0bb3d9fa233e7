"""Slips that people make when they type a name: seeded, so that every run makes the same ones."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable, Mapping

NEIGHBOURS: Mapping[str, str] = {
    "a": "qwsz", "b": "vghn", "c": "xdfv", "d": "serfcx", "e": "wsdr", "f": "drtgvc",
    "g": "ftyhbv", "h": "gyujnb", "i": "ujko", "j": "huikmn", "k": "jiolm", "l": "kop",
    "m": "njk", "n": "bhjm", "o": "iklp", "p": "ol", "q": "wa", "r": "edft", "s": "awedxz",
    "t": "rfgy", "u": "yhji", "v": "cfgb", "w": "qase", "x": "zsdc", "y": "tghu", "z": "asx",
}  # fmt: skip
SOUNDS = (
    ("ph", "f"), ("ck", "k"), ("ie", "ei"), ("ei", "ie"), ("ee", "ea"), ("oo", "u"), ("ll", "l"),
    ("tt", "t"), ("nn", "n"), ("ss", "s"), ("y", "i"), ("er", "ar"), ("or", "er"), ("ence", "ance"),
)  # fmt: skip

_LONG_ENOUGH = 4  # letters of a word that a single slip may hit


class Typist:
    """Somebody who types names, and makes slips from a seeded stream of chance."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def slip(self, word: str) -> str:
        """Return ``word`` with one letter missing, doubled, swapped, foreign or a neighbour's."""
        place = self._chance.randrange(len(word))
        before, letter, after = word[:place], word[place], word[place + 1 :]
        kind = self._chance.randrange(5)
        if kind == 0 and len(word) > 1:
            return before + after
        if kind == 1:
            return before + letter * 2 + after
        if kind == 2 and after:
            return before + after[0] + letter + after[1:]
        if kind == 3:
            return before + self._chance.choice(string.ascii_lowercase) + after
        return before + self._chance.choice(NEIGHBOURS.get(letter.lower(), "e")) + after

    def slip_once(self, name: str) -> str:
        words = name.split()
        long = [place for place, word in enumerate(words) if len(word) >= _LONG_ENOUGH]
        place = self._chance.choice(long or range(len(words)))
        words[place] = self.slip(words[place])
        return " ".join(words)

    def slip_in_every_word(self, name: str) -> str:
        return " ".join(self.slip(word) if len(word) > 2 else word for word in name.split())

    def reorder(self, name: str) -> str:
        words = name.split()
        self._chance.shuffle(words)
        return " ".join(words)

    def begin(self, name: str) -> str:
        return name[: max(6, int(len(name) * self._chance.uniform(0.5, 0.9)))]

    def shorten_words(self, name: str) -> str:
        return " ".join(word[: max(3, len(word) * 2 // 3)] for word in name.split())

    def run_together(self, name: str) -> str:
        words = name.split()
        if len(words) < 2:
            return ""
        place = self._chance.randrange(len(words) - 1)
        words[place : place + 2] = [words[place] + words[place + 1]]
        return " ".join(words)

    def break_word(self, name: str) -> str:
        places = [
            place
            for place in range(2, len(name) - 2)
            if name[place - 1].isalpha() and name[place].isalpha()
        ]
        place = self._chance.choice(places) if places else 0
        return f"{name[:place]} {name[place:]}" if place else ""

    def mishear(self, name: str) -> str:
        written, heard = self._chance.choice(
            [pair for pair in SOUNDS if pair[0] in name.lower()] or [("", "")]
        )
        return name.lower().replace(written, heard) if written else ""


class RareWords:
    """Two words of a name that few names share, whatever the words are."""

    def __init__(self, names: list[str], seed: int) -> None:
        self._chance = random.Random(seed)
        self._holders: dict[str, set[int]] = {}
        for number, name in enumerate(names):
            for word in words_of(name):
                self._holders.setdefault(word, set()).add(number)

    def pick(self, name: str, at_most: int = 10) -> str:
        words = sorted(words_of(name))
        pairs = [
            (first, second)
            for first in words
            for second in words
            if first != second and len(self._holders[first] & self._holders[second]) <= at_most
        ]
        return " ".join(self._chance.choice(pairs)) if pairs else ""


def words_of(name: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]{2,}", name.lower().replace("'", "")))


def kinds_of_queries(names: list[str], seed: int) -> dict[str, Callable[[str], str]]:
    """Return the makers of each kind of query from a name; they return ``""`` where they cannot."""
    typist = Typist(seed)
    return {
        "prefix": typist.begin,
        "one typo": typist.slip_once,
        "typo in every word": typist.slip_in_every_word,
        "words reordered": typist.reorder,
        "two rare words": RareWords(names, seed).pick,
        "words run together": typist.run_together,
        "word broken": typist.break_word,
        "words cut short": typist.shorten_words,
        "as it sounds": typist.mishear,
    }
