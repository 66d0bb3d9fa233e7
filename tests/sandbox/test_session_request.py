"""The body of POST /patient-sessions: what is accepted and refused."""

import pytest

from medblocks_connect.sandbox.models import SandboxPatient, SandboxSession
from tests.sandbox.conftest import RETURN_URL, RIVERSIDE

pytestmark = pytest.mark.django_db

GOOD = {"patient_id": "pat-1", "return_url": RETURN_URL}


def read_error(response, status=400):
    assert response.status_code == status, response.content
    assert not SandboxSession.objects.exists()
    return response.json()["error"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("patient_id", ""),
        ("patient_id", "x" * 201),
        ("patient_id", 7),
        ("patient_id", None),
        ("return_url", "/records/return/"),
        ("return_url", "clinic.example/return"),
        ("return_url", "javascript:alert(1)"),
        ("return_url", "DATA:text/html,x"),
        ("return_url", "clinic:"),
        ("return_url", "https:///return"),
        ("return_url", "https://[clinic/"),
        ("return_url", "https://clinic.example/a b"),
        ("return_url", "https://clinic.example/\r\nX: y"),
        ("return_url", 7),
        ("patient_email", "nobody"),
        ("patient_email", ""),
        ("patient_name", 7),
        ("return_button_label", ""),
        ("return_button_label", "x" * 61),
        ("expires_in", 59),
        ("expires_in", 86_401),
        ("expires_in", "1800"),
        ("expires_in", 1800.5),
        ("expires_in", True),
        ("metadata", []),
        ("metadata", "attempt"),
        ("metadata", None),
        ("recommended_connection_ids", RIVERSIDE),
        ("recommended_connection_ids", [7]),
        ("connection_id", ""),
        ("connection_id", None),
        ("patient", "pat-1"),
        ("idempotency_key", "1"),
    ],
)
def test_invalid_property_is_refused(caller, name, value):
    error = read_error(caller.post("/patient-sessions", GOOD | {name: value}))
    assert error["code"] == "invalid_data"
    assert error["param"] == name


@pytest.mark.parametrize("name", ["patient_id", "return_url"])
def test_missing_property_is_refused(caller, name):
    body = {key: value for key, value in GOOD.items() if key != name}
    error = read_error(caller.post("/patient-sessions", body))
    assert (error["code"], error["param"]) == ("invalid_data", name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("patient_id", "x"),
        ("patient_id", "ü" * 200),
        ("return_url", "http://127.0.0.1:8000/return/?a=b"),
        ("return_url", "clinic://return"),
        ("return_url", "org.clinic.app:/return"),
        ("patient_email", "pat@clinic.example"),
        ("patient_name", "Pat"),
        ("return_button_label", "x" * 60),
        ("expires_in", 60),
        ("expires_in", 60.0),
        ("expires_in", 86_400),
        ("metadata", {"attempt": "1", "deep": {"list": [1, None]}}),
        ("connection_id", RIVERSIDE),
        ("recommended_connection_ids", []),
        ("recommended_connection_ids", [RIVERSIDE]),
    ],
)
def test_valid_property_is_accepted(caller, name, value):
    response = caller.post("/patient-sessions", GOOD | {name: value})
    assert response.status_code == 200, response.json()


def test_both_connection_properties_are_refused(caller):
    both = {"connection_id": RIVERSIDE, "recommended_connection_ids": []}
    assert read_error(caller.post("/patient-sessions", GOOD | both))["code"] == "bad_request"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff",
        b'{"patient_id": NaN}',
        b'{"patient_id": "\\u0000"}',
        b'{"patient_id": "\\ud800"}',
        b'{"metadata": {"\\ud800": 1}}',
        b'{"metadata": [["\\u0000"]]}',
        b"[" * 90_000,
        b'{"metadata": {"x": 1e999}}',
        b'{"expires_in": ' + b"9" * 5_000 + b"}",
    ],
)
def test_malformed_body_is_refused(caller, body):
    assert read_error(caller.post("/patient-sessions", body))["code"] == "bad_request"


@pytest.mark.parametrize(
    "body",
    [{"connection_id": "fhirsrc_nowhere"}, {"recommended_connection_ids": ["fhirsrc_nowhere"]}],
)
def test_unknown_facility_is_not_found(caller, body):
    error = read_error(caller.post("/patient-sessions", GOOD | body), 404)
    assert error["code"] == "resource_not_found"
    assert error["param"] == next(iter(body))


@pytest.mark.parametrize(
    ("facility", "status", "code"),
    [
        ("fhirsrc_closed_harbor", 404, "resource_not_found"),
        ("fhirsrc_broken_bridge", 502, "oauth_error"),
        ("fhirsrc_faded_stamp", 502, "token_exchange_failed"),
        ("fhirsrc_crooked_mile", 400, "bad_request"),
    ],
)
def test_refusing_facility_answers_its_error(caller, facility, status, code):
    body = GOOD | {"connection_id": facility}
    assert read_error(caller.post("/patient-sessions", body), status)["code"] == code


def test_facility_by_fhir_base_url_is_named_by_its_id(caller):
    address = "https://fhir.riverside-general.example/interconnect/api/FHIR/R4"
    assert caller.start(connection_id=address).connection_id == RIVERSIDE


def test_refused_body_makes_no_patient(caller):
    caller.post("/patient-sessions", GOOD | {"expires_in": 1})
    assert not SandboxPatient.objects.exists()
