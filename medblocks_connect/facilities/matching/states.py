"""The state that a facility's name gives: a vendor's prefix ("NY - …") or an ending ("…, TX").

The catalog has no address; the name is all there is. Codes that are also a degree, a legal form
or a word count only where the prefix makes them plain.
"""

from __future__ import annotations

import re
from typing import Final

STATE_NAMES: Final = {
    "AL": "Alabama",
    "AK": "Alaska",
    "AZ": "Arizona",
    "AR": "Arkansas",
    "CA": "California",
    "CO": "Colorado",
    "CT": "Connecticut",
    "DE": "Delaware",
    "DC": "District of Columbia",
    "FL": "Florida",
    "GA": "Georgia",
    "HI": "Hawaii",
    "ID": "Idaho",
    "IL": "Illinois",
    "IN": "Indiana",
    "IA": "Iowa",
    "KS": "Kansas",
    "KY": "Kentucky",
    "LA": "Louisiana",
    "ME": "Maine",
    "MD": "Maryland",
    "MA": "Massachusetts",
    "MI": "Michigan",
    "MN": "Minnesota",
    "MS": "Mississippi",
    "MO": "Missouri",
    "MT": "Montana",
    "NE": "Nebraska",
    "NV": "Nevada",
    "NH": "New Hampshire",
    "NJ": "New Jersey",
    "NM": "New Mexico",
    "NY": "New York",
    "NC": "North Carolina",
    "ND": "North Dakota",
    "OH": "Ohio",
    "OK": "Oklahoma",
    "OR": "Oregon",
    "PA": "Pennsylvania",
    "PR": "Puerto Rico",
    "RI": "Rhode Island",
    "SC": "South Carolina",
    "SD": "South Dakota",
    "TN": "Tennessee",
    "TX": "Texas",
    "UT": "Utah",
    "VT": "Vermont",
    "VA": "Virginia",
    "WA": "Washington",
    "WV": "West Virginia",
    "WI": "Wisconsin",
    "WY": "Wyoming",
}
STATE_CODES: Final = {name.lower().replace(" ", ""): code for code, name in STATE_NAMES.items()}
"""The code by the state's name, folded and without spaces: ``newyork`` gives ``NY``."""

# As an ending these are a degree, a legal form, a title or a word more often than a state.
_AMBIGUOUS: Final = "CO DC DE HI ID IN LA MA MD ME MS MT OK OR PA PR SC"
_AMBIGUOUS_ENDINGS: Final = frozenset(_AMBIGUOUS.split())

_PREFIX = re.compile(r"\s*([A-Za-z]{2})\s*[-\u2013\u2014:]\s*(?=\S)")
_ENDING = re.compile(r"(?P<before>[\s,(\-])\s*(?P<code>[A-Z]{2})\)?\s*$")


def split_state(name: str) -> tuple[str, str]:
    """Return the state's code of ``name``, or ``""``, and the name without a vendor's prefix.

    "NY - Rebecca Fishman MD" gives ``("NY", "Rebecca Fishman MD")``.
    """
    prefix = _PREFIX.match(name)
    if prefix and prefix[1].upper() in STATE_NAMES:
        return prefix[1].upper(), name[prefix.end() :]
    ending = _ENDING.search(name)
    # In a name that is all capitals every last word of two letters looks like a code; those that
    # mean nothing else still are one.
    if ending and ending["code"] in STATE_NAMES and ending["code"] not in _AMBIGUOUS_ENDINGS:
        return ending["code"], name
    return "", name
