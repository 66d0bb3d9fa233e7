"""What each deed of the patient does."""

import threading

import pytest
from django.db import connection as database
from django.utils import timezone

from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.models import SandboxConnection, SandboxEvent, SandboxSession
from tests.sandbox.conftest import RIVERSIDE

pytestmark = pytest.mark.django_db


def stored(session):
    return SandboxSession.objects.get(pk=session.pk)


def status(session):
    return stored(session).status_at(timezone.now())


def test_approve(session):
    connection = flows.approve(session)
    assert status(session) == "complete"
    assert (connection.status, connection.connection_id) == ("active", RIVERSIDE)
    assert connection.conn_id.startswith("conn_")


def test_cancel(session):
    connection = flows.cancel(session)
    assert status(session) == "complete"
    assert connection.conn_id is None
    assert (connection.status, connection.failure_code) == ("failed", "user_denied")


def test_fail_without_a_code(session):
    with pytest.raises(ValueError, match="code"):
        flows.fail(session, "")
    assert status(session) == "open"


def test_let_expire(session):
    flows.let_expire(session)
    assert status(session) == "expired"
    assert not SandboxEvent.objects.exists()


def test_hosted_approve_without_a_facility(hosted):
    with pytest.raises(ValueError, match="facility"):
        flows.approve(hosted)
    assert status(hosted) == "open"


def test_finish_without_connection(hosted):
    flows.complete_without_connection(hosted)
    assert status(hosted) == "complete"
    assert not SandboxConnection.objects.exists()
    assert SandboxEvent.objects.get().type == "patient_session.completed"


DEEDS = {
    "approve": flows.approve,
    "cancel": flows.cancel,
    "fail": lambda session: flows.fail(session, "oauth_error"),
    "finish": flows.complete_without_connection,
    "let_expire": flows.let_expire,
}


@pytest.mark.parametrize("second", DEEDS)
@pytest.mark.parametrize("first", DEEDS)
def test_first_deed_wins(session, first, second):
    DEEDS[first](session)
    before = status(session), list(SandboxConnection.objects.values())
    with pytest.raises(flows.SessionClosed):
        DEEDS[second](stored(session))
    assert (status(session), list(SandboxConnection.objects.values())) == before


def test_deed_after_the_time(session):
    SandboxSession.objects.update(expires_at=timezone.now())
    with pytest.raises(flows.SessionClosed):
        flows.approve(session)


@pytest.mark.parametrize("deed", ["approve", "cancel", "fail"])
def test_completed_event_holds_the_whole_session(session, caller, deed):
    DEEDS[deed](session)
    event = SandboxEvent.objects.get()
    shown = caller.get(f"/patient-sessions/{session.session_id}").json()
    assert event.type == "patient_session.completed"
    assert event.payload["data"]["object"] == shown
    assert shown["status"] == "complete"
    assert len(shown["connections"]) == 1


def test_event_envelope(session):
    flows.approve(session)
    event = SandboxEvent.objects.get()
    assert event.event_id.startswith("evt_")
    assert set(event.payload) == {"id", "object", "type", "api_version", "created_at", "data"}
    assert event.payload["id"] == event.event_id
    assert event.payload["object"] == "event"


def test_lose_access(session):
    connection = flows.approve(session)
    event = flows.lose_access(connection)
    about = event.payload["data"]["object"]
    assert event.type == "connection.token_refresh_failed"
    assert set(about) == {
        "id", "connection_id", "status", "failure_code", "failure_at", "created_at",
    }  # fmt: skip
    assert (about["id"], about["status"]) == (connection.conn_id, "refresh_failed")
    assert about["failure_code"]


def test_lose_access_twice(session):
    connection = flows.approve(session)
    flows.lose_access(connection)
    with pytest.raises(flows.ConnectionNotActive):
        flows.lose_access(connection)
    assert SandboxEvent.objects.filter(type="connection.token_refresh_failed").count() == 1


def test_sync_records(session):
    event = flows.sync_records(flows.approve(session), total=7)
    about = event.payload["data"]["object"]
    assert event.type == "records.sync.completed"
    assert set(about) == {
        "resource_type", "patient_id", "connection_id", "total", "errors", "duration_ms",
    }  # fmt: skip
    assert (about["patient_id"], about["connection_id"]) == ("pat-1", RIVERSIDE)
    assert about["total"] == 7


def test_sync_records_failed(session):
    event = flows.sync_records(flows.approve(session), ok=False)
    assert event.type == "records.sync.failed"
    assert event.payload["data"]["object"]["error_message"]


def test_sync_records_of_a_failed_connection(session):
    connection = flows.cancel(session)
    with pytest.raises(flows.ConnectionNotActive):
        flows.sync_records(connection)


def test_text_forms_keep_what_is_private(session):
    connection = flows.cancel(session)
    event = SandboxEvent.objects.get()
    for thing in (session, session.patient, connection, event):
        for text in (str(thing), repr(thing)):
            assert session.token not in text
            assert "pat-1" not in text


@pytest.mark.django_db(transaction=True)
def test_many_clicks_at_once_have_one_outcome(caller):
    session = caller.start()
    together = threading.Barrier(8)
    outcomes = []

    def click(deed):
        together.wait()
        try:
            outcomes.append(deed(stored(session)).status)
        except flows.SessionClosed:
            outcomes.append("over")
        finally:
            database.close()

    deeds = [flows.approve, flows.cancel] * 4
    clicks = [threading.Thread(target=click, args=[deed]) for deed in deeds]
    for thread in clicks:
        thread.start()
    for thread in clicks:
        thread.join()
    assert sorted(outcomes)[1:] == ["over"] * 7
    assert SandboxConnection.objects.count() == 1
    assert SandboxEvent.objects.count() == 1
