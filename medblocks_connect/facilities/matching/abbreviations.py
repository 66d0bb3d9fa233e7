"""Abbreviations and their long forms, synonyms, spellings, and words that tell no names apart."""

from __future__ import annotations

from typing import Final

# Short forms of one word only; those of several words ("med") are matched as beginnings instead.
LONG_FORMS: Final = {
    "amer": "american",
    "assn": "association",
    "assoc": "associates",
    "assocs": "associates",
    "asso": "associates",
    "centre": "center",
    "cntr": "center",
    "cnty": "county",
    "ctr": "center",
    "ctrs": "centers",
    "dept": "department",
    "dr": "doctor",
    "drs": "doctors",
    "ft": "fort",
    "grp": "group",
    "hlth": "health",
    "hosp": "hospital",
    "hosps": "hospitals",
    "hsp": "hospital",
    "inst": "institute",
    "intl": "international",
    "mem": "memorial",
    "mt": "mount",
    "mtn": "mountain",
    "natl": "national",
    "ped": "pediatrics",
    "peds": "pediatrics",
    "phys": "physicians",
    "rehab": "rehabilitation",
    "regl": "regional",
    "spec": "specialists",
    "st": "saint",
    "surg": "surgical",
    "svc": "services",
    "svcs": "services",
    "univ": "university",
}

SYNONYMS: Final = {"gyn": ("obgyn",)}
"""Words that people also use for others, which do not begin so."""

# Legal forms, degrees and little words: they are in thousands of names and tell none apart.
_FILLER_WORDS: Final = (
    "a an and apc apmc at co corp corporation cpa dba dc dds de del dmd do doctor dpm for in inc "
    "incorporated la limited llc llp lp ltd md mds np of on or pa pc phd plc pllc ps sc the "
    "termed to y"
)
FILLER: Final = frozenset(_FILLER_WORDS.split())
# Left out of initials: "University of California San Francisco" is UCSF.
_LITTLE: Final = "a an and at by de del for in la of on the to y"
LITTLE_WORDS: Final = frozenset(_LITTLE.split())

BRITISH_SPELLINGS: Final = (("paed", "ped"), ("anaes", "anes"), ("gynae", "gyne"), ("haem", "hem"))
