"""Disconnecting: unclear answers are settled by Medblocks' list, and nothing else is touched."""

from __future__ import annotations

import pytest
import requests

from medblocks_connect import signals
from medblocks_connect.api import PatientSession
from medblocks_connect.attempts.evidence import Source
from medblocks_connect.attempts.queries import was_ended_here
from medblocks_connect.attempts.session_evidence import read_session
from medblocks_connect.attempts.settle import settle
from medblocks_connect.patient_connections.disconnect import disconnect_patient
from medblocks_connect.patients import Patient
from tests.attempts.conftest import connection_json, session_json
from tests.patient_connections.conftest import listed_json

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "answer",
    [
        {"body": requests.ReadTimeout()},
        {"status": 404, "json": {}},
        {"json": {"id": "conn_1", "disconnected": False}},
    ],
    ids=["no", "404", "says-no"],
)
@pytest.mark.parametrize(
    "links",
    [
        [],
        [listed_json("disconnected")],
        [listed_json(id="conn_2", connection_id="fhirsrc_elsewhere")],
    ],
    ids=["gone", "disconnected", "only-another"],
)
def test_unclear_answer_is_settled_by_medblocks_list(
    answer_list, answer_disconnect, make, user, answer, links
):
    attempt = make()
    answer_list(*links)
    answer_disconnect(**answer)
    disconnect_patient(Patient(str(user.pk)), "conn_1")
    attempt.refresh_from_db()
    assert attempt.connection_status == "disconnected"


def test_unclear_answer_about_an_unknown_patient_is_disconnected(
    answer_list, answer_disconnect, make, user
):
    attempt = make()
    answer_list(status=404)
    answer_disconnect(status=404, json={})
    disconnect_patient(Patient(str(user.pk)), "conn_1")
    attempt.refresh_from_db()
    assert attempt.connection_status == "disconnected"


def test_another_connection_of_the_patient_is_left_alone(answer_disconnect, make, user):
    other = make(patient_connection_id="conn_2")
    answer_disconnect()
    disconnect_patient(Patient(str(user.pk)), "conn_1")
    other.refresh_from_db()
    assert other.connection_status == "active"


def test_attempt_of_somebody_else_is_left_alone(
    answer_list, answer_disconnect, make, user, other_user
):
    theirs = make(patient_id=str(other_user.pk))
    answer_disconnect()
    disconnect_patient(Patient(str(user.pk)), "conn_1")
    theirs.refresh_from_db()
    assert theirs.connection_status == "active"


@pytest.mark.parametrize("actor", ["nurse-7", ""], ids=["actor", "patient"])
def test_disconnect_keeps_who_did_it(answer_disconnect, make, user, actor):
    attempt = make()
    answer_disconnect()
    disconnect_patient(Patient(str(user.pk), actor=actor), "conn_1")
    event = attempt.events.get()
    assert (event.kind, event.actor) == ("disconnected", actor)
    attempt.refresh_from_db()
    assert attempt.actor == ""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("actor", ["nurse-7", ""], ids=["actor", "patient"])
def test_disconnect_tells_receivers_who_did_it(answer_disconnect, make, user, actor):
    make(actor="who started it")
    answer_disconnect()
    heard = []

    def receive(attempt, actor, **_kwargs):
        heard.append((attempt.actor, actor))

    signals.connection_lost.connect(receive)
    try:
        disconnect_patient(Patient(str(user.pk), actor=actor), "conn_1")
    finally:
        signals.connection_lost.disconnect(receive)
    assert heard == [("who started it", actor)]


def test_disconnect_by_an_actor_tells_medblocks_of_the_patient_alone(
    answer_disconnect, make, user, medblocks
):
    make()
    answer_disconnect()
    disconnect_patient(Patient(str(user.pk), actor="nurse-7"), "conn_1")
    sent = [(each.request.url, each.request.body, each.request.headers) for each in medblocks.calls]
    assert sent
    assert "nurse-7" not in repr(sent)


def test_attempt_that_hears_late_that_it_connected_has_lost_it(
    answer_list, answer_disconnect, make, list_now, user
):
    attempt = make(status="started", patient_session_id="ps_1")
    answer_list(listed_json())
    list_now()
    answer_disconnect()
    disconnect_patient(Patient(str(user.pk)), "conn_1")
    told = session_json(patient_id=str(user.pk), status="complete", connections=[connection_json()])
    settle(attempt, read_session(attempt, PatientSession.from_json(told), Source.WEBHOOK))
    assert (attempt.status, attempt.connection_status) == ("succeeded", "disconnected")
    assert attempt.lost_at is not None
    assert was_ended_here(attempt)
