"""Queued faults of the API."""

import pytest

from medblocks_connect.sandbox.api_faults import queue_fault
from medblocks_connect.sandbox.models import Operation, SandboxFault, SandboxSession
from tests.sandbox.conftest import RETURN_URL

pytestmark = pytest.mark.django_db

BODY = {"patient_id": "pat-1", "return_url": RETURN_URL}


def test_fault_answers_one_call(caller):
    queue_fault("create_patient_session", 502, "oauth_error")
    response = caller.post("/patient-sessions", BODY)
    assert response.status_code == 502
    assert response.json()["error"]["code"] == "oauth_error"
    assert response.json()["error"]["type"] == "ehr_error"
    assert not SandboxSession.objects.exists()
    assert caller.post("/patient-sessions", BODY).status_code == 200


def test_fault_with_times_answers_that_often(caller):
    queue_fault("search_connections", 500, "internal_error", times=2)
    assert [caller.get("/connections").status_code for _ in range(3)] == [500, 500, 200]


def test_two_faults_answer_in_queued_order(caller):
    queue_fault("search_connections", 500, "internal_error")
    queue_fault("search_connections", 429, "throttled")
    assert [caller.get("/connections").status_code for _ in range(3)] == [500, 429, 200]


def test_fault_with_retry_after_sends_header(caller):
    queue_fault("search_connections", 429, "throttled", retry_after=2)
    assert caller.get("/connections")["Retry-After"] == "2"


@pytest.mark.parametrize("retry_after", [None, 0])
def test_fault_of_429_asks_to_wait_a_second_at_least(caller, retry_after):
    queue_fault("search_connections", 429, "throttled", retry_after=retry_after)
    assert caller.get("/connections")["Retry-After"] == "1"


@pytest.mark.parametrize(("status", "kind"), [(402, "billing_error"), (429, "rate_limit_error")])
def test_fault_quota_exceeded_is_typed_by_its_status(caller, status, kind):
    queue_fault("search_connections", status, "quota_exceeded")
    assert caller.get("/connections").json()["error"]["type"] == kind


def test_fault_after_the_work_creates_session(caller):
    queue_fault("create_patient_session", 504, "internal_error", after_the_work=True)
    assert caller.post("/patient-sessions", BODY).status_code == 504
    assert SandboxSession.objects.count() == 1


def test_fault_with_unknown_code_keeps_code_and_message(caller):
    queue_fault("get_patient", 418, "teapot", message="Short and stout.")
    response = caller.get("/patients/pat-1")
    assert response.status_code == 418
    assert response.json()["error"]["code"] == "teapot"
    assert response.json()["error"]["message"] == "Short and stout."


def test_fault_of_another_operation_stays_queued(caller):
    queue_fault("get_patient", 500, "internal_error")
    assert caller.get("/connections").status_code == 200
    assert SandboxFault.objects.get().remaining == 1


def test_fault_stays_queued_for_call_without_key(caller, client):
    queue_fault("search_connections", 500, "internal_error")
    assert client.get("/make-believe/connections").status_code == 401
    assert SandboxFault.objects.get().remaining == 1


@pytest.mark.parametrize("operation", Operation.values)
def test_fault_of_any_operation_answers_one_call(caller, operation):
    queue_fault(operation, 503, "internal_error")
    answers = [
        caller.get("/health"),
        caller.get("/connections"),
        caller.get("/connections/x"),
        caller.post("/patient-sessions", {}),
        caller.get("/patient-sessions/x"),
        caller.get("/patients/x/patient-sessions"),
        caller.get("/patients/x"),
        caller.delete("/patients/x/connections/y"),
        caller.get("/patients"),
        caller.delete("/patients/x"),
        caller.get("/patients/x/records"),
        caller.post("/webhooks", {}),
        caller.get("/webhooks"),
        caller.get("/webhooks/x"),
        caller.patch("/webhooks/x", {}),
        caller.delete("/webhooks/x"),
        caller.post("/webhooks/x/rotate-secret", {}),
        caller.get("/webhooks/x/events"),
        caller.post("/events/x/redeliver", {}),
    ]
    assert [answer.status_code for answer in answers].count(503) == 1


def test_fault_for_unknown_operation_raises():
    with pytest.raises(ValueError, match="nonsense"):
        queue_fault("nonsense", 500, "internal_error")
