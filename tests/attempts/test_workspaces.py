"""An attempt of another workspace connects nobody, is offered to nobody, and is not asked about."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from medblocks_connect.attempts.queries import has_failed_twice
from medblocks_connect.attempts.reconcile import count_unsettled
from medblocks_connect.attempts.verification import verify_attempt, verify_if_due
from medblocks_connect.attempts.webhook_deliveries import (
    process_delivery,
    receive_delivery,
    retry_deliveries,
)
from medblocks_connect.facilities import missing_facilities
from medblocks_connect.facilities.popularity import count_connected
from medblocks_connect.facilities.suggestions import suggest_facilities
from medblocks_connect.models import (
    MissingFacility,
    PatientConnection,
    WebhookDelivery,
)
from medblocks_connect.patients import Patient
from tests.attempts.conftest import BASE_URL, FACILITY, connection_json, session_json
from tests.connected import create_attempt

pytestmark = pytest.mark.django_db

HOUR_AGO = timedelta(hours=1)


@pytest.fixture
def make(user):
    """Make an attempt of the patient in the sandbox, an hour ago."""

    def make_one(**columns):
        return create_attempt(
            **{
                "patient_id": str(user.pk),
                "connection_id": FACILITY,
                "connection_name": "Riverside General",
                "created_at": timezone.now() - HOUR_AGO,
                **columns,
            }
        )

    return make_one


@pytest.fixture
def _go_live(settings, medblocks):
    """Change the key from the sandbox's to a live one."""
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "API_KEY": "mb_sk_live_1"}


@pytest.mark.usefixtures("_go_live")
@pytest.mark.parametrize("workspace", ["sandbox", "live"])
def test_success_counts_in_its_own_workspace_alone(browser, user, medblocks, make, workspace):
    make(workspace=workspace, status="succeeded", patient_connection_id="conn_1")
    medblocks.get(f"{BASE_URL}/patients/{user.pk}", status=500, json={})
    page = browser.get("/records/connections/").text
    assert ("Riverside General" in page) is (workspace == "live")
    standing = PatientConnection.objects.of_patient(str(user.pk)).that_stand()
    assert standing.at_places([FACILITY]).exists() is (workspace == "live")


@pytest.mark.usefixtures("_go_live")
@pytest.mark.parametrize("workspace", ["sandbox", "live"])
def test_facility_is_offered_in_its_own_workspace_alone(user, make, workspace):
    make(workspace=workspace, status="succeeded")
    assert bool(count_connected()) is (workspace == "live")
    suggestions = suggest_facilities(Patient(str(user.pk)))
    assert bool(suggestions.used or suggestions.popular) is (workspace == "live")


@pytest.mark.usefixtures("_go_live")
@pytest.mark.parametrize(("workspace", "asked"), [("sandbox", 0), ("live", 2)])
def test_open_attempt_is_asked_about_in_its_own_workspace_alone(medblocks, make, workspace, asked):
    session = medblocks.get(f"{BASE_URL}/patient-sessions/ps_1", status=500, json={})
    attempt = make(workspace=workspace, status="started", patient_session_id="ps_1")
    assert count_unsettled() == (1 if workspace == "live" else 0)
    verify_if_due(attempt)
    verify_attempt(attempt)
    assert session.call_count == asked


@pytest.mark.usefixtures("_go_live")
@pytest.mark.parametrize("workspace", ["sandbox", "live"])
def test_failures_are_counted_in_their_own_workspace_alone(make, workspace):
    make(workspace=workspace, status="failed", error="server_error")
    second = make(workspace="live", status="failed", error="server_error")
    assert has_failed_twice(second) is (workspace == "live")


@pytest.mark.usefixtures("_go_live")
@pytest.mark.parametrize("workspace", ["sandbox", "live"])
def test_failures_of_another_workspace_than_the_keys_are_counted_there(make, workspace):
    make(workspace=workspace, status="failed", error="server_error")
    second = make(workspace="sandbox", status="failed", error="server_error")
    assert has_failed_twice(second) is (workspace == "sandbox")


@pytest.mark.usefixtures("_go_live")
@pytest.mark.parametrize(
    ("columns", "heading"),
    [
        ({"status": "created"}, "We could not reach the portal"),
        ({"status": "started"}, "The time to sign in ran out"),
        ({"status": "returned", "returned_at": timezone.now()}, "The time to sign in ran out"),
        ({"status": "succeeded"}, "The connection has ended"),
        (
            {
                "status": "failed",
                "error": "access_denied",
                "unconfirmed": True,
                "returned_at": timezone.now(),
            },
            "You are not connected",
        ),
    ],
)
def test_page_of_an_attempt_of_another_workspace_says_that_it_is_over(
    browser, make, columns, heading
):
    """And offers no facility of it, waits for nothing, and asks Medblocks nothing."""
    attempt = make(workspace="sandbox", patient_session_id="ps_1", error_description="x", **columns)
    page = browser.get(attempt.get_absolute_url())
    assert page.status_code == 200
    assert heading in page.text
    assert "You are connected" not in page.text
    assert FACILITY not in page.text
    assert "Refresh" not in page.headers


