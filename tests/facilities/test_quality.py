"""How well names are found: over the real ones where they are beside the repository, else made up.

The slips are the benchmark's; its own limits are higher, and are held there.
"""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from benchmarks.names import read_names
from benchmarks.typos import kinds_of_queries
from medblocks_connect.facilities.index import FacilityIndex, IndexEntry
from medblocks_connect.facilities.matching import search_index

SEED = 11
LOOKED_FOR = 150
LEAST = {
    "prefix": 0.95,
    "one typo": 0.96,
    "typo in every word": 0.92,
    "words reordered": 0.96,
    "two rare words": 0.9,
    "words run together": 0.95,
    "word broken": 0.95,
    "words cut short": 0.93,
    "as it sounds": 0.9,
}


@pytest.fixture(scope="module")
def rows():
    return read_names()[0]


@pytest.fixture(scope="module")
def index(rows):
    return FacilityIndex(IndexEntry(key, *row) for key, row in enumerate(rows))


@pytest.mark.parametrize("kind", LEAST)
def test_wanted_name_is_among_the_first_ten(rows, index, kind):
    names = [name for name, _kind in rows]
    make = kinds_of_queries(names, SEED)[kind]
    wanted = random.Random(SEED).sample(names, LOOKED_FOR)
    queries = [(query, name) for name in wanted if len(query := make(name)) > 1]
    found = 0
    for query, name in queries:
        first = {names[each.key].casefold() for each in search_index(index, query)[:10]}
        found += name.casefold() in first
    assert found >= LEAST[kind] * len(queries)


def test_index_needs_no_django():
    code = (
        "import sys; from medblocks_connect.facilities.matching import search_index;"
        "sys.exit(any(name.partition('.')[0] == 'django' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
