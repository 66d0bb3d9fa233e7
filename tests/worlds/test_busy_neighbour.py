"""After a busy hour of A, B sees in every answer what it sees where there is no A at all.

A and B are two sites with databases and keys of their own on one Redis without a prefix, or on a
cache that is away; or two tenants of one process with one database and Django's default cache. Both
have a patient 1, and the same ids of facilities.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from medblocks_connect.api.gate import CLOSED_SECONDS
from tests.worlds.conftest import empty_cache, find_cache
from tests.worlds.medblocks import EYES, MEADOWS, SHARED, FakeMedblocks, World
from tests.worlds.running import KEYS, SECRETS, TENANTS, TENANTS_SETTINGS, RunningSite
from tests.worlds.walk import MOST_REQUESTS, URLCONF, Walk

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

    def start_both(self, cache: str) -> RunningSite:
        return self._start(self._make(), cache, TENANTS_SETTINGS, TENANTS)

    def begin(self, name: str, site: RunningSite) -> Walk:
        """Begin a walk, where Medblocks is away first."""
        self.worlds[name].reset()
        walk = Walk(site, self.worlds[name], SECRETS[name], f"{name}.example")
        self._walk_while_away(walk, "away from the first")
        return walk

    def _walk_while_away(self, walk: Walk, case: str) -> None:
        self._medblocks.is_away = True
        walk.walk_while_away(case)
        self._medblocks.is_away = False
        time.sleep(CLOSED_SECONDS)  # the site leaves Medblocks alone for a while

    def be_busy(self, site: RunningSite) -> Walk:
        """Let A live through what B will, and make two places popular there."""
        walk = self.begin("a", site)
        walk.walk_patients_pages()
        for facility in (SHARED, EYES, MEADOWS[2]):
            walk.connect(facility, f"of the other at {facility}", by="other")
        walk.visit("search", "of the other", by="other")
        return walk

    def walk_everywhere(self, site: RunningSite, *, with_staff: bool) -> Walk:
        walk = self.begin("b", site)
        walk.walk_patients_pages()
        if with_staff:
            walk.walk_staff_pages()
        time.sleep(1.1)  # what is fresh in the cache is not, after a second: see SETTINGS
        self._walk_while_away(walk, "away since")
        return walk

    def live_for_an_hour(self, start_alone, start_a, start_b, *, with_staff: bool = True) -> Hour:
        """Walk B where there is no A, then B after A, with what starts each of the sites."""
        alone = self.walk_everywhere(start_alone(), with_staff=with_staff)
        alone.use_up_throttles()
        busy = self.be_busy(start_a())
        after = self.walk_everywhere(start_b(), with_staff=with_staff)
        busy.use_up_throttles()
        after.use_up_throttles()
        return Hour(alone, busy, after)

    def share_cache(self, cache: str) -> Hour:
        """Let A and B be two sites on one cache."""

        def start_alone() -> RunningSite:
            return self.start("b", empty_cache(cache))

        def start_a() -> RunningSite:
            return self.start("a", empty_cache(cache))

        return self.live_for_an_hour(start_alone, start_a, lambda: self.start("b", cache))

    def share_process(self, cache: str) -> Hour:
        """Let A and B be tenants of one process. Its staff see both, each row with its tenant."""
        both: list[RunningSite] = []

        def start_alone() -> RunningSite:
            return self.start_both(empty_cache(cache))

        def start_shared() -> RunningSite:
            if not both:
                both.append(self.start_both(empty_cache(cache)))
            return both[0]

        return self.live_for_an_hour(start_alone, start_shared, start_shared, with_staff=False)


@pytest.fixture(
    scope="module",
    params=["sites on redis", "sites on away", "tenants on locmem", "tenants on redis"],
)
def hour(request, medblocks, start_site, make_database) -> Hour:
    """The hour, for two sites and for two tenants; sites share no cache of a process."""
    neighbours = Neighbours(medblocks, start_site, make_database)
    kind, _on, cache = request.param.split()
    url = find_cache(cache, request)
    return neighbours.share_cache(url) if kind == "sites" else neighbours.share_process(url)


def test_every_answer_of_b_case_48_is_what_it_is_without_a(hour):
    alone, after = (
        {case: seen.normalised for case, seen in walk.seen.items()}
        for walk in (hour.alone, hour.after)
    )
    assert list(after) == list(alone)
    assert [case for case in alone if after[case] != alone[case]] == []


def test_no_answer_of_b_case_48_has_a_text_of_a(hour):
    """Of A's facilities, sessions, connections and requests, each with A's mark, or an attempt."""
    attempts = [session["metadata"]["attempt"] for session in hour.busy.world.sessions.values()]
    texts = {case: f"{seen.location}\n{seen.text}" for case, seen in hour.after.seen.items()}
    for forbidden in (MARK_OF_A, MARK_OF_A.title(), *attempts):
        assert [case for case, text in texts.items() if forbidden in text] == []


def test_patient_1_of_a_case_48_at_the_limit_leaves_patient_1_of_b_theirs(hour):
    assert hour.after.allowed == hour.alone.allowed
    assert min(hour.after.allowed) > 10
    if max(hour.alone.allowed) < MOST_REQUESTS:  # a cache that is away counts nothing
        assert hour.busy.seen["start throttled"].status == 429


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


def test_counts_of_staff_are_of_their_own_workspace(hour):
    name = "admin:medblocks_connect_"
    for page in ("patientconnectionattempt_overview", "lostconnection_changelist"):
        text = hour.after.ask(f"{name}{page}", by="staff").text
        assert "Birch Meadow Hospital" in text
        assert "Zebra" not in text


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
