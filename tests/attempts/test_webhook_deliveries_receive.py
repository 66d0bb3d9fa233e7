"""A received event: stored, and given its effect once, however often it comes or breaks."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from medblocks_connect.attempts import database_retry, webhook_deliveries
from medblocks_connect.attempts.queries import find_attempt
from medblocks_connect.attempts.webhook_deliveries import (
    retry_deliveries,
)
from medblocks_connect.attempts.webhook_events import read_delivery
from medblocks_connect.models import WebhookDelivery
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
    columns = ("event_id", "state", "failure", "tries", "leased_until")
    assert list(WebhookDelivery.objects.order_by("id").values_list(*columns)) == [
        ("evt_1", "failed", "RuntimeError", 2, None),
        ("evt_other", "received", "", 1, None),
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
    """It has none of its effect: the next try must not take it for one whose signals are owed."""
    make_attempt()
    with monkeypatch.context() as broken:
        broken.setattr(webhook_deliveries, "write_change", lambda *_: break_reading(None))
        webhook_deliveries.receive_delivery(completed_event())
    stored = WebhookDelivery.objects.get()
    assert (stored.attempt, stored.unsent_signals, stored.leased_until) == (None, "", None)
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


def test_redelivery_of_a_leased_one_changes_nothing(make_attempt):
    attempt = make_attempt()
    first = completed_event()
    first.leased_until = timezone.now() + timedelta(minutes=1)
    first.save()
    webhook_deliveries.receive_delivery(completed_event())
    attempt.refresh_from_db()
    assert attempt.status == "started"


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
    """A process that dies after the answer: reconciliation sends them once the lease is over."""
    make_attempt()
    webhook_deliveries.receive_delivery(completed_event())
    assert reconcile_later() == (1, 0)
    assert heard == ["succeeded"]


def test_follow_up_that_breaks_is_retried(make_attempt, heard, monkeypatch):
    make_attempt()
    follow_up = webhook_deliveries.receive_delivery(completed_event())
    with monkeypatch.context() as broken:
        broken.setattr(webhook_deliveries, "_send_owed_signals", break_reading)
        follow_up()
    assert WebhookDelivery.objects.get().state == "failed"
    assert reconcile_later() == (1, 0)
    assert heard == ["succeeded"]


def reconcile_later() -> tuple[int, int]:
    """Retry once no lease is held any more."""
    WebhookDelivery.objects.update(leased_until=None)
    return retry_deliveries(10)


@pytest.mark.django_db(transaction=True)
def test_redelivery_that_breaks_frees_no_leased_one(make_delivery, monkeypatch):
    """A redelivery that breaks must not free what another process is at work on."""
    soon = timezone.now() + timedelta(minutes=1)
    stored = make_delivery(unsent_signals="attempt_succeeded", leased_until=soon)

    def fail(*_args):
        raise RuntimeError

    monkeypatch.setattr(webhook_deliveries, "read_effect", fail)
    webhook_deliveries.receive_delivery(WebhookDelivery(event_id=stored.event_id))
    stored.refresh_from_db()
    assert (stored.state, stored.leased_until, stored.tries) == ("received", soon, 0)
    assert WebhookDelivery.objects.count() == 1
