"""A stored delivery: its effect is had once, whoever processes it, and its signals are owed."""

from __future__ import annotations

import pytest

from medblocks_connect import signals
from medblocks_connect.attempts import webhook_deliveries
from medblocks_connect.attempts.verification import verify_attempt
from medblocks_connect.attempts.webhook_deliveries import (
    process_delivery,
    process_waiting_deliveries,
)
from medblocks_connect.models import PendingSignal, WebhookDelivery
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
    assert process_delivery(delivery)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempt, delivery.tries) == ("received", None, 1)


def test_process_waiting_deliveries_settles_their_attempt(make_delivery, make_attempt):
    delivery = make_delivery()
    attempt = make_attempt()
    process_waiting_deliveries(attempt)
    delivery.refresh_from_db()
    attempt.refresh_from_db()
    assert (delivery.state, attempt.status) == ("processed", "succeeded")


@pytest.mark.parametrize("changed", [{"state": "failed"}, {"tries": 3}, {"state": "processed"}])
def test_process_of_a_delivery_changed_since_it_was_read_does_nothing(
    make_delivery, make_attempt, changed
):
    """Whoever was faster has given it its effect, or found that it has none."""
    attempt, as_read = make_attempt(), make_delivery()
    WebhookDelivery.objects.update(**changed)
    before = WebhookDelivery.objects.values().get()
    assert not process_delivery(as_read)
    assert WebhookDelivery.objects.values().get() == before
    attempt.refresh_from_db()
    assert (attempt.status, attempt.events.count()) == ("started", 0)


def test_process_that_breaks_after_somebody_else_was_through_changes_nothing(
    make_delivery, monkeypatch
):
    as_read = make_delivery()
    WebhookDelivery.objects.update(state="processed", tries=1)
    monkeypatch.setattr(webhook_deliveries, "read_effect", break_reading)
    assert not process_delivery(as_read)
    assert WebhookDelivery.objects.values_list("state", "tries", "failure").get() == (
        "processed", 1, "",
    )  # fmt: skip


def test_process_of_a_processed_delivery_does_nothing(make_delivery, make_attempt):
    attempt = make_attempt()
    assert not process_delivery(make_delivery(state="processed"))
    attempt.refresh_from_db()
    assert attempt.status == "started"


@pytest.mark.parametrize("tries", [0, 7])
def test_process_counts_tries_from_the_end_of_the_wait(make_delivery, make_attempt, tries):
    """To wait for its attempt was no failed try: it has all of them before it."""
    waiting = make_delivery(tries=tries)
    process_delivery(waiting)
    assert (waiting.state, waiting.tries) == ("received", tries + 1)
    make_attempt()
    process_delivery(waiting)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.tries) == ("processed", 1)


def test_process_that_breaks_after_a_long_wait_has_all_its_tries(make_delivery, monkeypatch):
    monkeypatch.setattr(webhook_deliveries, "read_effect", break_reading)
    failing = make_delivery(tries=webhook_deliveries.MAX_TRIES)
    for tries in (1, 2):
        process_delivery(failing)
        failing.refresh_from_db()
        assert (failing.state, failing.tries) == ("failed", tries)


def session_told(**changes):
    fields = {"status": "complete", **changes}
    return "patient_session.completed", session_json(**fields)


REFUSED = connection_json("failed", failure_code="oauth_error")


@pytest.mark.django_db(transaction=True)
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


@pytest.mark.django_db(transaction=True)
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
    assert (delivery.state, delivery.attempt) == ("processed", attempt)
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


def test_process_sends_after_the_callers_commit(
    make_delivery, make_attempt, heard, django_capture_on_commit_callbacks
):
    """As in an admin with ATOMIC_REQUESTS: what is rolled back was told to nobody."""
    make_attempt()
    with django_capture_on_commit_callbacks(execute=True):
        process_delivery(make_delivery())
        assert heard == []
        assert PendingSignal.objects.get().name == "attempt_succeeded"
    assert heard == ["succeeded"]


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
    monkeypatch.setattr(webhook_deliveries, "_has_waiting_deliveries", break_reading)
    process_delivery(delivery)
    assert WebhookDelivery.objects.get().state == "processed"
