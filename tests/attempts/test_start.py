"""Starting: the row first, and what becomes of it whatever Medblocks says."""

from __future__ import annotations

import json

import pytest
import requests
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError

from medblocks_connect.api.client import PatientSessions
from medblocks_connect.attempts import start as start_module
from medblocks_connect.attempts.start import StartRefusedError, start_attempt
from medblocks_connect.models import PatientConnection, PatientConnectionAttempt
from medblocks_connect.patients import Patient
from medblocks_connect.url_safety import is_safe_redirect
from tests.attempts.conftest import BASE_URL, FACILITY, PORTAL_URL, session_json
from tests.connected import create_attempt

pytestmark = pytest.mark.django_db(transaction=True)

SESSIONS = f"{BASE_URL}/patient-sessions"
RETURN_URL = "https://clinic.example/records/return/"


def error_json(code):
    return {
        "error": {
            "type": "any",
            "code": code,
            "message": "In Medblocks' words",
            "param": None,
            "doc_url": "https://docs.example",
            "request_id": "req_9",
        }
    }


def start_and_fail(patient, connection_id=FACILITY):
    with pytest.raises(StartRefusedError) as refused:
        start_attempt(patient, connection_id, RETURN_URL)
    return refused.value.status_code, PatientConnectionAttempt.objects.get()


def test_start_stores_the_session_and_gives_its_url(medblocks, patient):
    medblocks.post(SESSIONS, json=session_json(), headers={"X-Request-Id": "req_1"})
    started = start_attempt(patient, FACILITY, RETURN_URL)
    attempt = PatientConnectionAttempt.objects.get()
    assert started.url == PORTAL_URL
    assert (attempt.status, attempt.patient_session_id) == ("started", "ps_1")
    assert attempt.request_id == "req_1"
    assert attempt.expires_at.isoformat() == "2099-01-01T00:00:00+00:00"


def test_start_sends_the_resolvers_patient_alone(medblocks):
    medblocks.post(SESSIONS, json=session_json())
    patient = Patient("p-1", email="pat@example.org", metadata={"ward": 7, "attempt": "forged"})
    start_attempt(patient, FACILITY, RETURN_URL)
    sent = json.loads(medblocks.calls[-1].request.body)
    assert sent == {
        "patient_id": "p-1",
        "return_url": RETURN_URL,
        "connection_id": FACILITY,
        "patient_email": "pat@example.org",
        "expires_in": 1800,
        "metadata": {"ward": 7, "attempt": PatientConnectionAttempt.objects.get().public_id},
    }


@pytest.mark.parametrize(
    ("demographics", "sent"),
    [
        ({"email": "pat@clinic"}, {}),
        ({"email": " pat@example.org "}, {"patient_email": "pat@example.org"}),
        ({"email": None, "name": None}, {}),
        ({"email": 7, "name": 7}, {}),
        ({"name": "P" * 600}, {"patient_name": "P" * 254 + "\u2026"}),
        ({"name": "Pat\nEx"}, {"patient_name": "Pat Ex"}),
    ],
    ids=["no-domain", "spaces", "none", "number", "long-name", "line"],
)
def test_start_sends_valid_demographics_alone(medblocks, demographics, sent):
    medblocks.post(SESSIONS, json=session_json())
    start_attempt(Patient("p-1", **demographics), FACILITY, RETURN_URL)
    body = json.loads(medblocks.calls[-1].request.body)
    assert {name: body[name] for name in body if name in ("patient_email", "patient_name")} == sent


def answer_to_each(medblocks, *answers):
    """Let Medblocks answer a start with each of ``answers``, and return the bodies it was sent."""
    sent_bodies, waiting = [], iter(answers)

    def answer(request):
        sent_bodies.append(json.loads(request.body))
        status, content = next(waiting)
        return status, {}, json.dumps(content)

    medblocks.add_callback("POST", SESSIONS, answer)
    return sent_bodies