@pytest.mark.usefixtures("_go_live")
def test_place_of_another_workspace_is_not_looked_up(browser, make):
    attempt = make(workspace="sandbox", status="succeeded", connection_name="")
    assert browser.get(attempt.get_absolute_url()).status_code == 200


EVENTS = {
    "session": (
        "patient_session.completed",
        session_json(status="complete", connections=[connection_json()]),
        {"patient_session_id": "ps_1"},
    ),
    "loss": (
        "connection.token_refresh_failed",
        {"id": "conn_1", "status": "refresh_failed"},
        {"patient_session_id": "", "patient_connection_id": "conn_1"},
    ),
    "records": (
        "records.sync.completed",
        {"patient_id": "p-1", "connection_id": FACILITY},
        {"patient_session_id": ""},
    ),
}


@pytest.mark.usefixtures("_go_live")
@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("workspace", ["sandbox", "live"])
def test_event_has_its_effect_in_its_own_workspace_alone(make, make_delivery, workspace, event):
    is_open = event == "session"
    attempt = make(
        workspace=workspace,
        patient_id="p-1",
        patient_session_id="ps_1",
        status="started" if is_open else "succeeded",
        patient_connection_id="" if is_open else "conn_1",
    )
    event_type, about, ids = EVENTS[event]
    delivery = make_delivery(about, event_type=event_type, **ids)
    process_delivery(delivery)
    delivery.refresh_from_db()
    assert attempt.events.exists() is (workspace == "live")
    assert delivery.state == ("processed" if workspace == "live" else "received")


@pytest.mark.usefixtures("_go_live")
@pytest.mark.parametrize("workspace", ["sandbox", "live"])
def test_waiting_delivery_is_retried_in_its_own_workspace_alone(make, make_delivery, workspace):
    make(workspace="live", patient_id="p-1", status="started", patient_session_id="ps_1")
    make_delivery(workspace=workspace)
    assert retry_deliveries(10) == ((1, 0) if workspace == "live" else (0, 0))


@pytest.mark.usefixtures("_go_live")
@pytest.mark.parametrize("workspace", ["sandbox", "live"])
def test_connection_hears_of_what_waited_in_its_own_workspace_alone(make, make_delivery, workspace):
    attempt = make(workspace="live", patient_id="p-1", status="started", patient_session_id="ps_1")
    event_type, about, ids = EVENTS["loss"]
    make_delivery(about, event_id="evt_2", event_type=event_type, workspace=workspace, **ids)
    process_delivery(make_delivery())
    attempt.refresh_from_db()
    assert (attempt.lost_at is not None) is (workspace == "live")


@pytest.mark.usefixtures("_go_live")
def test_event_id_of_another_workspace_is_another_event(make, make_delivery):
    """The other's delivery is neither taken for it nor given its effect."""
    attempt = make(workspace="live", patient_id="p-1", status="started", patient_session_id="ps_1")
    theirs = make_delivery(workspace="sandbox")
    ours = WebhookDelivery(
        event_id=theirs.event_id,
        event_type=theirs.event_type,
        payload=theirs.payload,
        patient_session_id="ps_1",
    )
    receive_delivery(ours)()
    attempt.refresh_from_db()
    theirs.refresh_from_db()
    assert (attempt.status, theirs.state, theirs.tries) == ("succeeded", "received", 0)
    assert WebhookDelivery.objects.count() == 2


@pytest.mark.parametrize("kept", [0, 1])
def test_missing_facilities_are_bounded_in_their_own_workspace(monkeypatch, kept):
    """Whoever types on at random in one stops the counting in no other."""
    monkeypatch.setattr(missing_facilities, "_MOST_KEPT", 1)
    MissingFacility.objects.create(text="a", folded="a", workspace="live")
    if kept:
        MissingFacility.objects.create(text="b", folded="b")
    missing_facilities.count_search("zebra")
    assert MissingFacility.objects.filter(text="zebra").exists() is not bool(kept)


def test_attempt_stays_in_its_workspace_where_the_key_is_rotated(settings, make):
    attempt = make(status="succeeded")
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "API_KEY": "mb_sk_sbx_next"}
    assert attempt.is_in_workspace


@pytest.mark.usefixtures("_go_live")
@pytest.mark.parametrize(("workspace", "asked"), [("sandbox", 0), ("live", 1)])
def test_admin_asks_about_an_attempt_of_its_own_workspace_alone(
    admin_client, medblocks, make, workspace, asked
):
    session = medblocks.get(f"{BASE_URL}/patient-sessions/ps_1", status=500, json={})
    attempt = make(workspace=workspace, status="started", patient_session_id="ps_1")
    page = f"/admin/medblocks_connect/patientconnectionattempt/{attempt.pk}/"
    assert (f"{page}ask/" in admin_client.get(f"{page}change/").text) is bool(asked)
    answer = admin_client.post(f"{page}ask/", follow=True)
    assert ("belongs to the workspace sandbox" in answer.text) is not bool(asked)
    assert session.call_count == asked
