"""Which of the facilities found a patient sees first.

Exact, then the beginning of the name, then beginnings of its words, then initials, then what is
only like it. Within each, the whole health system before the single practice, the more chosen
before the less, the shorter before the longer.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Tier(IntEnum):
    """How a name matches what was typed, the best first."""

    EXACT = 0
    SAME_WORDS = 1  # in another order, or but for "LLC", "MD", "the" and their like
    NAME_BEGINS = 2
    WORDS_BEGIN = 3
    INITIALS = 4
    ALIKE = 5


class Size(IntEnum):
    """How large a facility sounds; the catalog says nothing of it."""

    SYSTEM = 0
    HOSPITAL = 1
    UNKNOWN = 2
    PRACTICE = 3


_PRACTICE_WORDS: Final = (
    "apc apmc associates chiropractic consultants dc dds dermatology dmd do dpm dr family fnp llc "
    "llp md mds np od office pa pc pediatrics phd physicians plc pllc podiatry practice sc spa "
    "womens"
)
_SYSTEM_WORDS: Final = "healthcare healthsystem mychart network partners system systems"
_HOSPITAL_WORDS: Final = "hospital hospitals infirmary university regional memorial general college"
_PRACTICE: Final = frozenset(_PRACTICE_WORDS.split())
_SYSTEM: Final = frozenset(_SYSTEM_WORDS.split())
_HOSPITAL: Final = frozenset(_HOSPITAL_WORDS.split())
# Record systems that are sold to hospitals, and those that are sold to practices.
_HOSPITAL_KINDS: Final = frozenset({"epic", "cerner", "meditech", "altera"})


def guess_size(folded: str, kind: str) -> Size:
    """Guess how large the facility of this folded name and kind of record system is."""
    words = set(folded.split())
    if words & _PRACTICE:
        return Size.PRACTICE
    if words & _SYSTEM or folded.endswith(" health"):
        return Size.SYSTEM
    if words & _HOSPITAL or "medical center" in folded or kind in _HOSPITAL_KINDS:
        return Size.HOSPITAL
    return Size.UNKNOWN
