"""Case 55: the throttle of starts holds whatever the host's cache is."""

from __future__ import annotations

import pytest
from django.core.cache import cache as hosts_cache

from tests.faults.test_odd_caches import ODD, use_cache

__all__ = ["use_cache"]

pytestmark = pytest.mark.django_db(transaction=True)

ALLOWED, PRESSED = 3, 6


@pytest.fixture
def limited(clinic, settings):
    """A clinic that lets a patient start three times a day."""
    throttles = {"start": f"{ALLOWED}/d"}
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "THROTTLES": throttles}
    return clinic


@pytest.mark.parametrize("name", ODD)
def test_case_55_throttle_of_starts_holds_whatever_the_cache(limited, use_cache, name):
    use_cache(name)
    statuses = [limited.start().status_code for _ in range(PRESSED)]
    assert statuses == [303] * ALLOWED + [429] * (PRESSED - ALLOWED)


def test_case_55_throttle_of_starts_holds_where_the_default_cache_is_full(limited, use_cache):
    use_cache("locmem")
    statuses = []
    for press in range(PRESSED):
        statuses.append(limited.start().status_code)
        for number in range(400):  # the host's own: more than the 300 entries that it holds
            hosts_cache.set(f"host:{press}:{number}", 1)
    assert statuses == [303] * ALLOWED + [429] * (PRESSED - ALLOWED)
