"""Who acted for the patient: kept on what they caused, and on nothing else."""

from __future__ import annotations

import hashlib
import json

import pytest
import requests
from django.core.exceptions import ImproperlyConfigured

from medblocks_connect import signals
from medblocks_connect.api import ReturnedFailure, ReturnedSuccess
from medblocks_connect.attempts.evidence import Evidence, Kind, Source
from medblocks_connect.attempts.outcome import Outcome, OutcomeConnection, Rank
from medblocks_connect.attempts.queries import find_attempt
from medblocks_connect.attempts.returns import record_return
from medblocks_connect.attempts.settle import plan_change, settle
from medblocks_connect.attempts.start import StartRefusedError, start_attempt
from medblocks_connect.attempts.webhook_deliveries import process_delivery
from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.patients import Patient
from tests.attempts.conftest import ACTIVE, BASE_URL, FACILITY, answer, session_json

pytestmark = pytest.mark.django_db(transaction=True)

SESSIONS = f"{BASE_URL}/patient-sessions"
RETURN_URL = "https://clinic.example/records/return/"
NURSE = "nurse-7"
CONNECTED = ReturnedSuccess("ps_1", "", FACILITY)
BY_NURSE = Patient("p-1", actor=NURSE)


def actors_by_kind(attempt):
    return dict(attempt.events.values_list("kind", "actor"))


def start_by(patient):
    return start_attempt(patient, FACILITY, RETURN_URL).attempt


@pytest.fixture
def heard_actors():
    """Collect the attempt's actor and the signal's, of every start and every loss."""
    heard = []

    def receive(attempt, **kwargs):
        heard.append((attempt.actor, kwargs.get("actor")))

    for signal in (signals.attempt_started, signals.connection_lost):
        signal.connect(receive)
    yield heard
    for signal in (signals.attempt_started, signals.connection_lost):
        signal.disconnect(receive)


def test_start_by_an_actor_is_kept_on_the_attempt_and_its_events(medblocks):
    medblocks.post(SESSIONS, json=session_json())
    attempt = PatientConnectionAttempt.objects.get(pk=start_by(BY_NURSE).pk)
    assert attempt.actor == NURSE
    assert actors_by_kind(attempt) == {"created": NURSE, "started": NURSE}


def test_start_by_the_patient_has_no_actor(medblocks, patient):
    medblocks.post(SESSIONS, json=session_json())
    attempt = PatientConnectionAttempt.objects.get(pk=start_by(patient).pk)
    assert attempt.actor == ""
    assert actors_by_kind(attempt) == {"created": "", "started": ""}


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [({"status": 403, "json": {}}, "refused"), ({"body": requests.ReadTimeout()}, "no_answer")],
    ids=["refused", "no-answer"],
)
def test_start_by_an_actor_that_fails_is_kept_on_its_event(medblocks, refusal, kind):
    medblocks.post(SESSIONS, **refusal)
    with pytest.raises(StartRefusedError) as refused:
        start_by(BY_NURSE)
    assert actors_by_kind(refused.value.attempt) == {"created": NURSE, kind: NURSE}


def test_start_by_an_actor_tells_medblocks_of_the_patient_alone(medblocks):
    medblocks.post(SESSIONS, json=session_json())
    start_by(BY_NURSE)
    requests_sent = [call.request for call in medblocks.calls]
    sent = [(each.url, each.body, each.headers) for each in requests_sent]
    assert json.loads(medblocks.calls[-1].request.body)["patient_id"] == "p-1"
    assert NURSE not in repr(sent)


def test_return_by_an_actor_is_kept_on_the_claim_alone(medblocks, make_attempt):
    attempt = make_attempt()
    answer(medblocks, **ACTIVE)
    record_return(BY_NURSE, CONNECTED)
    assert actors_by_kind(attempt) == {"claimed_success": NURSE, "connected": ""}
    attempt.refresh_from_db()
    assert attempt.actor == ""  # the patient started it


def test_return_by_the_patient_has_no_actor(medblocks, patient, make_attempt):
    attempt = make_attempt(actor=NURSE)
    answer(medblocks)
    record_return(patient, ReturnedFailure("ps_1", "", "user_denied", ""))
    assert actors_by_kind(attempt)["claimed_failure"] == ""
    attempt.refresh_from_db()
    assert attempt.actor == NURSE


def test_same_claim_by_the_patient_and_an_actor_is_told_twice(medblocks, patient, make_attempt):
    attempt = make_attempt()
    answer(medblocks)
    for who in (patient, BY_NURSE, BY_NURSE, patient):
        record_return(who, CONNECTED)
    claims = attempt.events.filter(kind="claimed_success").values_list("actor", flat=True)
    assert list(claims) == ["", NURSE]


def test_evidence_without_an_actor_keeps_its_fingerprint(make_attempt):
    evidence = Evidence(Source.RETURN, Kind.CAME_BACK, Outcome(Rank.RETURNED))
    event = plan_change(make_attempt(), evidence).events[0]
    identity = (Source.RETURN, Kind.CAME_BACK, "", "", "", "", "")
    # As before there were actors: a reload after an upgrade is no second event.
    assert event.fingerprint == hashlib.sha256(repr(identity).encode()).hexdigest()


def test_evidence_repr_does_not_show_the_actor():
    evidence = Evidence(Source.SITE, Kind.CREATED, Outcome(Rank.CREATED), actor=NURSE)
    assert NURSE not in repr(evidence)


def test_attempt_by_an_actor_is_the_patients(medblocks, patient):
    medblocks.post(SESSIONS, json=session_json())
    attempt = start_by(BY_NURSE)
    assert find_attempt(patient, public_id=attempt.public_id) == attempt
    assert find_attempt(Patient(NURSE), public_id=attempt.public_id) is None


def test_signal_of_a_start_has_the_attempts_actor(medblocks, heard_actors):
    medblocks.post(SESSIONS, json=session_json())
    start_by(BY_NURSE)
    assert heard_actors == [(NURSE, None)]


def test_connection_lost_at_medblocks_has_no_actor(make_attempt, heard_actors):
    attempt = make_attempt(status="succeeded", actor=NURSE)
    lost = Outcome(connection=OutcomeConnection("refresh_failed", "conn_1"))
    settle(attempt, Evidence(Source.MEDBLOCKS, Kind.LOST, lost))
    assert heard_actors == [(NURSE, "")]


def test_connection_lost_by_webhook_has_no_actor(make_attempt, make_delivery, heard_actors):
    make_attempt(status="succeeded", actor=NURSE, patient_connection_id="conn_1")
    delivery = make_delivery(
        {"id": "conn_1", "status": "refresh_failed"},
        event_type="connection.token_refresh_failed",
        patient_session_id="",
        patient_connection_id="conn_1",
    )
    process_delivery(delivery)
    assert heard_actors == [(NURSE, "")]


@pytest.mark.parametrize("path", ["/records/start/", "/records/api/patient-sessions/"])
def test_start_by_an_actor_too_long_is_an_error_before_anything(
    browser, medblocks, settings, monkeypatch, path
):
    too_long = Patient("p-1", actor="x" * 201)
    monkeypatch.setattr("tests.resolvers.nobody", lambda _request: too_long)
    settings.MEDBLOCKS_CONNECT |= {"PATIENT_RESOLVER": "tests.resolvers.nobody"}
    with pytest.raises(ImproperlyConfigured, match=r"str\(request.user.pk\)"):
        browser.post(path, {"connection_id": FACILITY})
    assert not PatientConnectionAttempt.objects.exists()
    assert not medblocks.calls