def refusal_of(param):
    content = error_json("invalid_data")
    content["error"]["param"] = param
    return 400, content


@pytest.mark.parametrize("param", ["patient_email", "patient_name"])
def test_start_refused_for_demographics_is_repeated_without(medblocks, param):
    sent_bodies = answer_to_each(medblocks, refusal_of(param), (200, session_json()))
    patient = Patient("p-1", email="pat@example.org", name="Pat")
    assert start_attempt(patient, FACILITY, RETURN_URL).attempt.status == "started"
    assert [("patient_email" in each, "patient_name" in each) for each in sent_bodies] == [
        (True, True),
        (False, False),
    ]


@pytest.mark.parametrize(
    ("param", "patient"),
    [
        ("patient_email", Patient("p-1")),
        ("metadata", Patient("p-1", email="pat@example.org")),
        (None, Patient("p-1", email="pat@example.org")),
    ],
    ids=["not-sent", "other", "none"],
)
def test_start_refused_for_other_parameters_is_not_repeated(medblocks, param, patient):
    sent_bodies = answer_to_each(medblocks, refusal_of(param))
    assert start_and_fail(patient)[1].error == "invalid_data"
    assert len(sent_bodies) == 1


@pytest.mark.parametrize(
    "changes", [{"API_KEY": ""}, {"TIMEOUT": 0}, {"BASE_URL": "https://medblocks.example:99999"}]
)
def test_start_with_settings_that_cannot_work_leaves_no_row(settings, patient, changes):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, **changes}
    with pytest.raises(ImproperlyConfigured):
        start_attempt(patient, FACILITY, RETURN_URL)
    assert not PatientConnectionAttempt.objects.exists()


def test_start_that_breaks_here_is_settled_and_raised(medblocks, patient, settings):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "SESSION_EXPIRES_IN": 1}
    with pytest.raises(ValueError, match="expires_in"):
        start_attempt(patient, FACILITY, RETURN_URL)
    attempt = PatientConnectionAttempt.objects.get()
    assert (attempt.status, attempt.error, attempt.error_description) == (
        "failed",
        "site_error",
        "",
    )
    assert attempt.settled_at is not None
    assert [each.source for each in attempt.events.filter(kind="refused")] == ["site"]


def test_start_commits_the_row_before_medblocks_is_asked(medblocks, patient):
    seen = []

    def answer(_request):
        row = PatientConnectionAttempt.objects.get()
        seen.append((row.status, row.connection_name))
        return 200, {}, json.dumps(session_json())

    medblocks.add_callback("POST", SESSIONS, answer)
    start_attempt(patient, FACILITY, RETURN_URL)
    assert seen == [("created", "Riverside General")]


@pytest.mark.parametrize(
    ("status", "code", "page"),
    [
        (400, "bad_request", 502),
        (401, "invalid_api_key", 503),
        (402, "quota_exceeded", 503),
        (403, "forbidden", 503),
        (404, "resource_not_found", 404),
        (409, "resource_conflict", 502),
        (429, "throttled", 503),
        (500, "internal_error", 502),
        (502, "oauth_error", 502),
        (502, "token_exchange_failed", 502),
        (418, "brand_new_code", 502),
    ],
)
def test_start_refused_keeps_the_row_with_code_and_request_id(
    medblocks, patient, status, code, page
):
    medblocks.post(SESSIONS, json=error_json(code), status=status)
    status_code, attempt = start_and_fail(patient)
    assert status_code == page
    assert (attempt.status, attempt.error, attempt.request_id) == ("failed", code, "req_9")
    assert attempt.error_description == "In Medblocks' words"
    assert attempt.settled_at is not None


