"""After a busy hour of A, B sees in every answer what it sees where there is no A at all.

A and B are two sites with databases and keys of their own on one Redis without a prefix, or on a
cache that is away; or two tenants of one process with one database and Django's default cache. Both
have a patient 1, and the same ids of facilities.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from tests.worlds.conftest import clear_redis, find_cache_that_is_away
from tests.worlds.medblocks import EYES, MEADOWS, SHARED, FakeMedblocks, World
from tests.worlds.running import KEYS, SECRETS, TENANTS, TENANTS_SETTINGS, RunningSite
from tests.worlds.walk import URLCONF, Walk

MARK_OF_A = "zebra"


@dataclass
class Hour:
    """What B sees where there is no A, what A does, and what B sees after it."""

    alone: Walk
    busy: Walk
    after: Walk


class Neighbours:
    """Starts A and B, and walks over them."""

    def __init__(self, medblocks: FakeMedblocks, start_site, make_database) -> None:
        self._medblocks, self._start, self._make = medblocks, start_site, make_database
        self.worlds = {"a": World(MARK_OF_A, "cerner"), "b": World("birch")}
        medblocks.worlds = {key: self.worlds[name] for name, key in KEYS.items()}

    def start(self, name: str, cache: str) -> RunningSite:
        connect = {"API_KEY": KEYS[name], "WEBHOOK_SECRETS": [SECRETS[name]]}
        return self._start(self._make(), cache, connect)

    def start_both(self) -> RunningSite:
        return self._start(self._make(), "locmem", TENANTS_SETTINGS, TENANTS)

    def walk(self, name: str, site: RunningSite, *, with_staff: bool = True) -> Walk:
        self.worlds[name].reset()
        walk = Walk(site, self.worlds[name], SECRETS[name], f"{name}.example")
        self._medblocks.is_away = True
        walk.walk_while_away("away from the first")
        self._medblocks.is_away = False
        walk.walk_patients_pages()
        if with_staff:
            walk.walk_staff_pages()
        time.sleep(1.1)  # what is fresh in the cache is not, after a second: see SETTINGS
        self._medblocks.is_away = True
        walk.walk_while_away("away since")
        self._medblocks.is_away = False
        walk.allowed = walk.use_up_throttles()
        return walk

    def be_busy(self, site: RunningSite, *, with_staff: bool = True) -> Walk:
        """Let A live through what B will, and make two places popular there."""
        walk = self.walk("a", site, with_staff=with_staff)
        for facility in (SHARED, EYES, MEADOWS[2]):
            walk.connect(facility, f"of the other at {facility}", by="other")
        walk.visit("search", "of the other", by="other")
        return walk


def share_redis(neighbours: Neighbours, request: pytest.FixtureRequest) -> Hour:
    cache = clear_redis(request.getfixturevalue("redis_url"))
    alone = neighbours.walk("b", neighbours.start("b", cache))
    clear_redis(cache)
    busy = neighbours.be_busy(neighbours.start("a", cache))
    return Hour(alone, busy, neighbours.walk("b", neighbours.start("b", cache)))


def share_cache_that_is_away(neighbours: Neighbours, _request: pytest.FixtureRequest) -> Hour:
    cache = find_cache_that_is_away()
    alone = neighbours.walk("b", neighbours.start("b", cache))
    busy = neighbours.be_busy(neighbours.start("a", cache))
    return Hour(alone, busy, neighbours.walk("b", neighbours.start("b", cache)))


def share_process_and_database(neighbours: Neighbours, _request: pytest.FixtureRequest) -> Hour:
    """Staff of such a site see both tenants, each row with its workspace: it is not compared."""
    alone = neighbours.walk("b", neighbours.start_both(), with_staff=False)
    site = neighbours.start_both()
    busy = neighbours.be_busy(site, with_staff=False)
    return Hour(alone, busy, neighbours.walk("b", site, with_staff=False))


@pytest.fixture(
    scope="module", params=[share_redis, share_cache_that_is_away, share_process_and_database]
)
def hour(request, medblocks, start_site, make_database) -> Hour:
    neighbours = Neighbours(medblocks, start_site, make_database)
    share: Callable[[Neighbours, pytest.FixtureRequest], Hour] = request.param
    return share(neighbours, request)


def test_every_answer_of_b_is_what_it_is_without_a(hour):
    alone, after = (
        {case: seen.normalised for case, seen in walk.seen.items()}
        for walk in (hour.alone, hour.after)
    )
    assert list(after) == list(alone)
    assert [case for case in alone if after[case] != alone[case]] == []


def test_no_answer_of_b_has_a_text_of_a(hour):
    """Of A's facilities, sessions, connections and requests, each with A's mark, or an attempt."""
    attempts = [session["metadata"]["attempt"] for session in hour.busy.world.sessions.values()]
    texts = {case: f"{seen.location}\n{seen.text}" for case, seen in hour.after.seen.items()}
    for forbidden in (MARK_OF_A, MARK_OF_A.title(), *attempts):
        assert [case for case, text in texts.items() if forbidden in text] == []


def test_patient_1_of_a_at_the_limit_leaves_patient_1_of_b_theirs(hour):
    assert hour.after.allowed == hour.alone.allowed
    assert min(hour.after.allowed) > 10


def test_walk_sees_what_there_is_to_mix(hour):
    """Else the same could be said of two walks that see nothing."""
    seen = hour.alone.seen
    assert {answer.status for answer in seen.values()} >= {200, 303, 400, 404}
    unavailable = {case for case, answer in seen.items() if answer.status >= 500}
    assert all("away" in case for case in unavailable)
    assert "Zebra Shared Hospital" in hour.busy.seen["search hospital first"].text
    assert "Birch Shared Hospital" in seen["search hospital first"].text
    assert "Birch Shared Hospital" in seen["connections after it"].text
    assert "Birch Shared Hospital" in seen["search empty first"].text
    assert "Birch Eye Institute" in seen["search place for eyes in the catalog"].text


def list_names(resolver: URLResolver, prefix: str = "") -> set[str]:
    """Return the name, or else the route, of every URL of the app and of its admin pages."""
    names: set[str] = set()
    for pattern in resolver.url_patterns:
        if isinstance(pattern, URLResolver):
            names |= list_names(pattern, pattern.namespace or prefix)
        elif isinstance(pattern, URLPattern):
            name = pattern.name or str(pattern.pattern)
            if prefix == "medblocks_connect" or name.startswith("medblocks_connect_"):
                names.add(name)
    return names


def test_every_url_is_walked(hour):
    names = list_names(get_resolver(URLCONF))
    if "index" not in hour.alone.seen:
        names = {name for name in names if not name.startswith("medblocks_connect_")}
    assert names - {case.split()[0] for case in hour.alone.seen} == set()
