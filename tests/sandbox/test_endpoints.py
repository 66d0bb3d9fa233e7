"""Sessions and patients over the API."""

from datetime import datetime, timedelta
from datetime import timezone as fixed_zone
from urllib.parse import quote

import pytest
from django.utils import timezone

from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.models import SandboxPatient
from medblocks_connect.sandbox.serializers import serialize_datetime
from tests.sandbox.conftest import RETURN_URL, RIVERSIDE

pytestmark = pytest.mark.django_db


def test_session_has_documented_shape(caller):
    body = {
        "patient_id": "pat-1",
        "return_url": RETURN_URL,
        "connection_id": RIVERSIDE,
        "metadata": {"attempt": "a1"},
    }
    session = caller.post("/patient-sessions", body).json()
    assert session.pop("id").startswith("ps_")
    assert session.pop("url").startswith("http://testserver/make-believe/c/")
    assert session.pop("created_at") < session.pop("expires_at")
    assert session == {
        "resource_type": "patient_session",
        "status": "open",
        "patient_id": "pat-1",
        "connection_id": RIVERSIDE,
        "recommended_connection_ids": None,
        "return_url": RETURN_URL,
        "return_button_label": None,
        "connections": [],
        "metadata": {"attempt": "a1"},
    }


def test_session_without_facility_names_recommended_ones(caller, hosted):
    chosen = caller.start_hosted(recommended_connection_ids=[RIVERSIDE])
    for session, recommended in ((hosted, []), (chosen, [RIVERSIDE])):
        shown = caller.get(f"/patient-sessions/{session.session_id}").json()
        assert shown["recommended_connection_ids"] == recommended


def test_session_url_ends_in_32_hexadecimal_digits(session):
    token = session.url.rpartition("/c/")[2]
    assert len(token) == 32
    assert int(token, 16) >= 0


def test_session_lasts_1800_seconds_by_default(session):
    assert session.expires_at - session.created_at == timedelta(seconds=1800)


def test_session_with_expires_in_lasts_that_long(caller):
    session = caller.start(expires_in=60)
    assert session.expires_at - session.created_at == timedelta(seconds=60)


def test_session_creates_patient(caller):
    caller.start(patient_email="pat@clinic.example", patient_name="Pat")
    patient = caller.get("/patients/pat-1").json()
    assert (patient["email"], patient["name"]) == ("pat@clinic.example", "Pat")


def test_session_updates_only_given_patient_properties(caller):
    caller.start(patient_email="pat@clinic.example", patient_name="Pat")
    caller.start(patient_name="Patricia")
    patient = SandboxPatient.objects.get()
    assert (patient.email, patient.name) == ("pat@clinic.example", "Patricia")


def test_session_started_twice_makes_two(caller):
    assert caller.start().session_id != caller.start().session_id


def test_session_by_id_is_returned(caller, session):
    body = caller.get(f"/patient-sessions/{session.session_id}").json()
    assert (body["id"], body["url"]) == (session.session_id, session.url)


def test_session_unknown_is_not_found(caller):
    assert caller.get("/patient-sessions/ps_none").status_code == 404


def test_session_past_its_time_is_expired(caller, session):
    session.expires_at = timezone.now()
    session.save()
    assert caller.get(f"/patient-sessions/{session.session_id}").json()["status"] == "expired"


def test_session_complete_past_its_time_stays_complete(caller, session):
    flows.approve(session)
    session.expires_at = timezone.now()
    session.save()
    assert caller.get(f"/patient-sessions/{session.session_id}").json()["status"] == "complete"


def test_approved_session_shows_active_connection(caller, session):
    flows.approve(session)
    (connection,) = caller.get(f"/patient-sessions/{session.session_id}").json()["connections"]
    assert connection.pop("id").startswith("conn_")
    assert connection.pop("created_at").endswith("Z")
    assert connection == {
        "connection_id": RIVERSIDE,
        "status": "active",
        "failure_code": None,
        "failure_at": None,
    }


def test_failed_session_shows_failed_connection(caller, session):
    flows.fail(session, "oauth_error")
    (connection,) = caller.get(f"/patient-sessions/{session.session_id}").json()["connections"]
    assert connection["id"] is None
    assert (connection["status"], connection["failure_code"]) == ("failed", "oauth_error")
    assert connection["failure_at"].endswith("Z")


@pytest.mark.parametrize("end", [flows.lose_access, flows.disconnect])
def test_connection_that_ended_later_shows_no_failure(caller, session, end):
    end(flows.approve(session))
    (connection,) = caller.get("/patients/pat-1").json()["connections"]
    assert (connection["failure_code"], connection["failure_at"]) == (None, None)
    assert connection["updated_at"] > connection["created_at"]


