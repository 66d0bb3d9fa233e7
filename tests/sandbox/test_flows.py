"""Flows: the outcome of each action on sessions and connections."""

import threading

import pytest
from django.db import connection as database
from django.utils import timezone

from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.models import SandboxConnection, SandboxEvent, SandboxSession
from tests.sandbox.conftest import LANTERN, RIVERSIDE

pytestmark = pytest.mark.django_db


def stored(session):
    return SandboxSession.objects.get(pk=session.pk)


def status(session):
    return stored(session).status_at(timezone.now())


def test_approve_activates_connection(session):
    connection = flows.approve(session)
    assert status(session) == "complete"
    assert (connection.status, connection.connection_id) == ("active", RIVERSIDE)
    assert connection.conn_id.startswith("conn_")


def test_cancel_fails_connection(session):
    connection = flows.cancel(session)
    assert status(session) == "complete"
    assert connection.conn_id is None
    assert (connection.status, connection.failure_code) == ("failed", "user_denied")


def test_failed_connection_has_an_id_where_so_set(session, settings):
    settings.MEDBLOCKS_SANDBOX = {"FAILED_CONNECTIONS_HAVE_IDS": True}
    assert flows.cancel(session).conn_id.startswith("conn_")


def test_fail_without_code_raises(session):
    with pytest.raises(ValueError, match="code"):
        flows.fail(session, "")
    assert status(session) == "open"


def test_let_expire_expires_session_without_event(session):
    flows.let_expire(session)
    assert status(session) == "expired"
    assert not SandboxEvent.objects.exists()


def test_approve_without_facility_raises(hosted):
    with pytest.raises(ValueError, match="facility"):
        flows.approve(hosted)
    assert status(hosted) == "open"


def test_finish_without_connection_records_event(hosted):
    flows.finish(hosted)
    assert status(hosted) == "complete"
    assert not SandboxConnection.objects.exists()
    assert SandboxEvent.objects.get().type == "patient_session.completed"


def test_hosted_session_is_open_with_its_connections_until_finished(hosted, caller):
    flows.fail(hosted, "oauth_error", LANTERN)
    flows.approve(hosted, RIVERSIDE)
    flows.approve(hosted, RIVERSIDE)
    shown = caller.get(f"/patient-sessions/{hosted.session_id}").json()
    assert (shown["status"], shown["connection_id"]) == ("open", None)
    assert [(row["connection_id"], row["status"]) for row in shown["connections"]] == [
        (LANTERN, "failed"), (RIVERSIDE, "active"), (RIVERSIDE, "active"),
    ]  # fmt: skip
    assert not SandboxEvent.objects.exists()
    flows.finish(hosted)
    told = SandboxEvent.objects.get().payload["data"]["object"]
    assert (told["status"], told["connections"]) == ("complete", shown["connections"])


@pytest.mark.parametrize("end", [flows.finish, flows.let_expire], ids=["finished", "expired"])
def test_hosted_session_that_is_over_takes_nothing_more(hosted, end):
    flows.approve(hosted, RIVERSIDE)
    end(hosted)
    for action in (flows.approve, flows.cancel):
        with pytest.raises(flows.SessionClosed):
            action(stored(hosted), LANTERN)
    assert SandboxConnection.objects.count() == 1


ACTIONS = {
    "approve": flows.approve,
    "cancel": flows.cancel,
    "fail": lambda session: flows.fail(session, "oauth_error"),
    "finish": flows.finish,
    "let_expire": flows.let_expire,
}


@pytest.mark.parametrize("second", ACTIONS)
@pytest.mark.parametrize("first", ACTIONS)
def test_second_action_changes_nothing(session, first, second):
    ACTIONS[first](session)
    before = status(session), list(SandboxConnection.objects.values())
    with pytest.raises(flows.SessionClosed):
        ACTIONS[second](stored(session))
    assert (status(session), list(SandboxConnection.objects.values())) == before


def test_approve_after_expiry_raises(session):
    SandboxSession.objects.update(expires_at=timezone.now())
    with pytest.raises(flows.SessionClosed):
        flows.approve(session)


@pytest.mark.parametrize("action", ["approve", "cancel", "fail"])
def test_completed_event_holds_the_whole_session(session, caller, action):
    ACTIONS[action](session)
    event = SandboxEvent.objects.get()
    shown = caller.get(f"/patient-sessions/{session.session_id}").json()
    assert event.type == "patient_session.completed"
    assert event.payload["data"]["object"] == shown
    assert shown["status"] == "complete"
    assert len(shown["connections"]) == 1


def test_event_has_documented_envelope(session):
    flows.approve(session)
    event = SandboxEvent.objects.get()
    assert event.event_id.startswith("evt_")
    assert set(event.payload) == {"id", "object", "type", "api_version", "created_at", "data"}
    assert event.payload["id"] == event.event_id
    assert event.payload["object"] == "event"


def test_lose_access_records_event(session):
    connection = flows.approve(session)
    event = flows.lose_access(connection)
    resource = event.payload["data"]["object"]
    assert event.type == "connection.token_refresh_failed"
    assert set(resource) == {
        "id", "connection_id", "status", "failure_code", "failure_at", "created_at",
    }  # fmt: skip
    assert (resource["id"], resource["status"]) == (connection.conn_id, "refresh_failed")
    assert (resource["failure_code"], resource["failure_at"]) == (None, None)


def test_lose_access_twice_records_one_event(session):
    connection = flows.approve(session)
    flows.lose_access(connection)
    with pytest.raises(flows.ConnectionNotActive):
        flows.lose_access(connection)
    assert SandboxEvent.objects.filter(type="connection.token_refresh_failed").count() == 1


def test_sync_records_records_event(session):
    event = flows.sync_records(flows.approve(session), total=7)
    resource = event.payload["data"]["object"]
    assert event.type == "records.sync.completed"
    assert set(resource) == {
        "resource_type", "patient_id", "connection_id", "total", "errors", "duration_ms",
    }  # fmt: skip
    assert (resource["patient_id"], resource["connection_id"]) == ("pat-1", RIVERSIDE)
    assert resource["total"] == 7


def test_sync_records_failed_records_error(session):
    event = flows.sync_records(flows.approve(session), ok=False)
    assert event.type == "records.sync.failed"
    assert event.payload["data"]["object"]["error_message"]


def test_sync_records_of_failed_connection_raises(session):
    connection = flows.cancel(session)
    with pytest.raises(flows.ConnectionNotActive):
        flows.sync_records(connection)


def test_str_and_repr_hide_token_and_patient(session):
    connection = flows.cancel(session)
    event = SandboxEvent.objects.get()
    for thing in (session, session.patient, connection, event):
        for text in (str(thing), repr(thing)):
            assert session.token not in text
            assert "pat-1" not in text


@pytest.mark.django_db(transaction=True)
def test_concurrent_clicks_have_one_outcome(caller):
    session = caller.start()
    together = threading.Barrier(8)
    outcomes = []

    def click(action):
        together.wait()
        try:
            outcomes.append(action(stored(session)).status)
        except flows.SessionClosed:
            outcomes.append("over")
        finally:
            database.close()

    actions = [flows.approve, flows.cancel] * 4
    clicks = [threading.Thread(target=click, args=[action]) for action in actions]
    for thread in clicks:
        thread.start()
    for thread in clicks:
        thread.join()
    assert sorted(outcomes)[1:] == ["over"] * 7
    assert SandboxConnection.objects.count() == 1
    assert SandboxEvent.objects.count() == 1
