"""A few telling names as an index."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from medblocks_connect.facilities.matching.index import FacilityIndex, IndexEntry
from medblocks_connect.facilities.matching.matcher import search_index
from tests.facilities.names import NAMES


@pytest.fixture(scope="session")
def index() -> FacilityIndex:
    return FacilityIndex(IndexEntry(key, *each) for key, each in enumerate(NAMES))


@pytest.fixture(scope="session")
def find(index) -> Callable[..., list[str]]:
    """Return the names found for a text, the best first."""

    def find(text: str, **options) -> list[str]:
        return [NAMES[each.key][0] for each in search_index(index, text, **options)]

    return find
