"""A cache that is slow, or that works in part, is used as far as it helps."""

from __future__ import annotations

import logging

import pytest

from medblocks_connect import cache as cache_module
from medblocks_connect.cache import LEFT_ALONE_SECONDS, SLOW_SECONDS, cache
from tests.odd_caches import ReplicaCache, SlowCache


@pytest.fixture
def now(monkeypatch):
    """A clock that a test sets, in seconds."""
    moment = [1000.0]
    monkeypatch.setattr(cache_module.time, "monotonic", lambda: moment[0])
    return moment


@pytest.fixture
def take(settings, now):
    """Let each call of the host's cache take as many seconds as a test says."""
    settings.CACHES = {"default": {"BACKEND": "tests.odd_caches.SlowCache"}}

    def take_seconds(seconds):
        def wait():
            now[0] += seconds

        SlowCache.forget(wait)

    return take_seconds


def test_slow_cache_gives_what_it_had_and_is_left_alone_in_every_way(now, take):
    take(SLOW_SECONDS + 0.1)
    cache.add("a", 1, 60)
    now[0] += LEFT_ALONE_SECONDS
    assert cache.get("a") == 1
    assert cache.get_many(["a"]) == {}
    cache.set("b", 1, 60)
    cache.set_many({"b": 1}, 60)
    assert (cache.add("b", 1, 60), cache.incr("a", 60)) == (None, None)
    cache.delete_many(["a"])
    assert SlowCache.asked == 2


@pytest.mark.parametrize(
    "use",
    [
        cache.get_many,
        lambda keys: cache.set_many(dict.fromkeys(keys, 1), 60),
        cache.delete_many,
    ],
    ids=["get_many", "set_many", "delete_many"],
)
def test_many_keys_of_a_cache_that_has_no_command_for_them_wait_once(take, use):
    take(SLOW_SECONDS + 0.1)
    use([f"key-{number}" for number in range(50)])
    assert SlowCache.asked == 1


def test_many_keys_that_each_take_a_while_are_given_up_when_it_is_too_long(take):
    take(SLOW_SECONDS / 4)
    cache.get_many([f"key-{number}" for number in range(50)])
    assert SlowCache.asked == 5
    assert cache.get("key-1") is None
    assert SlowCache.asked == 5


def test_slow_cache_is_logged_once_an_outage(now, take, caplog):
    take(SLOW_SECONDS + 0.1)
    for _ in range(3):
        cache.get("a")
        now[0] += LEFT_ALONE_SECONDS
    assert [record.getMessage() for record in caplog.records] == [
        "The cache cannot be read: too slow",
        "The cache cannot be written: too slow",
        "The cache cannot be used for many keys at once: too slow",
    ]


def test_cache_that_takes_no_many_keys_is_asked_for_one_after_the_other(settings, caplog):
    settings.CACHES = {"default": {"BACKEND": "tests.odd_caches.ClusterCache"}}
    cache.set_many({"a": 1, "b": 2}, 60)
    assert cache.get_many(["a", "b", "c"]) == {"a": 1, "b": 2}
    cache.delete_many(["a"])
    assert cache.get_many(["a", "b"]) == {"b": 2}
    assert len(caplog.records) == 1


def test_cache_that_takes_no_writes_is_read_on_and_logged_once(settings, now, caplog):
    settings.CACHES = {"default": {"BACKEND": "tests.odd_caches.ReplicaCache"}}
    for _ in range(3):
        cache.set("a", 1, 60)
        cache.add("b", 1, 60)
        assert cache.get(ReplicaCache.KEPT) == "kept"
        now[0] += LEFT_ALONE_SECONDS
    assert [record.getMessage() for record in caplog.records] == [
        "The cache cannot be written: ConnectionError"
    ]


def test_cache_that_refuses_a_large_value_keeps_the_others_and_no_older_one(settings, caplog):
    settings.CACHES = {"default": {"BACKEND": "tests.odd_caches.SmallValuesCache"}}
    cache.set("a", "older", 60)
    cache.set_many({"a": "x" * 2**20, "b": 1}, 60)
    assert cache.get_many(["a", "b"]) == {"b": 1}
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
