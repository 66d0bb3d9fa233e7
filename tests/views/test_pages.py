"""The pages' rules: who may, what is refused, what the answers carry. No Medblocks is needed."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
import requests
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils import timezone

from medblocks_connect.models import PatientConnectionAttempt
from tests.attempts.conftest import (
    BASE_URL,
    FACILITY,
    connection_json,
    medblocks,  # noqa: F401 - a fixture
    session_json,
)

pytestmark = pytest.mark.django_db

SEARCH = "/records/search/"
START = "/records/start/"
RETURN = "/records/return/"
JSON_CONNECTIONS = "/records/api/connections/"
JSON_SESSIONS = "/records/api/patient-sessions/"


@pytest.fixture
def attempt(user):
    """An attempt of the patient that is at the portal."""
    return PatientConnectionAttempt.objects.create(
        patient_id=str(user.pk),
        connection_id=FACILITY,
        connection_name="Riverside General",
        patient_session_id="ps_1",
        status="started",
    )


@pytest.fixture
def answer(medblocks, user):  # noqa: F811
    """Let Medblocks say what a test wants of the session."""

    def say(**session):
        medblocks.upsert(
            "GET",
            f"{BASE_URL}/patient-sessions/ps_1",
            json=session_json(patient_id=str(user.pk), **session),
        )

    return say


def snapshot(attempt):
    attempt.refresh_from_db()
    return attempt.status, attempt.error, attempt.unconfirmed, attempt.events.count()


# Who may.


@pytest.mark.parametrize("url", [SEARCH, f"{SEARCH}?q=riverside", RETURN + "?patient_session_id=x"])
def test_visitor_is_sent_to_log_in_and_back(client, url):
    response = client.get(url)
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/?next=/records/")


def test_visitor_starts_nothing_and_comes_back_to_the_search(client):
    response = client.post(START, {"connection_id": FACILITY})
    assert response["Location"] == f"/accounts/login/?next={SEARCH}"
    assert not PatientConnectionAttempt.objects.exists()


def test_visitor_returning_keeps_no_patient_id_in_the_address(client):
    response = client.get(f"{RETURN}?patient_id=p-77&patient_session_id=ps_1&success=true")
    assert "ps_1" in response["Location"]
    assert "p-77" not in response["Location"]


@pytest.mark.parametrize(
    ("method", "url"), [("get", JSON_CONNECTIONS + "?q=river"), ("post", JSON_SESSIONS)]
)
def test_visitor_gets_401_in_json(client, method, url):
    response = getattr(client, method)(url)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "not_authenticated"


@pytest.mark.parametrize("public_id", ["theirs", "nobodys"])
def test_attempt_of_somebody_else_is_404_like_one_that_is_not(browser, other_user, public_id):
    theirs = PatientConnectionAttempt.objects.create(
        patient_id=str(other_user.pk), connection_id=FACILITY
    )
    name = theirs.public_id if public_id == "theirs" else "A" * 32
    response = browser.get(f"/records/attempts/{name}/")
    assert response.status_code == 404
    assert theirs.public_id.encode() not in response.content or public_id == "theirs"


@pytest.mark.parametrize("who", ["nobody", "somebody else"])
def test_return_case_18_forged_success_changes_nothing(client, attempt, other_user, who):
    if who == "somebody else":
        client.force_login(other_user)
    before = snapshot(attempt)
    response = client.get(
        f"{RETURN}?patient_id={attempt.patient_id}&patient_session_id=ps_1&success=true"
    )
    assert response.status_code == (302 if who == "nobody" else 404)
    assert snapshot(attempt) == before


def test_return_case_18_forged_success_connects_nobody(browser, attempt, answer):
    answer(status="open")
    page = browser.get(f"{RETURN}?patient_session_id=ps_1&success=true", follow=True)
    assert "Checking your connection" in page.text
    assert snapshot(attempt)[0] == "returned"


@pytest.mark.parametrize("settled", ["failed", "expired", "succeeded"])
def test_return_forged_success_leaves_an_outcome_alone(browser, attempt, answer, settled):
    PatientConnectionAttempt.objects.update(status=settled)
    answer(status="open")
    browser.get(f"{RETURN}?patient_session_id=ps_1&success=true")
    assert snapshot(attempt)[0] == settled


def test_return_somebody_elses_failure_claim_changes_nothing(client, attempt, other_user):
    client.force_login(other_user)
    before = snapshot(attempt)
    client.get(f"{RETURN}?patient_session_id=ps_1&success=false&error=user_denied")
    assert snapshot(attempt) == before


# What Medblocks does not take.


@pytest.mark.parametrize("query", ["starting_after=garbage", "type=bogus"])
def test_search_that_medblocks_does_not_take_shows_the_first_page(browser, medblocks, query):  # noqa: F811
    asked = []

    def answer(request):
        asked.append(request.params)
        if "starting_after" in request.params or "type" in request.params:
            return 400, {}, json.dumps({"error": {"code": "invalid_data", "message": "m"}})
        found = {"id": "fhirsrc_1", "name": "River Clinic", "fhir_base_url": "https://f.example/r4"}
        return 200, {}, json.dumps({"data": [found], "has_more": False, "next_cursor": None})

    medblocks.add_callback("GET", f"{BASE_URL}/connections", answer)
    page = browser.get(f"{SEARCH}?q=river&{query}").text
    assert "fhirsrc_1" in page
    assert "1 place found" in page
    assert len(asked) == 2


def test_search_that_medblocks_never_takes_is_told_as_away(browser, medblocks):  # noqa: F811
    medblocks.get(f"{BASE_URL}/connections", status=400, json={})
    assert "cannot be reached" in browser.get(f"{SEARCH}?q=river&starting_after=x").text


# What the return does.


def test_return_claimed_failure_is_told_at_once_where_medblocks_says_no_more(
    browser, attempt, answer
):
    answer(status="expired")
    url = f"{RETURN}?patient_session_id=ps_1&success=false&error=user_denied"
    page = browser.get(f"{url}&error_description=They+said+no", follow=True)
    assert "You stopped before you were connected" in page.text
    assert "They said no" not in page.text
    assert snapshot(attempt)[:3] == ("failed", "user_denied", True)


def test_return_case_22_claimed_failure_waits_for_medblocks(browser, attempt, medblocks):  # noqa: F811
    medblocks.get(f"{BASE_URL}/patient-sessions/ps_1", body=requests.ConnectTimeout())
    page = browser.get(f"{RETURN}?patient_session_id=ps_1&success=false&error=x", follow=True)
    assert "Checking your connection" in page.text
    assert snapshot(attempt)[:3] == ("failed", "x", True)


def test_return_case_20_denied_yet_active_is_connected(browser, attempt, answer):
    answer(status="complete", connections=[connection_json()])
    url = f"{RETURN}?patient_session_id=ps_1&success=false&error=user_denied"
    assert "You are connected" in browser.get(url, follow=True).text
    attempt.refresh_from_db()
    assert attempt.claim_disagrees


def test_return_case_20_success_yet_failed_is_failed(browser, attempt, answer):
    failed = connection_json("failed", failure_code="oauth_error")
    answer(status="complete", connections=[failed])
    page = browser.get(f"{RETURN}?patient_session_id=ps_1&success=true", follow=True)
    assert "portal had a problem" in page.text
    assert snapshot(attempt)[:3] == ("failed", "oauth_error", False)


def test_return_case_21_hosted_page_is_settled_by_medblocks_alone(browser, attempt, answer):
    answer(status="complete", connections=[connection_json()])
    page = browser.get(f"{RETURN}?patient_id={attempt.patient_id}&patient_session_id=ps_1")
    assert page.status_code == 303
    assert snapshot(attempt)[0] == "succeeded"


def test_return_of_another_patients_session_settles_nothing(browser, attempt, medblocks):  # noqa: F811
    medblocks.get(
        f"{BASE_URL}/patient-sessions/ps_1",
        json=session_json(patient_id="other", connections=[connection_json()]),
    )
    browser.get(f"{RETURN}?patient_session_id=ps_1&success=true")
    assert snapshot(attempt)[0] == "returned"


@pytest.mark.parametrize(
    "query",
    [
        "patient_session_id=ps_1&success=true&success=false",
        "patient_session_id=ps_1&patient_session_id=ps_1",
        "patient_session_id=",
        "",
        "patient_session_id=" + "x" * 10_000,
        "patient_session_id=ps_1&success=maybe",
        "patient_session_id=ps_%001&success=true",
    ],
    ids=["success-twice", "session-twice", "empty", "none", "10-KB", "maybe", "nul"],
)
def test_return_case_25_malformed_is_400(browser, query):
    assert browser.get(f"{RETURN}?{query}").status_code == 400


@pytest.mark.parametrize(
    "extra",
    [
        {"REQUEST_METHOD": "HEAD"},
        {"HTTP_SEC_PURPOSE": "prefetch;prerender"},
        {"HTTP_PURPOSE": "prefetch"},
        {"HTTP_X_PURPOSE": "preview"},
    ],
    ids=["head", "sec-purpose", "purpose", "preview"],
)
def test_return_case_27_just_looking_changes_nothing(browser, attempt, extra):
    before = snapshot(attempt)
    response = browser.get(f"{RETURN}?patient_session_id=ps_1&success=true", **extra)
    assert response.status_code == 204
    assert snapshot(attempt) == before


@pytest.mark.parametrize(
    "url", [RETURN + "?patient_session_id=ps_1", RETURN + "?patient_session_id="]
)
def test_return_is_kept_private(browser, attempt, answer, url):
    answer(status="open")
    response = browser.get(url)
    assert response["Referrer-Policy"] == "no-referrer"
    assert "no-store" in response["Cache-Control"]


# What the outcome page says.


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"status": "succeeded"}, "You are connected"),
        ({"status": "succeeded", "lost_at": timezone.now()}, "The connection has ended"),
        ({"status": "expired"}, "The time to sign in ran out"),
        ({"status": "created", "patient_session_id": None}, "We could not reach the portal"),
        ({"status": "failed", "error": "brand_new"}, "It did not work this time"),
    ],
    ids=["connected", "lost", "expired", "not-started", "unknown-code"],
)
def test_attempt_page_says(browser, attempt, columns, words):
    PatientConnectionAttempt.objects.update(**columns)
    page = browser.get(attempt.get_absolute_url())
    assert words in page.text
    offers_retry = words not in {"You are connected", "The connection has ended"}
    assert ("Try again" in page.text) == offers_retry


def test_attempt_page_asks_medblocks_at_most_every_few_seconds(
    browser,
    attempt,
    answer,
    medblocks,  # noqa: F811
):
    answer(status="open")
    for _ in range(3):
        assert "Did you finish at the portal?" in browser.get(attempt.get_absolute_url()).text
    assert len(medblocks.calls) == 1
    PatientConnectionAttempt.objects.update(asked_at=timezone.now() - timedelta(seconds=4))
    browser.get(attempt.get_absolute_url())
    assert len(medblocks.calls) == 2


def test_attempt_page_of_a_settled_attempt_asks_nothing(browser, attempt, medblocks):  # noqa: F811
    PatientConnectionAttempt.objects.update(status="succeeded")
    browser.get(attempt.get_absolute_url())
    assert len(medblocks.calls) == 0


# Starting.


@pytest.mark.parametrize("url", [START, JSON_SESSIONS])
def test_start_case_1_get_is_405(browser, url):
    assert browser.get(url).status_code == 405


@pytest.mark.parametrize("url", [START, JSON_SESSIONS])
def test_start_case_1_without_csrf_token_is_403(patient_client, url):
    assert patient_client.post(url, {"connection_id": FACILITY}).status_code == 403
    assert not PatientConnectionAttempt.objects.exists()


BAD_IDS = {
    "empty": "",
    "10-KB": "x" * 10_000,
    "nul": "a\0b",
    "newline": "a\nb",
    "dots": "../patients/7",
    "just-dots": "..",
    "url": "https://evil.example/steal",
    "dots-inside": "a/../b",
    "dots-backslash": "a\\..\\b",
    "script": "javascript:alert(1)",
    "script-in-capitals": "JavaScript:alert(1)",
    "data": "data:text/html,hello",
    "file": "file:///etc/passwd",
    "other-scheme": "ftp://evil.example/fhir",
    "slashless": "https:evil.example",
    "path": "/fhir/r4",
    "no-scheme": "//evil.example/fhir",
    "userinfo": "https://user@fhir.example/r4",
    "query": "https://fhir.example/r4?x=1",
}


@pytest.mark.parametrize("connection_id", BAD_IDS.values(), ids=BAD_IDS)
def test_start_case_4_bad_id_is_400_before_any_call(browser, medblocks, connection_id):  # noqa: F811
    response = browser.post(START, {"connection_id": connection_id})
    assert response.status_code == 400
    assert not PatientConnectionAttempt.objects.exists()
    assert len(medblocks.calls) == 0


@pytest.mark.parametrize("connection_id", [*BAD_IDS.values(), None, 7, ["a"], {"a": 1}])
def test_json_start_case_4_bad_id_is_400_before_any_call(browser, medblocks, connection_id):  # noqa: F811
    body = {"connection_id": connection_id}
    response = browser.post(JSON_SESSIONS, body, content_type="application/json")
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "bad_request"
    assert len(medblocks.calls) == 0


@pytest.mark.parametrize(
    "connection_id",
    ["epic:12345", "urn:uuid:0d1f", "a..b", "a/b", "..a", "x" * 500, "a b", "\u00fc"],
)
def test_start_takes_an_id_of_any_shape(browser, user, medblocks, connection_id):  # noqa: F811
    medblocks.get(re.compile(f"{BASE_URL}/connections/.*"), status=500, json={})
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json(patient_id=str(user.pk)))
    assert browser.post(START, {"connection_id": connection_id}).status_code == 303
    assert json.loads(medblocks.calls[-1].request.body)["connection_id"] == connection_id


RAW_URL = "https://api.hospital.example/interconnect/R4x"


@pytest.mark.parametrize("url", [START, JSON_SESSIONS])
def test_start_again_takes_what_an_earlier_attempt_was_started_with(
    browser,
    user,
    medblocks,  # noqa: F811
    url,
):
    medblocks.get(re.compile(f"{BASE_URL}/connections/.*"), status=500, json={})
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json(patient_id=str(user.pk)))
    kind = {"content_type": "application/json"} if url == JSON_SESSIONS else {}
    assert browser.post(url, {"connection_id": RAW_URL}, **kind).status_code == 400
    PatientConnectionAttempt.objects.create(patient_id=str(user.pk), connection_id=RAW_URL)
    assert browser.post(url, {"connection_id": RAW_URL}, **kind).status_code in {200, 303}


def test_start_again_takes_nothing_of_somebody_elses_attempt(browser, other_user):
    PatientConnectionAttempt.objects.create(patient_id=str(other_user.pk), connection_id=RAW_URL)
    assert browser.post(START, {"connection_id": RAW_URL}).status_code == 400


@pytest.mark.parametrize("body", [b"", b"[]", b"nope", b"\xff", b"[" * 10_000, b'"x"'])
def test_json_start_malformed_body_is_400(browser, body):
    response = browser.post(JSON_SESSIONS, body, content_type="application/json")
    assert response.status_code == 400


def test_json_start_large_body_is_413(browser):
    body = json.dumps({"connection_id": "x", "padding": "x" * 20_000})
    response = browser.post(JSON_SESSIONS, body, content_type="application/json")
    assert response.status_code == 413


def test_json_start_case_3_somebody_elses_patient_id_is_403(browser):
    body = {"connection_id": FACILITY, "patient_id": "somebody else"}
    response = browser.post(JSON_SESSIONS, body, content_type="application/json")
    assert response.status_code == 403
    assert not PatientConnectionAttempt.objects.exists()


def test_json_start_own_patient_id_is_ignored(browser, user, medblocks):  # noqa: F811
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json(patient_id=str(user.pk)))
    body = {"connection_id": FACILITY, "patient_id": str(user.pk)}
    response = browser.post(JSON_SESSIONS, body, content_type="application/json")
    assert response.json() == {"url": session_json()["url"]}


def test_form_start_case_3_patient_id_is_ignored(browser, user, medblocks):  # noqa: F811
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json(patient_id=str(user.pk)))
    response = browser.post(START, {"connection_id": FACILITY, "patient_id": "somebody else"})
    assert response.status_code == 303
    assert PatientConnectionAttempt.objects.get().patient_id == str(user.pk)


def test_json_start_refused_says_it_in_words(browser, medblocks):  # noqa: F811
    medblocks.post(
        f"{BASE_URL}/patient-sessions",
        status=401,
        json={"error": {"type": "authentication_error", "code": "invalid_api_key", "message": "m"}},
    )
    body = {"connection_id": FACILITY}
    response = browser.post(JSON_SESSIONS, body, content_type="application/json")
    assert response.status_code == 503
    error = response.json()["error"]
    assert error["code"] == "invalid_api_key"
    assert error["message"].startswith("This is not available")


def test_start_case_7_return_url_of_the_setting_wins(browser, user, medblocks, settings):  # noqa: F811
    settings.MEDBLOCKS_CONNECT = settings.MEDBLOCKS_CONNECT | {
        "RETURN_URL": "https://clinic.example/records/return/"
    }
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json(patient_id=str(user.pk)))
    browser.post(START, {"connection_id": FACILITY}, headers={"X-Forwarded-Host": "evil.example"})
    sent = json.loads(medblocks.calls[-1].request.body)
    assert sent["return_url"] == "https://clinic.example/records/return/"


def test_start_case_7_poisoned_host_is_refused(browser, medblocks):  # noqa: F811
    response = browser.post(START, {"connection_id": FACILITY}, headers={"Host": "evil.example"})
    assert response.status_code == 400
    assert len(medblocks.calls) == 0


def test_start_case_5_second_post_is_a_row_of_its_own(browser, user, medblocks):  # noqa: F811
    ids = iter(["ps_1", "ps_2"])

    def open_session(_request):
        return 200, {}, json.dumps(session_json(patient_id=str(user.pk), id=next(ids)))

    medblocks.add_callback("POST", f"{BASE_URL}/patient-sessions", open_session)
    answers = [browser.post(START, {"connection_id": FACILITY}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 303]
    assert PatientConnectionAttempt.objects.filter(status="started").count() == 2


# Resolvers of the host.


def test_resolver_names_the_patient(browser, medblocks, settings):  # noqa: F811
    settings.MEDBLOCKS_CONNECT = settings.MEDBLOCKS_CONNECT | {
        "PATIENT_RESOLVER": "tests.resolvers.intake_form"
    }
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json(patient_id="intake-7"))
    Client().post(START, {"connection_id": FACILITY}, headers={"X-Intake": "intake-7"})
    sent = json.loads(medblocks.calls[-1].request.body)
    assert sent["patient_id"] == "intake-7"
    assert sent["patient_name"] == "Ada L."
    assert PatientConnectionAttempt.objects.get().patient_id == "intake-7"


@pytest.mark.django_db(transaction=True)
def test_every_row_outlives_atomic_requests(live_server, settings):
    """Case 12: views of ours are outside ATOMIC_REQUESTS, for every database."""
    from django.db import connections
    from django.urls import get_resolver

    prefix = get_resolver().url_patterns
    ours = next(each for each in prefix if getattr(each, "app_name", "") == "medblocks_connect")
    for pattern in ours.url_patterns:
        assert set(connections) <= pattern.callback._non_atomic_requests
        assert pattern.callback.login_required is False


def test_user_model_is_never_needed(db):
    assert not [
        field
        for field in PatientConnectionAttempt._meta.get_fields()
        if field.related_model is get_user_model()
    ]
