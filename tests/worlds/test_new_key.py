"""A site with a new key and its old database: what is another world is left, what is not stays.

From a sandbox key to a live one, nothing of the sandbox is offered, counted or asked about; from a
live key to the next one of the same workspace, nothing is lost.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.worlds.conftest import answers, empty_cache
from tests.worlds.medblocks import EYES, MEADOWS, FakeMedblocks, Json, World
from tests.worlds.running import RunningSite
from tests.worlds.walk import ATTEMPT, Walk, make_equal

SANDBOX_KEY = "mb_sk_sbx_key"
LIVE_KEYS = ("mb_sk_live_key", "mb_sk_live_next_key", "mb_sk_live_last_key")
SECRET = "whsec_of_the_clinic"


@dataclass
class Move:
    """A site that went live: what was lived through in the sandbox, and what is seen since."""

    sandbox: Walk
    sessions: dict[str, Json]  # of the sandbox
    alone: Walk  # a site that was live from its first day
    live: Walk
    medblocks: FakeMedblocks


def live_in_sandbox(walk: Walk) -> dict[str, Json]:
    """Let the patient have been through everything; return the sessions that matter later."""
    sessions = {"open": walk.start(EYES, "open"), "connected": walk.connect(MEADOWS[2], "kept")}
    sessions["back"] = walk.start(MEADOWS[1], "back")
    walk.come_back(sessions["back"], "back", success="true")
    sessions["late"] = walk.start(MEADOWS[4], "late")
    walk.connect(EYES, "of the other", by="other")
    walk.connect(MEADOWS[2], "of the other there", by="other")
    walk.search("in the sandbox")
    walk.visit("connections")
    walk.run("medblocks_sync_facilities", "--pause", "0")
    walk.search("in its catalog")
    return sessions


def start_with(key: str, database: Path, cache: str, start_site, **connect) -> RunningSite:
    settings = {"API_KEY": key, "WEBHOOK_SECRETS": [SECRET], **connect}
    return start_site(database, cache, settings)


def let_time_pass(database: Path) -> None:
    """Let the attempts be so old that reconciliation takes them up, one without a name yet."""
    with closing(sqlite3.connect(database)) as connection, connection:
        attempts = "medblocks_connect_patientconnectionattempt"
        connection.execute(f"UPDATE {attempts} SET created_at = datetime('now', '-2 hours')")
        connection.execute(
            f"UPDATE {attempts} SET connection_name = '' WHERE connection_id = ?", [MEADOWS[2]]
        )


@pytest.fixture(scope="module")
def move(medblocks, start_site, make_database, cache) -> Move:
    sandpit, oak = World("sandpit", "cerner"), World("oak")
    medblocks.worlds = {SANDBOX_KEY: sandpit, **dict.fromkeys(LIVE_KEYS, oak)}
    alone = Walk(start_with(LIVE_KEYS[0], make_database(), cache, start_site), oak, SECRET)
    alone.walk_patients_pages()
    oak.reset()
    empty_cache(cache)
    database = make_database()
    site = start_with(SANDBOX_KEY, database, cache, start_site)
    sandbox = Walk(site, sandpit, SECRET)
    sessions = live_in_sandbox(sandbox)
    site.stop()
    let_time_pass(database)
    medblocks.calls.clear()
    live = Walk(start_with(LIVE_KEYS[0], database, cache, start_site), oak, SECRET)
    live.walk_patients_pages()
    return Move(sandbox, sessions, alone, live, medblocks)


def read_page(walk: Walk, session: Json) -> str:
    page = walk.ask("medblocks_connect:attempt", session["metadata"]["attempt"])
    assert page.status_code == 200
    return page.text


def read_staffs_page(walk: Walk, name: str, **how: object) -> str:
    page = walk.ask(f"admin:medblocks_connect_{name}", by="staff", **how)
    assert page.status_code == 200
    return page.text


def test_patients_pages_case_49_are_those_of_a_site_that_was_always_live(move):
    alone, live = (
        {case: seen.normalised for case, seen in walk.seen.items()}
        for walk in (move.alone, move.live)
    )
    assert list(live) == list(alone)
    assert [case for case in alone if live[case] != alone[case]] == []


def test_patients_pages_have_no_text_of_the_sandbox(move):
    texts = {case: f"{seen.location}\n{seen.text}" for case, seen in move.live.seen.items()}
    assert [case for case, text in texts.items() if "sandpit" in text.lower()] == []


def test_sandbox_attempt_that_connected_has_ended(move):
    text = read_page(move.live, move.sessions["connected"])
    assert "The connection has ended" in text
    assert "You are connected" not in text
    assert "Oak" not in text  # which is what the live key calls its facility
    assert 'name="connection_id"' not in text  # and that is not offered


@pytest.mark.parametrize("case", ["open", "back"])
def test_sandbox_attempt_that_was_open_is_over(move, case):
    text = read_page(move.live, move.sessions[case])
    assert "The time to sign in ran out" in text
    assert 'name="connection_id"' not in text


def test_return_from_the_sandbox_connects_nobody(move):
    session = move.sessions["late"]
    move.sandbox.world.approve(session)
    query = {"patient_session_id": session["id"], "patient_id": "1", "success": "true"}
    answer = move.live.ask("medblocks_connect:return", params=query)
    assert answer.status_code == 303
    text = read_page(move.live, session)
    assert "You are connected" not in text
    assert "Sandpit" not in move.live.ask("medblocks_connect:connections").text


def test_medblocks_is_asked_nothing_about_the_sandbox_with_the_live_key(move):
    for session in move.sessions.values():
        read_page(move.live, session)
    move.live.run("medblocks_reconcile")
    asked = [path for key, _method, path in move.medblocks.calls if key in LIVE_KEYS]
    assert asked
    assert [path for path in asked if "sandpit" in path] == []


def test_staff_count_the_live_workspace_alone(move):
    for page in (f"{ATTEMPT}_overview", "lostconnection_changelist"):
        assert "Sandpit" not in read_staffs_page(move.live, page)
    listed = read_staffs_page(
        move.live, f"{ATTEMPT}_changelist", params={"workspace__exact": "sandbox"}
    )
    assert "Sandpit" in read_staffs_page(move.live, f"{ATTEMPT}_changelist")
    assert "Sandpit" in listed


def test_missing_facilities_are_counted_in_each_workspace(move):
    listed = read_staffs_page(move.live, "missingfacility_changelist")
    assert listed.count("nowhere at all</a>") == 2


@pytest.fixture
def rotate(medblocks, start_site, make_database, cache):
    """Return what starts the one site anew with another key of its workspace."""
    oak = World("oak")
    medblocks.worlds = dict.fromkeys(LIVE_KEYS, oak)
    medblocks.calls.clear()
    empty_cache(cache)
    database = make_database()
    sites: list[RunningSite] = []

    def start(key: str) -> Walk:
        for site in sites:
            site.stop()
        sites.clear()
        # Answers that are kept for minutes, as by default.
        kept = {"SEARCH_CACHE_SECONDS": 300, "CONNECTIONS_CACHE_SECONDS": 300}
        sites.append(start_with(key, database, cache, start_site, **kept))
        return Walk(sites[0], oak, SECRET)

    return start


def look(walk: Walk) -> dict[str, str]:
    """Return what the patient sees of their connections and searches."""
    pages = {
        "connections": walk.ask("medblocks_connect:connections"),
        "empty": walk.ask("medblocks_connect:search"),
        "typed": walk.ask("medblocks_connect:search", params={"q": "hospital"}),
        "json": walk.ask("medblocks_connect:api-connections", params={"q": "eye"}),
        "export": walk.ask(f"admin:medblocks_connect_{ATTEMPT}_export", by="staff", method="POST"),
    }
    assert {page.status_code for page in pages.values()} == {200}
    return {name: make_equal(page.text) for name, page in pages.items()}


def test_next_key_of_the_workspace_case_49_keeps_what_was_answered(rotate, medblocks, cache):
    before = rotate(LIVE_KEYS[0])
    session = before.connect(MEADOWS[2], "kept")
    seen = look(before)
    after = rotate(LIVE_KEYS[1])
    assert look(after) == seen
    if cache.startswith("redis:") and answers(cache):  # the others are empty in a new process
        assert medblocks.count_calls(LIVE_KEYS[1]) == 0
    assert "You are connected" in read_page(after, session)


def test_next_key_of_the_workspace_keeps_the_catalog_and_open_attempts(rotate, medblocks):
    before = rotate(LIVE_KEYS[1])
    before.run("medblocks_sync_facilities", "--pause", "0")
    session = before.start(EYES, "open")
    seen = look(before)
    after = rotate(LIVE_KEYS[2])
    assert look(after) == seen
    assert medblocks.count_calls(LIVE_KEYS[2], "/connections") == 0
    listed = read_staffs_page(after, "facility_changelist")
    assert "Oak Eye Institute" in listed
    assert "The local catalog is of the workspace" not in listed
    before.world.approve(session)
    assert "You are connected" in after.come_back(session, "at last", success="true").text