def test_list_is_newest_first(caller):
    first, second = caller.start(), caller.start()
    caller.start(patient_id="pat-2")
    data = caller.get("/patients/pat-1/patient-sessions").json()["data"]
    assert [item["id"] for item in data] == [second.session_id, first.session_id]


def test_list_with_cursor_gives_next_page(caller):
    first, second = caller.start(), caller.start()
    page = caller.get("/patients/pat-1/patient-sessions", limit=1).json()
    assert (page["data"][0]["id"], page["has_more"]) == (second.session_id, True)
    rest = caller.get(
        "/patients/pat-1/patient-sessions", limit=1, starting_after=page["next_cursor"]
    ).json()
    assert (rest["data"][0]["id"], rest["has_more"]) == (first.session_id, False)


@pytest.mark.parametrize("status", ["open", "complete", "expired"])
def test_list_with_status_gives_those_sessions(caller, status):
    sessions = {name: caller.start() for name in ("open", "complete", "expired")}
    flows.approve(sessions["complete"])
    flows.let_expire(sessions["expired"])
    data = caller.get("/patients/pat-1/patient-sessions", status=status).json()["data"]
    assert [item["id"] for item in data] == [sessions[status].session_id]
    assert data[0]["status"] == status


@pytest.mark.parametrize(
    ("name", "value"), [("status", "gone"), ("limit", "0"), ("starting_after", "eA"), ("q", "x")]
)
def test_list_with_invalid_parameter_is_refused(caller, session, name, value):
    response = caller.get("/patients/pat-1/patient-sessions", **{name: value})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == name


def test_list_with_another_patients_cursor_is_refused(caller, session):
    caller.start(patient_id="pat-2")
    caller.start(patient_id="pat-2")
    cursor = caller.get("/patients/pat-2/patient-sessions", limit=1).json()["next_cursor"]
    response = caller.get("/patients/pat-1/patient-sessions", starting_after=cursor)
    assert response.json()["error"]["param"] == "starting_after"


@pytest.mark.parametrize(
    "patient_id",
    [
        "a/b",
        "a b",
        "50%",
        "%2F",
        "😀",
        "../x",
        "a\nb",
        "/",
        "x/connections/y/z",
        "ü" * 200,
        "a?b#c",
    ],
)
def test_patient_id_of_any_shape_works_in_every_route(caller, patient_id):
    session = caller.start(patient_id=patient_id)
    connection = flows.approve(session)
    path = f"/patients/{quote(patient_id, safe='')}"
    assert caller.get(path).json()["id"] == patient_id
    sessions = caller.get(f"{path}/patient-sessions").json()["data"]
    assert [item["patient_id"] for item in sessions] == [patient_id]
    assert caller.delete(f"{path}/connections/{connection.conn_id}").status_code == 200


def test_patient_unknown_is_not_found(caller):
    for path in ("/patients/nobody", "/patients/nobody/patient-sessions", "/patients/%00"):
        assert caller.get(path).status_code == 404


def test_patient_shows_connections_newest_first(caller):
    flows.fail(caller.start(), "oauth_error")
    session = caller.start()
    flows.approve(session)
    newest, oldest = caller.get("/patients/pat-1").json()["connections"]
    assert (newest["status"], oldest["status"]) == ("active", "failed")
    assert newest["resource_type"] == "connection"
    assert newest["patient_session_id"] == session.session_id
    assert newest["scopes"]
    assert newest["updated_at"]
    assert oldest["id"] is None


def test_disconnect_changes_status(caller, session):
    connection = flows.approve(session)
    response = caller.delete(f"/patients/pat-1/connections/{connection.conn_id}")
    assert response.json() == {
        "id": connection.conn_id,
        "resource_type": "connection",
        "disconnected": True,
    }
    (shown,) = caller.get("/patients/pat-1").json()["connections"]
    assert shown["status"] == "disconnected"


def test_disconnect_of_another_patients_connection_is_not_found(caller, session):
    connection = flows.approve(session)
    caller.start(patient_id="pat-2")
    assert caller.delete(f"/patients/pat-2/connections/{connection.conn_id}").status_code == 404
    connection.refresh_from_db()
    assert connection.status == "active"


def test_datetime_is_written_in_milliseconds_and_utc():
    paris = fixed_zone(timedelta(hours=2))
    moment = datetime(2026, 4, 25, 12, 0, 0, 123_456, tzinfo=paris)
    assert serialize_datetime(moment) == "2026-04-25T10:00:00.123Z"


def test_naive_datetime_is_in_site_time_zone(settings):
    settings.USE_TZ = False
    settings.TIME_ZONE = "America/New_York"
    moment = datetime(2026, 4, 25, 12, 0)  # noqa: DTZ001 - naive is what such a site stores
    assert serialize_datetime(moment) == "2026-04-25T16:00:00.000Z"
