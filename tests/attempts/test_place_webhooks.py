"""Webhooks about a patient's place, which changes between any two of their reads and writes."""

from __future__ import annotations

import json

import pytest
from django.utils import timezone

from medblocks_connect.attempts import webhook_deliveries, webhook_events
from medblocks_connect.attempts.place_ids import rename_place
from medblocks_connect.attempts.settle import settle
from medblocks_connect.attempts.webhook_deliveries import retry_deliveries
from medblocks_connect.models import PatientConnection, WebhookDelivery
from tests.attempts.conftest import FACILITY, connection_json, session_json
from tests.connected import create_attempt

pytestmark = pytest.mark.django_db

URL = "https://fhir.riverside.example/r4"
LOSS = "connection.token_refresh_failed"


def receive(kind: str, about: dict, event_id: str = "evt_1") -> None:
    event = {"id": event_id, "type": kind, "data": {"object": about}}
    webhook_deliveries.receive_delivery(webhook_events.read_delivery(json.dumps(event).encode()))()


def records(facility_id: str = FACILITY) -> dict:
    return {"patient_id": "p-1", "connection_id": facility_id, "total": 3, "errors": 0}


def complete(session_id: str = "ps_1", *others: dict) -> dict:
    return session_json(id=session_id, status="complete", connections=[connection_json(), *others])


@pytest.fixture
def connected(db):
    """An attempt that connected a place whose id Medblocks has not told yet."""
    return create_attempt(
        patient_id="p-1",
        connection_id=URL,
        patient_session_id="ps_1",
        status="succeeded",
        patient_connection_id="conn_1",
        connection_status="active",
    )


@pytest.fixture
def between(monkeypatch):
    """Do something between the first call of a function and whatever comes after it."""

    def do_after(module, name, action):
        function, calls = getattr(module, name), []

        def call(*args):
            result = function(*args)
            calls.append(args)
            if len(calls) == 1:
                action()
            return result

        monkeypatch.setattr(module, name, call)

    return do_after


@pytest.mark.parametrize(
    ("kind", "about"),
    [
        pytest.param("records.sync.completed", records(URL), id="records"),
        pytest.param(LOSS, {"id": "conn_1", "status": "refresh_failed"}, id="loss"),
    ],
)
def test_place_that_is_renamed_after_the_event_is_read(connected, between, kind, about):
    between(webhook_deliveries, "read_effect", lambda: rename_place(URL, FACILITY, "default"))
    receive(kind, about)
    row = PatientConnection.objects.get()
    assert row.place_id == FACILITY
    assert (row.state, row.records_at is None) == (
        ("lost", True) if kind == LOSS else ("connected", False)
    )
    assert WebhookDelivery.objects.get().state == "processed"


def test_success_of_a_place_that_is_renamed_after_it_is_read(make_attempt, between):
    attempt = make_attempt(connection_id=URL, place_id=URL)
    between(webhook_deliveries, "read_effect", lambda: rename_place(URL, FACILITY, "default"))
    about = complete() | {"connection_id": URL, "connections": [connection_json(connection_id=URL)]}
    receive("patient_session.completed", about)
    attempt.refresh_from_db()
    row = PatientConnection.objects.get()
    assert (row.place_id, row.state, attempt.place_id) == (FACILITY, "connected", FACILITY)
    assert WebhookDelivery.objects.get().state == "processed"


def test_settled_success_of_a_place_that_is_renamed_after_it_is_read(make_attempt):
    from medblocks_connect.api import PatientSession
    from medblocks_connect.attempts.evidence import Source
    from medblocks_connect.attempts.session_evidence import read_session

    attempt = make_attempt(connection_id=URL, place_id=URL)
    about = complete() | {"connection_id": URL, "connections": [connection_json(connection_id=URL)]}
    evidence = read_session(attempt, PatientSession.from_json(about), Source.WEBHOOK)
    rename_place(URL, FACILITY, "default")
    settle(attempt, evidence)
    row = PatientConnection.objects.get()
    assert (row.place_id, row.state, attempt.place_id) == (FACILITY, "connected", FACILITY)


def test_loss_of_a_connection_that_is_won_while_it_is_read(make_attempt, between):
    """Whoever sees one half of what was committed at once sees the other."""
    make_attempt()

    def win():
        receive("patient_session.completed", complete())

    between(webhook_events, "find_link", win)
    receive(LOSS, {"id": "conn_1", "status": "refresh_failed"}, "evt_2")
    row = PatientConnection.objects.get()
    assert (row.state, row.attempt.connection_status) == ("lost", "refresh_failed")
    assert row.attempt.lost_at is not None


def test_records_of_a_connection_that_is_won_while_they_are_read(make_attempt, between):
    make_attempt()

    def win():
        receive("patient_session.completed", complete())

    between(webhook_events, "find_connection_at", win)
    receive("records.sync.completed", records(), "evt_2")
    assert PatientConnection.objects.get().records_at is not None


@pytest.mark.parametrize("moment", ["1912-01-01T00:00:00Z", "2912-01-01T00:00:00Z"])
def test_loss_at_an_odd_time_is_told_and_silences_nothing(connected, moment):
    """Before the times that are stored, or in a thousand years."""
    receive(LOSS, {"id": "conn_1", "status": "refresh_failed", "failure_at": moment})
    assert WebhookDelivery.objects.get().state == "processed"
    assert PatientConnection.objects.get().state == "lost"
    link = PatientConnection.objects.get().links.get()
    assert link.as_of <= timezone.now()


def test_loss_of_a_further_connection_that_came_too_early_is_told_later(make_attempt):
    """Of several places that a session connected, its attempt names one."""
    make_attempt(connection_id="")
    receive(LOSS, {"id": "conn_2", "status": "refresh_failed"}, "evt_lost")
    later = {"id": "conn_2", "created_at": "2026-11-22T12:05:00.000Z"}
    further = connection_json(connection_id="fhirsrc_further", **later)
    receive("patient_session.completed", complete("ps_1", further) | {"connection_id": None})
    retry_deliveries(10)
    states = PatientConnection.objects.values_list("place_id", "state")
    assert set(states) == {(FACILITY, "connected"), ("fhirsrc_further", "lost")}
    assert retry_deliveries(10) == (0, 0)
