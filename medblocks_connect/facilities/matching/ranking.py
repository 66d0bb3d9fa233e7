"""The order of found facilities: every key by which they are sorted is built here, and only here.

A patient sees first the names that hold what was typed: the exact one, then names of the same
words, names that begin so, names whose words begin so. Then come names with such initials, and last
what is only similar (see :class:`Tier`).

Among the names that hold what was typed (:class:`LiteralRank`): test copies and closed places come
last, unless the name is exact; then the state that was typed before another; then the tier. Among
equals: names that lack none of the words, words together as typed before scattered ones, the larger
facility before the smaller, the more chosen before the less, the lower number in the catalog.

Among names with such initials: those with no further ones, the more chosen, the lower number.
Similar names are ordered by their similarity first, on purpose: the more chosen must not come
before the nearer spelling. Only among the equally similar come the more chosen, the lower number.

The numbers themselves are an order, too (:class:`CatalogRank`): large before small, short before
long. So wherever only some of many names can be looked at, the lowest numbers are the right ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import IntEnum
from heapq import nsmallest
from typing import Final, NamedTuple

from medblocks_connect.facilities.matching.abbreviations import FILLER
from medblocks_connect.facilities.matching.query import STATE_MARK, Query


class Tier(IntEnum):
    """The kinds of match between a name and what was typed, the best first."""

    EXACT = 0
    SAME_WORDS = 1  # in another order, or but for "LLC", "MD", "the" and their like
    NAME_BEGINS = 2
    WORDS_BEGIN = 3
    INITIALS = 4
    SIMILAR = 5


class Size(IntEnum):
    """The size that a facility's name suggests; the catalog says nothing of it."""

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


class CatalogRank(NamedTuple):
    """A name's place in the whole catalog, whatever is typed: the lower, the better."""

    size: Size
    length: int
    folded: str
    state_mark: str  # the state's code after its mark, "" where the name gives none
    kind: str
    key: int


def rank_in_catalog(folded: str, state: str, kind: str, key: int) -> CatalogRank:
    """Return the key that numbers the names of a catalog."""
    state_mark = f"{STATE_MARK}{state.lower()}" if state else ""
    return CatalogRank(guess_size(folded, kind), len(folded), folded, state_mark, kind, key)


class LiteralRank(NamedTuple):
    """The place of a name that holds what was typed: the lower, the better."""

    is_trial: bool
    state: int  # 0 where it is that of the query, 1 unknown, 2 another
    tier: Tier
    missing: int
    is_scattered: bool
    size: int
    not_chosen: int
    number: int


def rank_literal_match(
    query: Query, text: str, *, size: int, times_chosen: int, number: int
) -> LiteralRank:
    """Return the key of the name ``number``, whose ``text`` in the index holds the query."""
    name, _mark, state = text[1:].partition(STATE_MARK)
    is_scattered = not any(f" {' '.join(words)}" in text for words in (query.words, query.typed))
    is_there = state == query.likely_state != ""
    sought = query.words_without_state if is_there else query.words
    distinctive = {query.words[place] for place in query.distinctive}
    held = {*name.split(), *(set(query.words) - set(sought))}
    tier = _find_tier(query, name, sought, distinctive, held)
    may_be_a_word = query.state_place is not None and not is_scattered
    is_elsewhere = query.likely_state and not (is_there or may_be_a_word)
    return LiteralRank(
        is_trial=size == Size.TRIAL and tier is not Tier.EXACT,
        state=(2 if state else 1) if is_elsewhere else 0,
        tier=tier,
        missing=0 if held.issuperset(query.words) else 1 if distinctive <= held else 2,
        is_scattered=is_scattered,
        size=size,
        not_chosen=-times_chosen,
        number=number,
    )


def _find_tier(
    query: Query, name: str, sought: tuple[str, ...], distinctive: set[str], held: set[str]
) -> Tier:
    joined = name.replace(" ", "")
    if joined in {query.joined, "".join(sought)}:
        return Tier.EXACT
    if held - FILLER == distinctive - FILLER or held == distinctive:
        return Tier.SAME_WORDS
    beginnings = (query.joined, "".join(query.typed), "".join(sought))
    if joined.startswith(beginnings) or _begin_with(name.split(), sought):
        return Tier.NAME_BEGINS
    return Tier.WORDS_BEGIN


def _begin_with(words: list[str], typed: tuple[str, ...]) -> bool:
    """Return whether the words typed begin the name's words one by one: "mass gen hosp"."""
    return len(typed) <= len(words) and all(map(str.startswith, words, typed))


def rank_initials(*, is_whole: bool, times_chosen: int, number: int) -> tuple[bool, int, int]:
    """Return the key of a name whose initials begin so; ``is_whole``: it has no further ones."""
    return not is_whole, -times_chosen, number


def rank_similarity(similarity: float, times_chosen: int, number: int) -> tuple[float, int, int]:
    """Return the key of a similar name, and of a candidate before it is measured in full."""
    return -similarity, -times_chosen, number


def take_beginnings(whole: list[int], longer: Iterable[int], most: int) -> list[int]:
    """Return ``most`` of the names that begin so: the ``whole`` ones, then the lowest numbers."""
    return whole + nsmallest(most - len(whole), longer)
