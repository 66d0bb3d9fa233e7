"""Which of the facilities found a patient sees first.

Exact, then the beginning of the name, then beginnings of its words, then initials, then what is
only like it. Within each, the whole health system before the single practice, the more chosen
before the less, the shorter before the longer. What is no place to go to comes last.
"""

from __future__ import annotations

import re
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
    TRIAL = 4  # a record system's test or training copy, or a place that is closed


_PRACTICE_WORDS: Final = (
    "apc apmc associates chiropractic consultants dc dds dermatology dmd dpm doctor fnp llc "
    "llp mds np od office pa pc pediatrics phd physicians plc pllc podiatry practice sc spa"
)
# A hospital may have these in its name too: "Brigham and Women's", "MD Anderson".
_MOSTLY_PRACTICE_WORDS: Final = "do family md womens"
_SYSTEM_WORDS: Final = "healthcare healthsystem mychart system systems"
_HOSPITAL_WORDS: Final = "hospital hospitals infirmary university regional memorial general college"
_PRACTICE: Final = frozenset(_PRACTICE_WORDS.split())
_MOSTLY_PRACTICE: Final = frozenset(_MOSTLY_PRACTICE_WORDS.split())
_SYSTEM: Final = frozenset(_SYSTEM_WORDS.split())
_HOSPITAL: Final = frozenset(_HOSPITAL_WORDS.split())
_SURELY_LARGE = re.compile(
    r"\b(hospitals?|infirmary|university|(medical|cancer) center|health ?systems?)\b"
)
_SYSTEM_PHRASE = re.compile(r"\bhealth (network|partners)\b|\bhealth$")
_TRIAL = re.compile(r"\b(test\d*|qa\d*|sandbox|zzz\w*|termed|uat\d*|nonprod)\b")
_DEVELOPMENT = re.compile(r"\bdev\d*\b")  # also somebody's given name
_LIVE = re.compile(r"\bprod\d*\b")  # not its name but its server's; the plain one comes first
# Record systems that are sold to hospitals, and those that are sold to practices.
_HOSPITAL_KINDS: Final = frozenset({"epic", "cerner", "meditech", "altera"})


def guess_size(folded: str, kind: str) -> Size:
    """Guess how large the facility of this folded name and kind of record system is."""
    words = set(folded.split())
    is_practice = bool(words & _PRACTICE)
    if not is_practice and words & _MOSTLY_PRACTICE:
        is_practice = not _SURELY_LARGE.search(folded)
    if _TRIAL.search(folded) or (not is_practice and _DEVELOPMENT.search(folded)):
        return Size.TRIAL
    if is_practice or _LIVE.search(folded):
        return Size.PRACTICE
    if words & _SYSTEM or _SYSTEM_PHRASE.search(folded):
        return Size.SYSTEM
    if words & _HOSPITAL or "medical center" in folded or kind in _HOSPITAL_KINDS:
        return Size.HOSPITAL
    return Size.UNKNOWN
