"""An event of A's workspace that B is sent: it counts for nothing, whoever signed it."""

from __future__ import annotations

import time

import pytest

from tests.worlds.medblocks import EYES, LONG_AGO, MEADOWS, Json, World
from tests.worlds.running import KEYS, SECRETS, TENANTS, TENANTS_SETTINGS
from tests.worlds.walk import ATTEMPT, Walk, make_equal

COMPLETED = "patient_session.completed"
LOST = "connection.token_refresh_failed"
SYNCED = "records.sync.completed"
LATE = {"failure_code": "token_unavailable", "failure_at": "2098-01-01T00:00:00.000Z"}
CONNECTED = "You are connected"
ENDED = "The connection has ended"


@pytest.fixture(scope="module")
def worlds(medblocks, cache) -> dict[str, World]:
    worlds = {"a": World("zebra"), "b": World("birch")}
    medblocks.worlds = {key: worlds[name] for name, key in KEYS.items()}
    return worlds


@pytest.fixture(scope="module")
def two_sites(worlds, start_site, make_database, cache) -> dict[str, Walk]:
    """A and B with databases of their own."""
    walks = {}
    for name, world in worlds.items():
        connect = {"API_KEY": KEYS[name], "WEBHOOK_SECRETS": [SECRETS[name]]}
        site = start_site(make_database(), cache, connect)
        walks[name] = Walk(site, world, SECRETS[name])
    return walks


@pytest.fixture(scope="module")
def tenants(worlds, start_site, make_database, cache) -> dict[str, Walk]:
    """A and B with one database and one process."""
    site = start_site(make_database(), cache, TENANTS_SETTINGS, TENANTS)
    return {name: Walk(site, worlds[name], SECRETS[name], f"{name}.example") for name in worlds}


def list_events_of(walk: Walk, case: str) -> list[tuple[str, object]]:
    """Let a patient at ``walk`` have connected; return every event that tells of it."""
    session = walk.connect(MEADOWS[7], case)
    connection = session["connections"][0]
    about = {"patient_id": "1", "connection_id": MEADOWS[7], "total": 1, "errors": 0}
    return [(COMPLETED, session), (LOST, {**connection, **LATE}), (SYNCED, about)]


def look(walk: Walk) -> dict[str, str]:
    """Return what the patient and staff see of the attempts, and of nothing else."""
    pages = {
        "connections": walk.ask("medblocks_connect:connections"),
        "patients": walk.ask("admin:medblocks_connect_patienthistory_changelist", by="staff"),
        "export": walk.ask(f"admin:medblocks_connect_{ATTEMPT}_export", by="staff", method="POST"),
        "queue": walk.ask("admin:medblocks_connect_lostconnection_changelist", by="staff"),
    }
    return {name: make_equal(page.text) for name, page in pages.items()}


def count_deliveries(walk: Walk) -> int:
    page = walk.ask("admin:medblocks_connect_webhookdelivery_changelist", by="staff")
    return page.text.count("/change/")


def read_page(walk: Walk, session: Json) -> str:
    page = walk.ask("medblocks_connect:attempt", session["metadata"]["attempt"])
    assert page.status_code == 200
    return page.text


def test_event_signed_with_the_secret_of_a_is_refused_by_b_and_changes_nothing(two_sites):
    a, b = two_sites["a"], two_sites["b"]
    b.connect(EYES, "before what A signed")
    before, kept = look(b), count_deliveries(b)
    for kind, about in list_events_of(a, "signed"):
        assert b.send(f"signed {kind}", kind, about, secret=SECRETS["a"]).status == 400
    assert look(b) == before
    assert count_deliveries(b) == kept


def test_event_about_a_signed_with_the_secret_of_b_is_kept_and_changes_no_attempt(two_sites):
    a, b = two_sites["a"], two_sites["b"]
    b.connect(EYES, "before what B signed")
    before, kept = look(b), count_deliveries(b)
    events = list_events_of(a, "kept")
    for kind, about in events:
        assert b.send(f"kept {kind}", kind, about).status == 200
    assert look(b) == before
    assert count_deliveries(b) == kept + len(events)
    b.run("medblocks_reconcile")
    assert look(b) == before


def test_event_signed_with_the_secret_of_another_tenant_is_refused(tenants):
    session = tenants["a"].start(EYES, "refused")
    tenants["a"].world.approve(session)
    sent = tenants["b"].send("refused", COMPLETED, session, secret=SECRETS["a"])
    assert sent.status == 400
    sent = tenants["a"].send("refused", COMPLETED, session, secret=SECRETS["b"])
    assert sent.status == 400


def test_completed_session_of_another_tenant_is_not_completed(tenants):
    a, b = tenants["a"], tenants["b"]
    session = a.start(EYES, "told to b")
    told = {**session, "status": "complete"}
    told["connections"] = [{"id": "conn_of_b", "connection_id": EYES, "status": "active"}]
    assert b.send("told to b", COMPLETED, told).status == 200
    b.run("medblocks_reconcile")
    assert CONNECTED not in read_page(a, session)


def test_lost_connection_of_another_tenant_is_not_lost(tenants):
    a, b = tenants["a"], tenants["b"]
    session = a.connect(MEADOWS[8], "lost at b")
    assert b.send("lost at b", LOST, {**session["connections"][0], **LATE}).status == 200
    assert CONNECTED in read_page(a, session)


def test_event_that_came_too_early_at_another_tenant_is_not_waited_for(tenants):
    a, b = tenants["a"], tenants["b"]
    number = len(a.world.sessions) + 1
    told = {"id": f"ps_zebra_{number}", "status": "complete", "patient_id": "1"}
    told |= {"connection_id": EYES, "connections": [], "created_at": LONG_AGO}
    told["connections"] = [{"id": "conn_of_b", "connection_id": EYES, "status": "active"}]
    assert b.send("too early", COMPLETED, told).status == 200
    session = a.start(EYES, "too early")
    assert session["id"] == told["id"]
    assert CONNECTED not in read_page(a, session)


def test_records_of_another_tenants_patient_1_have_not_arrived(tenants):
    a, b = tenants["a"], tenants["b"]
    a.connect(MEADOWS[11], "records at b")
    before = look(a)["connections"]
    about = {"patient_id": "1", "connection_id": MEADOWS[11], "total": 1, "errors": 0}
    assert b.send("records at b", SYNCED, about).status == 200
    assert look(a)["connections"] == before
    assert a.send("records at a", SYNCED, about).status == 200
    assert look(a)["connections"] != before


def test_event_with_one_id_in_two_workspaces_has_its_effect_in_each(tenants):
    for walk in tenants.values():
        session = walk.start(MEADOWS[9], "same id")
        walk.world.approve(session)
        for case in ("same id", "same id again"):
            sent = walk.send(case, COMPLETED, session, event_id="evt_same")
            assert sent.status == 200
        assert CONNECTED in read_page(walk, session)
    for walk in tenants.values():
        walk.send("same id at last", "test.ping", {}, event_id="evt_same")
    page = walk.ask("admin:medblocks_connect_webhookdelivery_changelist", by="staff")
    assert page.text.count("came again with another body: 1 times") == len(tenants)


def test_event_that_waited_has_its_effect_after_the_tenant_was_put_away(tenants):
    """The middleware puts it away when the answer leaves, and what waited is processed then."""
    a = tenants["a"]
    session = a.start(MEADOWS[10], "waited")
    connection = a.world.approve(session)
    a.send("waited lost", LOST, {**connection, **LATE})
    a.send("waited", COMPLETED, session)
    assert any(ENDED in read_page(a, session) or time.sleep(0.02) for _ in range(100))
