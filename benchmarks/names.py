"""The names that are searched: the real ones where they are beside the repository, else made up."""

from __future__ import annotations

import csv
import gzip
import random
from itertools import product
from pathlib import Path

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "us-facilities.csv.gz"

_FIRST = (
    "Alder Amber Ash Birch Bramble Briar Calder Cedar Cinder Clear Copper Crescent Elm Ember "
    "Fair Fern Glen Granite Harbor Hazel Heron Iron Juniper Lark Laurel Linden Maple Mill Oak "
    "Pine Quarry Raven River Rose Sage Silver Stone Thorn Timber Willow"
)
_LAST = "bank bridge brook creek dale field ford gate grove haven hill hollow moor ridge side"
_KINDS = (
    "General Hospital|Medical Center|Health System|Family Medicine|Pediatric Associates|"
    "Orthopedics, PC|Women's Health|Internal Medicine LLC|Eye Institute|Cardiology Group|"
    "Urgent Care|Community Health Center|Dermatology PA|Surgical Specialists"
)
_PEOPLE = "Abara Brandt Castell Dvorak Eriksen Fontaine Gruber Halvorsen Ibarra Jansen Kovacs"
_GIVEN = "Ada Bruno Clara Dmitri Elena Farid Greta Hugo Ingrid Jonas Katya Lorenzo Mina"
_STATES = "NY CA TX FL OH WA GA"


def read_names() -> tuple[list[tuple[str, str]], str]:
    """Return (name, kind of record system) of every facility, and where they come from."""
    if REAL.exists():
        with gzip.open(REAL, "rt", encoding="utf-8", newline="") as file:
            return [(row["name"], row["type"]) for row in csv.DictReader(file)], "real names"
    return make_names(20_000, seed=5), "made-up names"


def make_names(count: int, seed: int) -> list[tuple[str, str]]:
    chance = random.Random(seed)
    towns = [f"{first}{last}" for first, last in product(_FIRST.split(), _LAST.split())]
    names: dict[str, str] = {}
    while len(names) < count:
        if chance.random() < 0.6:
            area = chance.choice(["", "North ", "South ", "St. ", "Mount ", "Lake "])
            name = f"{area}{chance.choice(towns)} {chance.choice(_KINDS.split('|'))}"
        else:
            letter = chance.choice("ABCDEFGHJKLMNPRSTW")
            surname = chance.choice(_PEOPLE.split()) + chance.choice(
                ["", "son", "er", "ova", "ski"]
            )
            degree = chance.choice(["MD", "DO"])
            name = f"{chance.choice(_GIVEN.split())} {letter}. {surname}, {degree}"
        if chance.random() < 0.3:
            name = f"{chance.choice(_STATES.split())} - {name}"
        names.setdefault(name, chance.choice(["epic", "cerner", "athena", ""]))
    return list(names.items())


def stretch_names(names: list[tuple[str, str]], count: int, seed: int) -> list[tuple[str, str]]:
    """Return ``count`` names: those given, and others made by mixing their words."""
    chance = random.Random(seed)
    split = [name.split() for name, _kind in names]
    words = sorted({word for name in split for word in name if word.isalpha() and len(word) > 4})
    stretched = list(names)
    while len(stretched) < count:
        mixed = list(chance.choice(split))
        for place, word in enumerate(mixed):
            if word.isalpha() and len(word) > 4 and chance.random() < 0.4:
                new_word = chance.choice(words)
                mixed[place] = new_word if chance.random() < 0.8 else word[:3] + new_word[2:]
        stretched.append((" ".join(mixed), "athena"))
    return stretched[:count]
