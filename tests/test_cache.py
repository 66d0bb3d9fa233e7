"""A cache that is away stops nobody."""

from __future__ import annotations

import json

import pytest
from django.core.cache import cache as hosts_cache

from medblocks_connect import cache as cache_module
from medblocks_connect.cache import LEFT_ALONE_SECONDS, cache
from tests.attempts.conftest import (
    BASE_URL,
    FACILITY,
    PORTAL_URL,
    medblocks,  # noqa: F401 - a fixture
    session_json,
)
from tests.broken_cache import BrokenCache

WORKING = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
BROKEN = {"default": {"BACKEND": "tests.broken_cache.BrokenCache"}}


@pytest.fixture(autouse=True)
def now(monkeypatch):
    """A clock that a test sets; no test sees that the cache was away in another one."""
    moment = [1000.0]
    monkeypatch.setattr(cache_module.time, "monotonic", lambda: moment[0])
    monkeypatch.setattr(cache, "_away_until", 0.0)
    monkeypatch.setattr(BrokenCache, "asked", 0)
    return moment


@pytest.fixture
def broken(settings):
    settings.CACHES = BROKEN


def test_working_cache_keeps_counts_and_forgets():
    cache.set("a", 1, 60)
    cache.set_many({"b": 2}, 60)
    assert (cache.get("a"), cache.get_many(["a", "b"])) == (1, {"a": 1, "b": 2})
    assert (cache.add("a", 7, 60), cache.add("c", 7, 60)) == (False, True)
    assert (cache.incr("a", 60), cache.incr("nothing", 60)) == (2, None)
    cache.delete_many(["a", "b"])
    assert cache.get_many(["a", "b", "c"]) == {"c": 7}


@pytest.mark.parametrize(
    ("use", "answer"),
    [
        (lambda: cache.get("a"), None),
        (lambda: cache.get_many(["a"]), {}),
        (lambda: cache.set("a", 1, 60), None),
        (lambda: cache.set_many({"a": 1}, 60), None),
        (lambda: cache.add("a", 1, 60), None),
        (lambda: cache.incr("a", 60), None),
        (lambda: cache.delete_many(["a"]), None),
    ],
    ids=["get", "get_many", "set", "set_many", "add", "incr", "delete_many"],
)
def test_broken_cache_knows_nothing(broken, use, answer):
    assert use() == answer
    assert BrokenCache.asked == 1


def test_broken_cache_is_left_alone_for_a_while(broken, now):
    cache.get("a")
    cache.get("a")
    assert BrokenCache.asked == 1
    now[0] += LEFT_ALONE_SECONDS
    cache.get("a")
    assert BrokenCache.asked == 2


def test_broken_cache_is_told_of_once_an_outage_and_without_its_address(
    settings, broken, now, caplog
):
    for _ in range(3):
        cache.get("a")
        now[0] += LEFT_ALONE_SECONDS
    assert [record.getMessage() for record in caplog.records] == [
        "The cache cannot be used: ConnectionError"
    ]
    settings.CACHES = WORKING
    cache.get("a")
    settings.CACHES = BROKEN
    cache.get("a")
    assert len(caplog.records) == 2


@pytest.mark.django_db
def test_broken_cache_stops_no_search(browser, medblocks, broken):  # noqa: F811
    page = {"resource_type": "list", "data": [], "has_more": False, "next_cursor": None}
    medblocks.get(f"{BASE_URL}/connections", json=page)
    assert browser.get("/records/search/").status_code == 200
    assert "We found nothing" in browser.get("/records/search/?q=river").text
    assert browser.get("/records/api/connections/?q=river").json()["data"] == []


@pytest.mark.django_db
@pytest.mark.parametrize("as_json", [False, True], ids=["form", "json"])
def test_broken_cache_stops_no_start(browser, user, medblocks, broken, as_json):  # noqa: F811
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json(patient_id=str(user.pk)))
    if as_json:
        body = json.dumps({"connection_id": FACILITY})
        started = browser.post(
            "/records/api/patient-sessions/", body, content_type="application/json"
        )
        assert started.json() == {"url": PORTAL_URL}
    else:
        started = browser.post("/records/start/", {"connection_id": FACILITY})
        assert started["Location"] == PORTAL_URL


@pytest.mark.django_db
def test_broken_cache_stops_no_list_of_connections(browser, user, medblocks, broken):  # noqa: F811
    medblocks.get(f"{BASE_URL}/patients/{user.pk}", status=404, json={})
    assert browser.get("/records/connections/").status_code == 200


def test_hosts_cache_is_the_one_that_is_used():
    cache.set("a", 1, 60)
    assert hosts_cache.get("a") == 1
