"""The pair for hosts with their own front end: JSON in every answer, and for no other site."""

from __future__ import annotations

import json
import logging

import pytest

from medblocks_connect.models import PatientConnectionAttempt
from tests.attempts.conftest import (
    BASE_URL,
    FACILITY,
    session_json,
)
from tests.views.bad_ids import BAD_IDS

pytestmark = pytest.mark.django_db

CONNECTIONS = "/records/api/connections/"
SESSIONS = "/records/api/patient-sessions/"
NOTHING = {"resource_type": "list", "data": [], "has_more": False, "next_cursor": None}


def post(browser, body, **extra):
    return browser.post(SESSIONS, json.dumps(body), content_type="application/json", **extra)


def error_of(response):
    assert response["Content-Type"] == "application/json"
    assert "no-store" in response["Cache-Control"]
    error = response.json()["error"]
    assert error["message"]
    return response.status_code, error["code"]


def refuse(medblocks, method, path, status, code):
    error = {"type": "any", "code": code, "message": "In Medblocks' words"}
    medblocks.add(method, f"{BASE_URL}{path}", status=status, json={"error": error})


# CSRF.


def test_search_gives_the_token_that_a_start_needs(patient_client, user, medblocks):
    medblocks.get(f"{BASE_URL}/connections", json=NOTHING)
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json(patient_id=str(user.pk)))
    patient_client.get(f"{CONNECTIONS}?q=river")
    token = patient_client.cookies["csrftoken"].value
    started = post(patient_client, {"connection_id": FACILITY}, headers={"X-CSRFToken": token})
    assert started.status_code == 200


def test_too_short_a_search_gives_the_token_too(patient_client):
    patient_client.get(CONNECTIONS)
    assert patient_client.cookies["csrftoken"].value


@pytest.mark.parametrize("has_middleware", [True, False])
@pytest.mark.parametrize("query", ["", "?q=river&q=lake", "?" + "&".join("abc" * 1500)])
def test_search_that_is_refused_gives_the_token_too(client, settings, query, has_middleware):
    if not has_middleware:
        settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "csrf" not in name.lower()]
    assert client.get(f"{CONNECTIONS}{query}").status_code in {400, 401}
    assert client.cookies["csrftoken"].value


def test_start_without_a_token_is_refused_in_json(patient_client, caplog):
    with caplog.at_level(logging.INFO):
        refused = post(patient_client, {"connection_id": FACILITY}, headers={"Referer": "/c/0123"})
    assert error_of(refused) == (403, "csrf_failed")
    assert not PatientConnectionAttempt.objects.exists()
    assert "0123" not in caplog.text


def test_start_with_a_forged_token_is_refused_in_json(patient_client):
    patient_client.get(CONNECTIONS)
    forged = post(patient_client, {"connection_id": FACILITY}, headers={"X-CSRFToken": "f" * 32})
    assert error_of(forged) == (403, "csrf_failed")


def test_start_from_another_site_is_refused_in_json(patient_client):
    patient_client.get(CONNECTIONS)
    token = patient_client.cookies["csrftoken"].value
    headers = {"X-CSRFToken": token, "Origin": "https://evil.example"}
    assert error_of(post(patient_client, {}, headers=headers)) == (403, "csrf_failed")


# Methods.


@pytest.mark.parametrize(
    ("method", "url", "allowed"),
    [
        ("post", CONNECTIONS, "GET, HEAD"),
        ("delete", CONNECTIONS, "GET, HEAD"),
        ("get", SESSIONS, "POST"),
        ("put", SESSIONS, "POST"),
        ("options", SESSIONS, "POST"),
    ],
)
def test_wrong_method_is_refused_in_json(browser, method, url, allowed):
    response = getattr(browser, method)(url)
    assert error_of(response) == (405, "method_not_allowed")
    assert response["Allow"] == allowed


def test_wrong_method_is_refused_in_json_where_csrf_is_checked(patient_client):
    assert error_of(patient_client.post(CONNECTIONS)) == (405, "method_not_allowed")


def test_head_of_a_search_is_answered(browser):
    response = browser.head(CONNECTIONS)
    assert (response.status_code, response.content) == (200, b"")


# Whose account.


def test_own_patient_id_as_a_number_is_ignored(browser, user, medblocks):
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json(patient_id=str(user.pk)))
    assert post(browser, {"connection_id": FACILITY, "patient_id": user.pk}).status_code == 200


