"""Starting a connection: which facility, whose patient, and where the browser goes."""

from __future__ import annotations

import json
import re

import pytest
from django.db import DatabaseError

from medblocks_connect.models import PatientConnectionAttempt
from tests.attempts.conftest import (
    BASE_URL,
    FACILITY,
    session_json,
)
from tests.views.bad_ids import BAD_IDS

pytestmark = pytest.mark.django_db

SEARCH = "/records/search/"
START = "/records/start/"
RAW_URL = "https://api.hospital.example/interconnect/R4x"
RETURN = "/records/return/"
JSON_CONNECTIONS = "/records/api/connections/"
JSON_SESSIONS = "/records/api/patient-sessions/"


def test_start_without_a_patient_starts_nothing_and_leads_back_to_the_search(client):
    response = client.post(START, {"connection_id": FACILITY})
    assert response["Location"] == f"/accounts/login/?next={SEARCH}"
    assert not PatientConnectionAttempt.objects.exists()


@pytest.mark.parametrize("connection_id", BAD_IDS.values(), ids=BAD_IDS)
def test_start_case_4_bad_id_is_400_before_any_call(browser, medblocks, connection_id):
    response = browser.post(START, {"connection_id": connection_id})
    assert response.status_code == 400
    assert not PatientConnectionAttempt.objects.exists()
    assert len(medblocks.calls) == 0


@pytest.mark.parametrize(
    "connection_id",
    ["epic:12345", "urn:uuid:0d1f", "a..b", "a/b", "..a", "x" * 500, "a b", "\u00fc"],
)
def test_start_takes_an_id_of_any_shape(browser, user, medblocks, connection_id):
    medblocks.get(re.compile(f"{BASE_URL}/connections/.*"), status=500, json={})
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json(patient_id=str(user.pk)))
    assert browser.post(START, {"connection_id": connection_id}).status_code == 303
    assert json.loads(medblocks.calls[-1].request.body)["connection_id"] == connection_id


@pytest.mark.parametrize("url", [START, JSON_SESSIONS])
def test_start_again_takes_what_an_earlier_attempt_was_started_with(
    browser,
    user,
    medblocks,
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


def test_form_start_case_3_patient_id_is_ignored(browser, user, medblocks):
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json(patient_id=str(user.pk)))
    response = browser.post(START, {"connection_id": FACILITY, "patient_id": "somebody else"})
    assert response.status_code == 303
    assert PatientConnectionAttempt.objects.get().patient_id == str(user.pk)


def test_start_case_7_return_url_of_the_setting_wins(browser, user, medblocks, settings):
    settings.MEDBLOCKS_CONNECT = settings.MEDBLOCKS_CONNECT | {
        "RETURN_URL": "https://clinic.example/records/return/"
    }
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json(patient_id=str(user.pk)))
    browser.post(START, {"connection_id": FACILITY}, headers={"X-Forwarded-Host": "evil.example"})
    sent = json.loads(medblocks.calls[-1].request.body)
    assert sent["return_url"] == "https://clinic.example/records/return/"


def test_start_case_7_poisoned_host_is_refused(browser, medblocks):
    response = browser.post(START, {"connection_id": FACILITY}, headers={"Host": "evil.example"})
    assert response.status_code == 400
    assert len(medblocks.calls) == 0


def test_start_case_5_second_post_is_a_row_of_its_own(browser, user, medblocks):
    ids = iter(["ps_1", "ps_2"])

    def open_session(_request):
        return 200, {}, json.dumps(session_json(patient_id=str(user.pk), id=next(ids)))

    medblocks.add_callback("POST", f"{BASE_URL}/patient-sessions", open_session)
    answers = [browser.post(START, {"connection_id": FACILITY}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 303]
    assert PatientConnectionAttempt.objects.filter(status="started").count() == 2


# A start that is refused.


@pytest.mark.parametrize("path", [START, "/records/start/elsewhere/"])
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 502])
def test_refused_start_leads_to_the_attempts_page(browser, medblocks, settings, path, status):
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "HOSTED_FALLBACK": True,
        "MAX_RETRIES": 0,
    }
    refusal = {"error": {"type": "any", "code": "oauth_error", "message": "In Medblocks' words"}}
    medblocks.post(f"{BASE_URL}/patient-sessions", json=refusal, status=status)
    response = browser.post(path, {"connection_id": FACILITY})
    attempt = PatientConnectionAttempt.objects.get()
    assert (response.status_code, response["Location"]) == (303, attempt.get_absolute_url())
    assert "no-store" in response["Cache-Control"]
    page = browser.get(response["Location"])
    assert page.status_code == 200
    assert "We could not open the portal" in page.text
    assert "In Medblocks" not in page.text
    assert ("Try again" in page.text) == (path == START)


def test_session_that_another_attempt_has_leads_to_a_page_that_fits(browser, user, medblocks):
    PatientConnectionAttempt.objects.create(patient_id="another", patient_session_id="ps_1")
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json(patient_id=str(user.pk)))
    page = browser.post(START, {"connection_id": FACILITY}, follow=True)
    attempt = PatientConnectionAttempt.objects.get(patient_id=str(user.pk))
    assert attempt.error == "duplicate_session"
    assert page.redirect_chain == [(attempt.get_absolute_url(), 303)]
    assert "We got an answer we did not understand" in page.text


def test_start_that_cannot_be_written_is_503_since_there_is_no_page(browser, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise DatabaseError

    monkeypatch.setattr("medblocks_connect.views.start_connection.start_attempt", refuse)
    response = browser.post(START, {"connection_id": FACILITY})
    assert response.status_code == 503
    assert "Something went wrong on the way" in response.text
