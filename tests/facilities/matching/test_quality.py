"""The quality of the search: over the real ones where they are beside the repository, else made up.

The slips are the benchmark's, and so are the limits.
"""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from benchmarks.names import read_names
from benchmarks.search import LEAST_MRR, LIMITS
from benchmarks.typos import kinds_of_queries
from medblocks_connect.facilities.matching.index import FacilityIndex, IndexEntry
from medblocks_connect.facilities.matching.matcher import search_index

SEED = 11
LOOKED_FOR = 150
LEAST = {
    **LIMITS,
    "words run together": 0.98,
    "word broken": 0.98,
    "words cut short": 0.96,
    "as it sounds": 0.95,
}


@pytest.fixture(scope="module")
def rows():
    return read_names()[0]


@pytest.fixture(scope="module")
def index(rows):
    return FacilityIndex(IndexEntry(key, *row) for key, row in enumerate(rows))


@pytest.fixture(scope="module")
def rank(rows, index):
    """Return the place, from 1, of each name looked for with one kind of query; 0 for none."""
    names = [name for name, _kind in rows]

    def rank(kind):
        make = kinds_of_queries(names, SEED)[kind]
        wanted = random.Random(SEED).sample(names, LOOKED_FOR)
        ranks = []
        for query, name in ((make(name), name.casefold()) for name in wanted):
            if len(query) > 1:
                found = [names[each.key].casefold() for each in search_index(index, query)[:10]]
                ranks.append(found.index(name) + 1 if name in found else 0)
        return ranks

    return rank


@pytest.mark.parametrize("kind", LEAST)
def test_wanted_name_is_found_among_the_first_ten(rank, kind):
    ranks = rank(kind)
    assert sum(place > 0 for place in ranks) >= LEAST[kind] * len(ranks)


def test_name_with_a_typo_is_found_first(rank):
    ranks = rank("one typo")
    assert sum(1 / place for place in ranks if place) >= LEAST_MRR * len(ranks)


def test_search_index_imports_no_django():
    code = (
        "import sys; from medblocks_connect.facilities.matching.matcher import search_index;"
        "sys.exit(any(name.partition('.')[0] == 'django' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
