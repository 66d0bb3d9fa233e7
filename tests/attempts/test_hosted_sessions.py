"""The patient chooses at Medblocks' own page: no facility is asked for, and one comes back."""

from __future__ import annotations

import json

import pytest

from medblocks_connect.api import PatientSession
from medblocks_connect.attempts.evidence import Source
from medblocks_connect.attempts.session_evidence import read_session
from medblocks_connect.attempts.settle import settle
from medblocks_connect.attempts.start import start_attempt
from medblocks_connect.attempts.verification import verify_attempt
from tests.attempts.conftest import BASE_URL, FACILITY, connection_json, session_json

pytestmark = pytest.mark.django_db(transaction=True)

SESSION = f"{BASE_URL}/patient-sessions/ps_1"
RETURN_URL = "https://clinic.example/records/return/"


def answer(medblocks, *connections, status="complete"):
    medblocks.get(
        SESSION,
        json=session_json(connection_id=None, status=status, connections=list(connections)),
    )


def test_hosted_start_recommends_and_names_no_facility(medblocks, patient):
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json(connection_id=None))
    started = start_attempt(patient, "", RETURN_URL, recommended=["fhirsrc_1", "fhirsrc_2"])
    sent = json.loads(medblocks.calls[-1].request.body)
    assert sent["recommended_connection_ids"] == ["fhirsrc_1", "fhirsrc_2"]
    assert "connection_id" not in sent
    assert (started.attempt.status, started.attempt.connection_id) == ("started", "")


@pytest.mark.parametrize(
    ("label", "sent"),
    [("Riverbend", "Riverbend"), ("n" * 80, "n" * 59 + "\u2026"), ("", None), (None, None)],
)
def test_hosted_start_names_the_site_on_the_button(medblocks, patient, settings, label, sent):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "RETURN_BUTTON_LABEL": label}
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json(connection_id=None))
    start_attempt(patient, "", RETURN_URL)
    assert json.loads(medblocks.calls[-1].request.body).get("return_button_label") == sent


def test_start_at_a_facility_names_no_site(medblocks, patient, settings):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "RETURN_BUTTON_LABEL": "Riverbend"}
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json())
    start_attempt(patient, FACILITY, RETURN_URL)
    assert "return_button_label" not in json.loads(medblocks.calls[-1].request.body)


def test_start_at_a_facility_recommends_none(medblocks, patient):
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json())
    start_attempt(patient, FACILITY, RETURN_URL, recommended=["fhirsrc_1"])
    assert "recommended_connection_ids" not in json.loads(medblocks.calls[-1].request.body)


def test_hosted_success_puts_the_facility_on_the_row(medblocks, make_attempt):
    attempt = make_attempt(connection_id="")
    answer(medblocks, connection_json("failed", connection_id="fhirsrc_other"), connection_json())
    verify_attempt(attempt)
    attempt.refresh_from_db()
    assert (attempt.status, attempt.connection_id) == ("succeeded", FACILITY)
    assert (attempt.connection_name, attempt.connection_type) == ("Riverside General", "epic")


def test_hosted_success_stands_where_the_name_cannot_be_told(medblocks, make_attempt):
    attempt = make_attempt(connection_id="")
    medblocks.get(f"{BASE_URL}/connections/fhirsrc_unnamed", status=500)
    answer(medblocks, connection_json(connection_id="fhirsrc_unnamed"))
    verify_attempt(attempt)
    attempt.refresh_from_db()
    assert (attempt.status, attempt.connection_id) == ("succeeded", "fhirsrc_unnamed")
    assert attempt.connection_name == ""


def test_hosted_failure_names_no_facility(medblocks, make_attempt):
    attempt = make_attempt(connection_id="")
    answer(medblocks, connection_json("failed"))
    verify_attempt(attempt)
    attempt.refresh_from_db()
    assert (attempt.status, attempt.connection_id) == ("failed", "")


def test_hosted_success_keeps_its_facility_when_asked_again(medblocks, make_attempt):
    attempt = make_attempt(connection_id="")
    answer(medblocks, connection_json())
    verify_attempt(attempt)
    answer(medblocks, connection_json(id="conn_2", connection_id="fhirsrc_b"), connection_json())
    verify_attempt(attempt)
    attempt.refresh_from_db()
    assert (attempt.status, attempt.connection_id) == ("succeeded", FACILITY)


def test_hosted_webhook_is_settled_without_asking_medblocks(medblocks, make_attempt):
    attempt = make_attempt(connection_id="")
    session = PatientSession.from_json(
        session_json(connection_id=None, status="complete", connections=[connection_json()])
    )
    settle(attempt, read_session(attempt, session, Source.WEBHOOK))
    assert (attempt.status, attempt.connection_id) == ("succeeded", FACILITY)
    assert attempt.connection_name == ""
    assert len(medblocks.calls) == 0


def test_return_after_the_webhook_names_the_facility(medblocks, make_attempt):
    attempt = make_attempt(status="succeeded", connection_name="")
    answer(medblocks, connection_json())
    verify_attempt(attempt)
    assert attempt.connection_name == "Riverside General"
