"""A received event: stored, and given its effect once, however often it comes or breaks."""

from __future__ import annotations

import json

import pytest
from django.db import OperationalError
from django.utils import timezone

from medblocks_connect import signals
from medblocks_connect.attempts import database_retry, outbox, webhook_deliveries
from medblocks_connect.attempts.outbox import send_due_signals
from medblocks_connect.attempts.queries import find_attempt
from medblocks_connect.attempts.webhook_deliveries import (
    retry_deliveries,
)
from medblocks_connect.attempts.webhook_events import read_delivery
from medblocks_connect.models import PendingSignal, WebhookDelivery
from medblocks_connect.patients import Patient
from tests.attempts.conftest import (
    FACILITY,
    break_reading,
    connection_json,
    session_json,
)


def test_receive_with_a_replica_reads_where_it_writes(make_attempt, use_replica):
    """What a replica has not heard of yet would wait, or never fit what is to be written."""
    attempt = make_attempt()
    use_replica()
    about = session_json(status="complete", connections=[connection_json()])
    events = [
        ("connection.token_refresh_failed", {"id": "conn_1", "status": "refresh_failed"}),
        ("patient_session.completed", about),
        ("records.sync.failed", {"patient_id": "p-1", "connection_id": FACILITY}),
    ]
    for number, (kind, each) in enumerate([*events, *events]):
        event = {"id": f"evt_{number % 3}", "type": kind, "data": {"object": each}}
        webhook_deliveries.receive_delivery(read_delivery(json.dumps(event).encode()))
    assert retry_deliveries(10) == (0, 0)
    stored = WebhookDelivery.objects.using("default").values_list("state", "failure", "conflicts")
    assert list(stored) == [("processed", "", 0)] * 3
    attempt = find_attempt(Patient("p-1"), public_id=attempt.public_id)
    assert (attempt.status, attempt.connection_status) == ("succeeded", "refresh_failed")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "first",
    [pytest.param(OperationalError, id="deadlock"), pytest.param(None, id="somebody-was-faster")],
)
def test_receive_refused_once_is_processed_in_one_try(make_attempt, monkeypatch, first):
    """Whatever was stored before was rolled back: one delivery, one effect, one try."""
    attempt = make_attempt()
    write, calls = webhook_deliveries.write_change, []

    def be_refused_once(step, database):
        calls.append(1)
        if len(calls) > 1:
            return write(step, database)
        if first:
            raise first
        return None

    monkeypatch.setattr(webhook_deliveries, "write_change", be_refused_once)
    about = session_json(status="complete", connections=[connection_json()])
    event = {"id": "evt_1", "type": "patient_session.completed", "data": {"object": about}}
    webhook_deliveries.receive_delivery(read_delivery(json.dumps(event).encode()))
    attempt.refresh_from_db()
    stored = WebhookDelivery.objects.get()
    assert (stored.state, stored.tries, stored.failure) == ("processed", 1, "")
    assert (attempt.status, attempt.events.count()) == ("succeeded", 1)


def completed_event(session_id="ps_1", event_id="evt_1", **changes) -> WebhookDelivery:
    """Return the event of a session that connected, as the webhook's view reads it."""
    about = session_json(id=session_id, status="complete", connections=[connection_json()])
    event = {"id": event_id, "type": "patient_session.completed", "data": {"object": about}}
    return read_delivery(json.dumps({**event, **changes}).encode())


def test_redelivery_that_breaks_counts_one_more_try(db, monkeypatch):
    for event_id in ("evt_1", "evt_other"):
        webhook_deliveries.receive_delivery(completed_event(event_id=event_id))
    monkeypatch.setattr(webhook_deliveries, "read_effect", break_reading)
    webhook_deliveries.receive_delivery(completed_event())
    columns = ("event_id", "state", "failure", "tries")
    assert list(WebhookDelivery.objects.order_by("id").values_list(*columns)) == [
        ("evt_1", "failed", "RuntimeError", 2),
        ("evt_other", "received", "", 1),
    ]


@pytest.mark.django_db(transaction=True)
def test_redelivery_that_breaks_leaves_it_processed(make_attempt, monkeypatch):
    make_attempt()
    webhook_deliveries.receive_delivery(completed_event())
    monkeypatch.setattr(webhook_deliveries, "read_effect", break_reading)
    webhook_deliveries.receive_delivery(completed_event())
    stored = WebhookDelivery.objects.get()
    assert (stored.state, stored.failure, stored.tries) == ("processed", "", 1)


@pytest.mark.django_db(transaction=True)
def test_receive_that_breaks_owes_no_signal(make_attempt, monkeypatch, heard):
    make_attempt()
    with monkeypatch.context() as broken:
        broken.setattr(webhook_deliveries, "write_change", lambda *_: break_reading(None))
        webhook_deliveries.receive_delivery(completed_event())
    stored = WebhookDelivery.objects.get()
    assert (stored.attempt, PendingSignal.objects.count()) == (None, 0)
    webhook_deliveries.receive_delivery(completed_event())()
    assert heard == ["succeeded"]


