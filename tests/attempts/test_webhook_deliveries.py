"""A stored delivery: leased by one process, processed once, its signals owed until sent."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from medblocks_connect import signals
from medblocks_connect.attempts import webhook_deliveries
from medblocks_connect.attempts.reconcile import reconcile_attempts
from medblocks_connect.attempts.verification import verify_attempt
from medblocks_connect.attempts.webhook_deliveries import (
    lease_delivery,
    process_delivery,
    process_waiting_deliveries,
)
from medblocks_connect.models import WebhookDelivery
from tests.attempts.conftest import (
    ACTIVE,
    FACILITY,
    answer,
    break_reading,
    connection_json,
    session_json,
)


def test_process_waits_for_its_attempt(make_delivery):
    delivery = make_delivery()
    assert lease_delivery(delivery)
    process_delivery(delivery)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempt, delivery.tries) == ("received", None, 1)


def test_process_waiting_deliveries_settles_their_attempt(make_delivery, make_attempt):
    delivery = make_delivery()
    attempt = make_attempt()
    process_waiting_deliveries(attempt)
    delivery.refresh_from_db()
    attempt.refresh_from_db()
    assert (delivery.state, attempt.status) == ("processed", "succeeded")


def test_process_waiting_deliveries_leaves_a_leased_one(make_delivery, make_attempt):
    make_delivery(leased_until=timezone.now() + timedelta(minutes=1))
    attempt = make_attempt()
    assert not process_waiting_deliveries(attempt)
    attempt.refresh_from_db()
    assert attempt.status == "started"


def test_lease_of_a_leased_delivery_is_refused(make_delivery):
    delivery = make_delivery()
    assert lease_delivery(delivery)
    assert not lease_delivery(delivery)


def test_lease_of_a_process_that_died_lapses(make_delivery):
    lapsed = timezone.now() - timedelta(seconds=1)
    assert lease_delivery(make_delivery(leased_until=lapsed))


@pytest.mark.parametrize(
    "changed", [{"state": "failed"}, {"tries": 3}, {"unsent_signals": "attempt_succeeded"}]
)
def test_lease_of_a_delivery_changed_since_it_was_read_is_refused(make_delivery, changed):
    as_read = make_delivery()
    WebhookDelivery.objects.update(**changed)
    assert not lease_delivery(as_read)


def test_lease_of_a_processed_delivery_is_refused(make_delivery):
    assert not lease_delivery(make_delivery(state="processed"))


def test_signals_owed_are_sent_once_by_reconciliation(make_delivery, make_attempt, counts):
    """Killed between the commit and its receivers: they are owed and paid once."""
    attempt = make_attempt(status="succeeded", settled_at=timezone.now())
    about = {"total": 3, "errors": True, "patient_id": "p-1", "connection_id": FACILITY}
    make_delivery(
        about,
        event_type="records.sync.completed",
        attempt=attempt,
        unsent_signals="records_synced",
        leased_until=timezone.now() - timedelta(seconds=1),
    )
    assert reconcile_attempts(limit=10).deliveries == 1
    assert reconcile_attempts(limit=10).deliveries == 0
    assert len(counts) == 1


def session_told(**changes):
    fields = {"status": "complete", **changes}
    return "patient_session.completed", session_json(**fields)


REFUSED = connection_json("failed", failure_code="oauth_error")


@pytest.mark.parametrize(
    ("kind", "about", "name"),
    [
        (*session_told(connections=[connection_json()]), "attempt_succeeded"),
        (*session_told(connections=[REFUSED]), "attempt_failed"),
        (*session_told(status="expired"), "attempt_expired"),
    ],
)
def test_process_sends_the_signal_of_the_outcome(make_delivery, make_attempt, kind, about, name):
    make_attempt()
    assert process_heard(make_delivery(about, event_type=kind), name) == 1


def test_process_of_a_failed_sync_sends_its_signal(make_delivery, make_attempt):
    make_attempt(status="succeeded")
    about = {"patient_id": "p-1", "connection_id": FACILITY}
    delivery = make_delivery(about, event_type="records.sync.failed")
    assert process_heard(delivery, "records_sync_failed") == 1


def process_heard(delivery, name) -> int:
    """Process ``delivery``; return how often the signal ``name`` was sent."""
    calls = []

    def receive(**kwargs):
        calls.append(name)

    getattr(signals, name).connect(receive)
    try:
        process_delivery(delivery)
    finally:
        getattr(signals, name).disconnect(receive)
    return len(calls)


def test_process_writes_to_its_own_delivery_alone(make_delivery, make_attempt, heard):
    attempt = make_attempt()
    delivery, other = make_delivery(), make_delivery(event_id="evt_2", patient_session_id="ps_2")
    process_delivery(delivery)
    for each in (delivery, other):
        each.refresh_from_db()
    assert (delivery.state, delivery.attempt, delivery.unsent_signals) == ("processed", attempt, "")
    assert delivery.processed_at is not None
    assert (other.state, other.attempt, other.processed_at) == ("received", None, None)


def test_process_without_receivers_sets_processed_at(make_delivery, make_attempt):
    make_attempt()
    done, waiting = make_delivery(), make_delivery(session_json(id="ps_2"), event_id="evt_2")
    for each in (done, waiting):
        process_delivery(each)
    assert done.processed_at is not None
    assert waiting.processed_at is None


def test_process_of_a_success_processes_what_waited_for_its_connection(make_delivery, make_attempt):
    attempt = make_attempt()
    loss = {"id": "conn_1", "status": "refresh_failed"}
    kind = "connection.token_refresh_failed"
    ids = {"patient_session_id": "", "patient_connection_id": "conn_1"}
    make_delivery(loss, event_id="evt_lost", event_type=kind, **ids)
    process_delivery(make_delivery())
    attempt.refresh_from_db()
    assert attempt.connection_status == "refresh_failed"


def test_verify_with_a_replica_reads_the_effect_of_waiting_deliveries(
    medblocks, make_delivery, make_attempt, use_replica
):
    attempt = make_attempt()
    loss = {"id": "conn_1", "status": "refresh_failed"}
    ids = {"patient_session_id": "", "patient_connection_id": "conn_1"}
    make_delivery(loss, event_type="connection.token_refresh_failed", **ids)
    answer(medblocks, **ACTIVE)
    use_replica()
    assert verify_attempt(attempt) is None
    assert attempt.connection_status == "refresh_failed"


def test_process_killed_before_the_receivers_owes_their_signals(
    make_delivery, make_attempt, monkeypatch, heard
):
    make_attempt()
    with monkeypatch.context() as killed:
        killed.setattr(webhook_deliveries, "_send_owed_signals", lambda *_: None)
        process_delivery(make_delivery())
    WebhookDelivery.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    reconcile_attempts(limit=10)
    assert heard == ["succeeded"]


def test_signals_owed_for_a_deleted_attempt_are_not_sent(make_delivery, counts):
    """No receiver is promised an attempt that may be None."""
    make_delivery({}, event_type="records.sync.completed", unsent_signals="records_synced")
    assert reconcile_attempts(limit=10).deliveries == 1
    assert counts == []


def test_process_of_an_unreadable_session_is_failed(make_delivery, make_attempt):
    make_attempt()
    delivery = make_delivery(session_json(connections="none"))
    process_delivery(delivery)
    delivery.refresh_from_db()
    assert (delivery.state, bool(delivery.failure)) == ("failed", True)


def test_process_that_breaks_fails_its_own_delivery_alone(make_delivery, monkeypatch):
    broken, other = make_delivery(), make_delivery(event_id="evt_2")
    monkeypatch.setattr(webhook_deliveries, "read_effect", break_reading)
    process_delivery(broken)
    states = [WebhookDelivery.objects.get(pk=each.pk).state for each in (broken, other)]
    assert states == ["failed", "received"]


def test_process_that_breaks_after_its_effect_is_processed(
    make_delivery, make_attempt, monkeypatch
):
    make_attempt()
    delivery = make_delivery()
    monkeypatch.setattr(webhook_deliveries, "_process_awaiting", lambda *_: break_reading(None))
    process_delivery(delivery)
    assert WebhookDelivery.objects.get().state == "processed"