@pytest.mark.parametrize(
    ("status", "error_type", "page"),
    [
        (404, "invalid_request_error", 404),
        (401, "api_error", 503),
        (402, "rate_limit_error", 503),
        (403, "invalid_request_error", 503),
        (429, "billing_error", 503),
        (500, "not_found_error", 502),
        (503, "authentication_error", 502),
    ],
)
def test_start_refused_is_told_by_the_status_and_not_the_type(
    medblocks, patient, status, error_type, page
):
    answer = error_json("brand_new_code")
    answer["error"]["type"] = error_type
    medblocks.post(SESSIONS, json=answer, status=status)
    assert start_and_fail(patient)[0] == page


@pytest.mark.parametrize(
    "error",
    [requests.ConnectTimeout("slow"), requests.exceptions.SSLError("bad certificate")],
    ids=["case-8-connect-timeout", "case-8-certificate"],
)
def test_start_that_never_reached_medblocks_failed(medblocks, patient, error):
    medblocks.post(SESSIONS, body=error)
    status_code, attempt = start_and_fail(patient)
    assert (status_code, attempt.status, attempt.error) == (503, "failed", "connection_failed")


@pytest.mark.parametrize(
    "error",
    [requests.ReadTimeout("slow"), requests.ConnectionError("closed")],
    ids=["case-9-read-timeout", "case-9-connection-closed"],
)
def test_start_without_an_answer_stays_open(medblocks, patient, error):
    medblocks.post(SESSIONS, body=error)
    status_code, attempt = start_and_fail(patient)
    assert (status_code, attempt.status, attempt.settled_at) == (503, "created", None)
    assert [call.request.method for call in medblocks.calls].count("POST") == 1


@pytest.mark.parametrize(
    "body",
    [
        "<html>Bad gateway</html>",
        "null",
        "[]",
        '{"id": "ps_1", ',
        json.dumps(session_json(url=None)),
        json.dumps(session_json(patient_id="somebody else")),
        '{"id": NaN}',
        "[" * 100_000,
        '{"id": ' + "9" * 5000 + "}",
    ],
    ids=["html", "null", "list", "cut-off", "no-url", "other-patient", "nan", "nested", "digits"],
)
def test_start_case_11_unexpected_reply_keeps_the_row(medblocks, patient, body):
    medblocks.post(SESSIONS, body=body)
    status_code, attempt = start_and_fail(patient)
    assert (status_code, attempt.status, attempt.error) == (502, "failed", "unexpected_reply")


@pytest.mark.parametrize(
    "url",
    [
        "http://app.medblocks.example/c/1",
        "javascript:alert(1)",
        "//medblocks.example/c/1",
        "https://app.medblocks.com@evil.example/c/1",
        "https://app.medblocks.com\\@evil.example/c/1",
        "https:///c/1",
        "data:text/html,hello",
        "https://medblocks.example:port/c/1",
    ],
)
def test_start_case_6_with_an_unsafe_url_is_refused(medblocks, patient, url):
    medblocks.post(SESSIONS, json=session_json(url=url))
    status_code, attempt = start_and_fail(patient)
    assert status_code == 502
    assert attempt.status == "failed"
    assert attempt.error in {"unsafe_url", "unexpected_reply"}


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://app.medblocks.com/c/1", True),
        ("http://127.0.0.1:8000/c/1", True),
        ("http://localhost/c/1", True),
        ("http://[::1]:8000/c/1", True),
        ("http://127.0.0.1.evil.example/c/1", False),
        ("https://app.medblocks.com/" + "a" * 20_000, False),
        ("https://app.medblocks.com/\r\nSet-Cookie: a=b", False),
        ("", False),
    ],
)
def test_is_safe_redirect_accepts_https_and_this_machine(url, safe):
    assert is_safe_redirect(url) is safe


def test_start_without_a_facility_name_goes_on(medblocks, patient):
    medblocks.replace("GET", f"{BASE_URL}/connections/{FACILITY}", status=500)
    medblocks.post(SESSIONS, json=session_json())
    start_attempt(patient, FACILITY, RETURN_URL)
    assert PatientConnectionAttempt.objects.get().connection_name == ""