@pytest.mark.django_db(transaction=True)
def test_receive_refused_for_too_long_is_failed(make_attempt, monkeypatch):
    make_attempt()
    refused = []

    def refuse(*_args):
        refused.append(1)
        raise OperationalError if len(refused) < 9 else RuntimeError

    monkeypatch.setattr(database_retry, "_SECONDS", -1)
    monkeypatch.setattr(webhook_deliveries, "write_change", refuse)
    webhook_deliveries.receive_delivery(completed_event())
    assert len(refused) == 1
    assert WebhookDelivery.objects.get().failure == "OperationalError"


def test_redelivery_with_another_body_counts_a_conflict(make_attempt):
    """The first stands, also where it has had no effect yet; only its conflicts are counted."""
    for event_id in ("evt_1", "evt_other"):
        webhook_deliveries.receive_delivery(completed_event("ps_elsewhere", event_id))
    attempt = make_attempt()
    webhook_deliveries.receive_delivery(completed_event("ps_1"))
    attempt.refresh_from_db()
    assert attempt.status == "started"
    stored = WebhookDelivery.objects.order_by("id").values_list("state", "conflicts")
    assert list(stored) == [("received", 1), ("received", 0)]


def test_receive_calls_receivers_when_followed_up_alone(make_attempt, heard):
    """The answer to Medblocks leaves before."""
    make_attempt()
    follow_up = webhook_deliveries.receive_delivery(completed_event())
    assert heard == []
    follow_up()
    assert heard == ["succeeded"]


def test_receive_followed_up_processes_what_waited(make_attempt):
    attempt = make_attempt()
    loss = {"id": "conn_1", "status": "refresh_failed"}
    kind = "connection.token_refresh_failed"
    webhook_deliveries.receive_delivery(
        completed_event(event_id="evt_lost", type=kind, data={"object": loss})
    )
    webhook_deliveries.receive_delivery(completed_event())()
    attempt.refresh_from_db()
    assert attempt.connection_status == "refresh_failed"


def test_receive_never_followed_up_owes_its_signals(make_attempt, heard):
    """A process that dies after the answer: they are sent once it is taken for dead."""
    make_attempt()
    webhook_deliveries.receive_delivery(completed_event())
    assert WebhookDelivery.objects.get().state == "processed"
    assert send_due_signals(10) == (0, 0)
    PendingSignal.objects.update(due_at=timezone.now())
    assert send_due_signals(10) == (1, 0)
    assert heard == ["succeeded"]


@pytest.mark.django_db(transaction=True)
def test_follow_up_that_breaks_sends_what_it_owes(make_attempt, heard, monkeypatch, caplog):
    make_attempt()
    follow_up = webhook_deliveries.receive_delivery(completed_event())
    monkeypatch.setattr(webhook_deliveries, "_has_waiting_deliveries", break_reading)
    follow_up()
    assert heard == ["succeeded"]
    assert "Waiting webhooks were not processed: RuntimeError" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_follow_up_calls_receivers_for_2_seconds(make_attempt, monkeypatch, listen_to):
    """Two slow ones: the second's turn comes later, with whoever sends what is due."""
    now = [0.0]
    monkeypatch.setattr(outbox.time, "monotonic", lambda: now[0])
    called = []

    def be_slow(signal, **kwargs):
        called.append(signal)
        now[0] += 2.1

    for signal in (signals.attempt_succeeded, signals.connection_lost):
        listen_to(signal, be_slow)
    make_attempt()
    loss = {"id": "conn_1", "status": "refresh_failed"}
    kind = "connection.token_refresh_failed"
    webhook_deliveries.receive_delivery(
        completed_event(event_id="evt_lost", type=kind, data={"object": loss})
    )
    webhook_deliveries.receive_delivery(completed_event())()
    assert called == [signals.attempt_succeeded]
    left = PendingSignal.objects.get()
    assert (left.name, left.tries, left.failure) == ("connection_lost", 0, "")
    assert send_due_signals(10) == (1, 0)
    assert called == [signals.attempt_succeeded, signals.connection_lost]


@pytest.mark.django_db(transaction=True)
def test_redelivery_of_a_processed_event_sends_nothing(make_attempt, heard):
    """What it owes has a time of its own."""
    make_attempt()
    webhook_deliveries.receive_delivery(completed_event())
    webhook_deliveries.receive_delivery(completed_event())()
    assert heard == []
    assert PendingSignal.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_redelivery_of_a_failed_event_owes_its_signals(make_attempt, monkeypatch, heard):
    make_attempt()
    with monkeypatch.context() as broken:
        broken.setattr(webhook_deliveries, "write_change", lambda *_: break_reading(None))
        webhook_deliveries.receive_delivery(completed_event())
    webhook_deliveries.receive_delivery(completed_event())
    assert PendingSignal.objects.get().delivery == WebhookDelivery.objects.get()