@pytest.mark.parametrize("patient_id", [0, -1, True, None, 1.0, ["1"], {"id": 1}, "", "1 "])
def test_any_other_patient_id_is_forbidden(browser, settings, patient_id, monkeypatch):
    from medblocks_connect.patients import Patient

    monkeypatch.setattr("tests.resolvers.nobody", lambda _request: Patient("1"))
    settings.MEDBLOCKS_CONNECT = settings.MEDBLOCKS_CONNECT | {
        "PATIENT_RESOLVER": "tests.resolvers.nobody"
    }
    answered = post(browser, {"connection_id": FACILITY, "patient_id": patient_id})
    assert error_of(answered) == (403, "forbidden")


# What Medblocks says.


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("brand_new_code", "brand_new_code"),
        ("<script>alert(1)</script>", "unknown_error"),
        ("Not A Code", "unknown_error"),
        ("", "http_409"),
    ],
)
def test_foreign_code_is_repeated_only_where_it_is_one(browser, medblocks, code, shown):
    refuse(medblocks, "POST", "/patient-sessions", 409, code)
    refused = post(browser, {"connection_id": FACILITY})
    assert error_of(refused) == (502, shown)
    assert PatientConnectionAttempt.objects.get().error == (code or "http_409")


def test_unknown_code_at_the_start_speaks_of_no_portal(browser, medblocks):
    refuse(medblocks, "POST", "/patient-sessions", 409, "brand_new_code")
    message = post(browser, {"connection_id": FACILITY}).json()["error"]["message"]
    assert message.startswith("We could not start the connection.")


@pytest.mark.parametrize("query", ["q=river&starting_after=garbage", "q=river&type=bogus"])
def test_search_that_medblocks_does_not_take_is_a_bad_request(browser, medblocks, query):
    refuse(medblocks, "GET", "/connections", 400, "invalid_data")
    assert error_of(browser.get(f"{CONNECTIONS}?{query}")) == (400, "bad_request")


def test_search_while_medblocks_is_away_is_503(browser, medblocks):
    refuse(medblocks, "GET", "/connections", 500, "internal_error")
    assert error_of(browser.get(f"{CONNECTIONS}?q=river")) == (503, "search_unavailable")


@pytest.mark.parametrize("connection_id", [*BAD_IDS.values(), None, 7, ["a"], {"a": 1}])
def test_json_start_case_4_bad_id_is_400_before_any_call(browser, medblocks, connection_id):
    body = {"connection_id": connection_id}
    response = browser.post(SESSIONS, body, content_type="application/json")
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "bad_request"
    assert len(medblocks.calls) == 0


@pytest.mark.parametrize("body", [b"", b"[]", b"nope", b"\xff", b"[" * 10_000, b'"x"'])
def test_json_start_malformed_body_is_400(browser, body):
    response = browser.post(SESSIONS, body, content_type="application/json")
    assert response.status_code == 400


def test_json_start_large_body_is_413(browser):
    body = json.dumps({"connection_id": "x", "padding": "x" * 20_000})
    response = browser.post(SESSIONS, body, content_type="application/json")
    assert response.status_code == 413


def test_json_start_case_3_somebody_elses_patient_id_is_403(browser):
    body = {"connection_id": FACILITY, "patient_id": "somebody else"}
    response = browser.post(SESSIONS, body, content_type="application/json")
    assert response.status_code == 403
    assert not PatientConnectionAttempt.objects.exists()


def test_json_start_own_patient_id_is_ignored(browser, user, medblocks):
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json(patient_id=str(user.pk)))
    body = {"connection_id": FACILITY, "patient_id": str(user.pk)}
    response = browser.post(SESSIONS, body, content_type="application/json")
    assert response.json() == {"url": session_json()["url"]}


def test_json_start_refused_says_it_in_words(browser, medblocks):
    medblocks.post(
        f"{BASE_URL}/patient-sessions",
        status=401,
        json={"error": {"type": "authentication_error", "code": "invalid_api_key", "message": "m"}},
    )
    body = {"connection_id": FACILITY}
    response = browser.post(SESSIONS, body, content_type="application/json")
    assert response.status_code == 503
    error = response.json()["error"]
    assert error["code"] == "invalid_api_key"
    assert error["message"].startswith("This is not available")
