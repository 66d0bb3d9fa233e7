"""The shapes of text from outside that is no personal data: codes, words, ids.

Text of another shape may be anything, a name or an address, and is left out.
"""

from __future__ import annotations

import re
from typing import Final

LEFT_OUT: Final = "(left out)"

_CODE: Final = re.compile(r"[\w.-]{1,200}", re.ASCII)
_WORD: Final = re.compile(r"[a-z][a-z0-9_.]{0,99}")
_MEDBLOCKS_ID: Final = re.compile(r"(ps|conn|evt|fhirsrc)_[\w-]{1,200}", re.ASCII)
_FACILITY_ID: Final = re.compile(r"(https?://)?[\w.:/~%-]{1,500}", re.ASCII)
_QUERY_OR_FRAGMENT: Final = re.compile(r"[?#].*", re.DOTALL)


def show_code(text: str) -> str:
    """Return a code, such as an error's, as it came; other text is left out."""
    return text if not text or _CODE.fullmatch(text) else LEFT_OUT


def show_word(text: str) -> str:
    """Return a word of Medblocks' own, all of which are in small letters; others are left out."""
    return text if not text or _WORD.fullmatch(text) else LEFT_OUT


def show_medblocks_id(text: str) -> str:
    """Return an id that Medblocks made; what does not look like one is left out."""
    return text if not text or _MEDBLOCKS_ID.fullmatch(text) else LEFT_OUT


def show_facility_id(text: str) -> str:
    """Return a facility's id; of one that is an address, what is before the question mark."""
    facility_id = _QUERY_OR_FRAGMENT.sub("", text)
    return facility_id if not facility_id or _FACILITY_ID.fullmatch(facility_id) else LEFT_OUT