def test_start_of_a_facility_gives_its_id_to_what_was_known_by_its_url(medblocks, patient):
    medblocks.post(SESSIONS, json=session_json())
    url = "https://fhir.riverside.example/r4"
    columns = {"connection_id": f"{url}/", "status": "succeeded", "patient_connection_id": "conn_1"}
    former = create_attempt(patient_id="p-1", patient_session_id="ps_0", **columns)
    another = create_attempt(patient_id="p-2", patient_session_id="ps_9", **columns)
    start_attempt(patient, FACILITY, RETURN_URL)
    former.refresh_from_db()
    another.refresh_from_db()
    assert (former.place_id, another.place_id) == (FACILITY, url)
    places = PatientConnection.objects.values_list("patient_id", "place_id")
    assert set(places) == {("p-1", FACILITY), ("p-2", url)}


def test_start_of_a_facility_that_the_catalog_does_not_know_asks_for_no_session(medblocks, patient):
    medblocks.replace(
        "GET",
        f"{BASE_URL}/connections/{FACILITY}",
        status=404,
        json=error_json("resource_not_found"),
    )
    status_code, attempt = start_and_fail(patient)
    assert (status_code, attempt.error) == (404, "resource_not_found")
    assert {call.request.method for call in medblocks.calls} == {"GET"}


def test_start_with_a_session_that_another_patient_has_is_refused(medblocks, patient, make_attempt):
    make_attempt(patient_id="p-2")
    medblocks.post(SESSIONS, json=session_json())
    with pytest.raises(StartRefusedError):
        start_attempt(patient, FACILITY, RETURN_URL)
    attempt = PatientConnectionAttempt.objects.get(patient_id="p-1")
    assert (attempt.status, attempt.error) == ("failed", "duplicate_session")


def test_start_with_the_session_of_the_same_choice_follows_it(medblocks, patient, make_attempt):
    first = make_attempt()
    medblocks.post(SESSIONS, json=session_json())
    started = start_attempt(patient, FACILITY, RETURN_URL)
    assert (started.attempt, started.url) == (first, PORTAL_URL)


def test_start_with_a_shared_session_and_a_replica_follows_it(
    medblocks, patient, make_attempt, use_replica
):
    first = make_attempt()
    medblocks.post(SESSIONS, json=session_json())
    use_replica()
    assert start_attempt(patient, FACILITY, RETURN_URL).attempt == first


def test_start_case_6_with_an_unsafe_url_of_a_shared_session_is_refused(
    medblocks, patient, make_attempt
):
    make_attempt()
    medblocks.post(SESSIONS, json=session_json(url="javascript:alert(1)"))
    with pytest.raises(StartRefusedError) as refused:
        start_attempt(patient, FACILITY, RETURN_URL)
    assert refused.value.status_code == 502


def test_start_that_breaks_twice_raises_the_first_error(medblocks, patient, settings, monkeypatch):
    def fail(*args):
        raise OperationalError

    monkeypatch.setattr(start_module, "_settle_failure", fail)
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "SESSION_EXPIRES_IN": 1}
    with pytest.raises(ValueError, match="expires_in"):
        start_attempt(patient, FACILITY, RETURN_URL)


def test_start_repeated_keeps_to_the_same_deadline(medblocks, patient, monkeypatch):
    timeouts, answers = [], iter([refusal_of("patient_name"), (200, session_json())])
    create = PatientSessions.create

    def watch(self, **wanted):
        timeouts.append(wanted["timeout"])
        return create(self, **wanted)

    monkeypatch.setattr(PatientSessions, "create", watch)
    answer_to_each(medblocks, *answers)
    start_attempt(Patient("p-1", name="Pat"), FACILITY, RETURN_URL)
    assert timeouts[1] < timeouts[0]


def test_start_inside_a_transaction_raises(medblocks, patient):
    from django.db import transaction

    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        start_attempt(patient, FACILITY, RETURN_URL)
