"""Normalization: names and what patients type are folded alike before they are compared.

Case, accents and punctuation never count, and the usual short forms stand for the long ones.
It is applied to both sides, so it need not be right English, only the same.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

from medblocks_connect.facilities.matching.abbreviations import (
    BRITISH_SPELLINGS,
    LITTLE_WORDS,
    LONG_FORMS,
)

_APOSTROPHES = re.compile("['\u2018\u2019\u02bc`\u00b4]")
_AND = re.compile(r"[&+]")
_NOT_A_WORD = re.compile(r"[\W_]+", re.UNICODE)
_DOTTED = re.compile(r"(?<!\w)(?:\w\.){2,}")
_LONE_LETTER = re.compile(r"(?<!\S)\w(?!\S)")
_SPELT_OUT = re.compile(r"(?<!\S)(?:\w (?=\w(?: |$)))+\w(?!\S)")
_LONE_S = re.compile(r"(?<=\w) s(?!\S)")
_OBGYN = re.compile(r"\bob gyn(?=\w*)")


def fold(text: str) -> str:
    """Return ``text`` in lower case, without accents and punctuation, words one space apart.

    "St. Mary's Hosp. & Clinic, P.C." becomes "st marys hosp and clinic pc".
    """
    if not text.isascii():
        decomposed = unicodedata.normalize("NFKD", text)
        text = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    text = _AND.sub(" and ", _APOSTROPHES.sub("", text.casefold()))
    if "." in text:
        text = _DOTTED.sub(lambda match: match[0].replace(".", "") + " ", text)
    # A comma parts what is spelt out: "M D, P C" is "md pc".
    folded = " ".join(
        [_fold_piece(piece) for piece in text.split(",")] if "," in text else [_fold_piece(text)]
    )
    return _OBGYN.sub("obgyn", folded.strip())


def _fold_piece(text: str) -> str:
    spaced = _NOT_A_WORD.sub(" ", text).strip()
    if not _LONE_LETTER.search(spaced):
        return spaced
    return _SPELT_OUT.sub(lambda match: match[0].replace(" ", ""), _LONE_S.sub("s", spaced))


@lru_cache(maxsize=4096)
def expand(word: str) -> str:
    """Return the long form of a folded ``word``: "hosp" becomes "hospital"."""
    if word in LONG_FORMS:
        return LONG_FORMS[word]
    if "ae" in word:
        for british, american in BRITISH_SPELLINGS:
            word = word.replace(british, american)
    return word


def fold_fully(text: str) -> str:
    """Return ``text`` folded, with every short form expanded."""
    return " ".join([expand(word) for word in fold(text).split()])


def initials_of(folded: str, *, with_little_words: bool = False) -> str:
    """Return the initials of a folded name: "ucsf"; with the little words also: "uocsf"."""
    words = folded.split()
    return "".join([word[0] for word in words if with_little_words or word not in LITTLE_WORDS])


_SOUNDS: Final = tuple(
    (re.compile(pattern), sound)
    for pattern, sound in (
        (r"^ps|^sc(?=[eiy])", "s"),
        (r"^(kn|gn|pn)", "n"),
        (r"^wr", "r"),
        (r"ph", "f"),
        (r"sch|tch|sh|ti(?=[ao])|ci(?=a)", "x"),
        (r"chr|ck|q|ch(?=[aouir]|$)|c(?![eiy])", "k"),
        (r"gh|(?<=[^aeiouy])h", ""),
        (r"c|z", "s"),
        (r"dg|g(?=[eiy])", "j"),
        (r"w(?![aeiouy])", ""),
        (r"(?<=[^aeiouy])e$", ""),
        (r"[aeiouy]+", "a"),
        (r"(.)\1+", r"\1"),
    )
)


def sound_of(word: str) -> str:
    """Return roughly how a folded ``word`` sounds: "psychiatry" and "sykiatry" are alike."""
    for pattern, sound in _SOUNDS:
        word = pattern.sub(sound, word)
    return word
