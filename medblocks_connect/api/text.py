"""Cleaning of text from outside, so that every database stores it alike.

This is the one boundary: whatever Medblocks, a portal or a browser sends is cleaned here once,
so that SQLite, PostgreSQL and MariaDB keep the same characters and no input is an error.
"""

from __future__ import annotations

import re
import unicodedata

# C0 and C1 controls (PostgreSQL refuses NUL) and lone surrogates (no UTF-8 for them), which
# JSON's \u escapes let through. Tab and line breaks become spaces.
_SPACE = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
_UNSTORABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# Bidirectional controls reorder what a reader sees around the text, in an admin list for example
# (Unicode UAX #9); no code or description needs them.
_BIDIRECTIONAL = re.compile(r"[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def clean_text(value: object, max_length: int) -> str:
    """Return ``value`` as text of at most ``max_length`` characters that any database stores.

    Anything that is not a string is no text and gives ``""``. Unstorable and direction-changing
    characters go, line breaks become one space, the ends are stripped, and text that is too long
    is cut with an ellipsis as its last character.
    """
    if not isinstance(value, str):
        return ""
    # Bounded before any work, with room for what cleaning removes: a megabyte costs no more
    # than a page.
    bounded = value[: max_length * 4 + 64]
    spaced = _SPACE.sub(" ", bounded)
    cleaned = _BIDIRECTIONAL.sub("", _UNSTORABLE.sub("", spaced))
    cleaned = unicodedata.normalize("NFC", cleaned).strip()
    if len(cleaned) <= max_length and len(bounded) == len(value):
        return cleaned
    return cleaned[: max_length - 1].rstrip() + "\u2026"
