"""Case 55: caches that work in part, refuse large values or are slow: pages are served."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.cache import cache as hosts_cache
from django.db import connections
from django.http import HttpResponse

from medblocks_connect import cache as cache_module
from tests.faults.clinic import RIVERSIDE, Clinic
from tests.odd_caches import SlowCache

pytestmark = pytest.mark.django_db(transaction=True)

LOCMEM = "django.core.cache.backends.locmem.LocMemCache"
ODD = {
    "cluster": "tests.odd_caches.ClusterCache",
    "replica": "tests.odd_caches.ReplicaCache",
    "small-values": "tests.odd_caches.SmallValuesCache",
    "slow": "tests.odd_caches.SlowCache",
    "away": "tests.broken_cache.BrokenCache",
    "locmem": LOCMEM,
}
"""What the host's cache is."""

PAGES = {
    "search": "/records/search/",
    "found": "/records/search/?q=riverside",
    "missed": "/records/search/?q=qqqqqq",
    "connections": "/records/connections/",
    "api-connections": "/records/api/connections/?q=riverside",
}


@pytest.fixture
def use_cache(settings, monkeypatch) -> Callable[[str], None]:
    """Give the host a cache of ``ODD``; of the slow one, little is called slow already."""

    def use(name: str) -> None:
        settings.CACHES = {"default": {"BACKEND": ODD[name], "LOCATION": name}}
        hosts_cache.clear()
        if name == "slow":
            monkeypatch.setattr(cache_module, "SLOW_SECONDS", 0.05)
            SlowCache.forget(lambda: time.sleep(0.1))

    return use


def limit(settings, **rates: str | None) -> None:
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "THROTTLES": rates}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("page", PAGES)
def test_case_55_page_is_served_whatever_the_cache(clinic, use_cache, name, page):
    use_cache(name)
    for _ in range(3):
        answered = clinic.client.get(PAGES[page])
        assert answered.status_code == 200
        assert (RIVERSIDE in answered.text) is PAGES[page].endswith("riverside")


@pytest.mark.parametrize("name", ODD)
def test_case_55_way_from_a_start_to_connected_is_gone_whatever_the_cache(clinic, use_cache, name):
    use_cache(name)
    clinic.started()
    assert clinic.start_by_json().status_code == 200
    assert clinic.come_back().status_code == 303
    clinic.page()


@pytest.mark.parametrize("page", PAGES)
def test_case_55_page_waits_once_for_a_slow_cache(clinic, use_cache, page):
    use_cache("slow")
    assert clinic.client.get(PAGES[page]).status_code == 200
    assert SlowCache.asked <= 1


def test_case_55_start_waits_once_for_a_slow_cache(clinic, use_cache):
    use_cache("slow")
    clinic.started()
    assert SlowCache.asked == 1


@pytest.mark.parametrize("name", ["cluster", "small-values", "locmem"])
def test_case_55_throttle_of_searches_holds_where_the_cache_can_count(
    clinic, settings, use_cache, name
):
    use_cache(name)
    limit(settings, search="3/d")
    texts = ("riverside", "lake", "harbor", "st", "valley")
    statuses = [clinic.client.get(f"/records/search/?q={text}").status_code for text in texts]
    assert statuses == [200, 200, 200, 429, 429]


def test_case_55_largest_page_of_facilities_is_no_outage_of_a_cache_with_a_limit(
    clinic, use_cache, caplog
):
    use_cache("small-values")
    longest = {"name": "R" * 255, "type": "x" * 50, "logo_url": "https://l.example/" + "l" * 2030}
    longest["portal_url"] = longest["logo_url"]

    def list_longest(listed):
        one = {**listed["data"][0], **longest}
        urls = (f"https://fhir.example/{number:03}/" + "f" * 470 for number in range(100))
        facilities = [{**one, "id": url[-480:], "fhir_base_url": url} for url in urls]
        return {**listed, "data": facilities}

    clinic.medblocks.change("GET", "/connections", list_longest)
    for _ in range(2):
        assert clinic.client.get("/records/search/?q=riverside").status_code == 200
    levels = [record.levelno for record in caplog.records if "cache" in record.name]
    assert [level for level in levels if level >= logging.WARNING] == []


def search_at_once(clinic: Clinic, callers: int) -> list[HttpResponse]:
    def search(number: int) -> HttpResponse:
        try:
            return clinic.client.get(f"/records/api/connections/?q=river{number % 7}")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(search, range(callers)))


def test_case_55_default_cache_under_load_serves_every_search(clinic, settings, use_cache):
    use_cache("locmem")
    limit(settings, search=None)
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "MAX_WAITING": 32}
    for number in range(400):  # the host's own: more than the 300 entries that it holds
        hosts_cache.set(f"host:{number}", json.dumps([RIVERSIDE] * 50))
    assert {answered.status_code for answered in search_at_once(clinic, 60)} == {200}
