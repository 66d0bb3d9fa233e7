"""A delivery's effect: once, by one process, and not forgotten while it is owed."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from medblocks_connect import signals
from medblocks_connect.attempts import database_retry, webhook_deliveries
from medblocks_connect.attempts.reconcile import reconcile_attempts
from medblocks_connect.attempts.returns import find_attempt
from medblocks_connect.attempts.verification import verify_attempt
from medblocks_connect.attempts.webhook_deliveries import (
    lease_delivery,
    process_delivery,
    process_waiting_deliveries,
    retry_deliveries,
)
from medblocks_connect.models import PatientConnectionAttempt, WebhookDelivery
from medblocks_connect.patients import Patient
from medblocks_connect.views.webhook_receiver import read_delivery
from tests.attempts.conftest import ACTIVE, FACILITY, answer, connection_json, session_json


@pytest.fixture
def make_delivery(db):
    """Store a delivery that waits, of a session that is complete, unless told otherwise."""

    def make(about=None, **changes):
        about = about or session_json(status="complete", connections=[connection_json()])
        fields = {
            "event_id": "evt_1",
            "event_type": "patient_session.completed",
            "payload": json.dumps({"data": {"object": about}}),
            "patient_session_id": "ps_1",
            **changes,
        }
        return WebhookDelivery.objects.create(**fields)

    return make


@pytest.fixture
def counts():
    """Count ``records_synced`` and keep what it was given."""
    given = []

    def receive(attempt, **kwargs):
        given.append({name: kwargs.get(name) for name in ("total", "errors")})

    signals.records_synced.connect(receive)
    yield given
    signals.records_synced.disconnect(receive)


@pytest.fixture
def heard():
    """How often a host's receiver heard of a success."""
    calls = []

    def receive(attempt, **kwargs):
        calls.append(attempt.status)

    signals.attempt_succeeded.connect(receive)
    yield calls
    signals.attempt_succeeded.disconnect(receive)


def test_process_waits_for_its_attempt(make_delivery):
    delivery = make_delivery()
    assert lease_delivery(delivery)
    process_delivery(delivery)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempt, delivery.tries) == ("received", None, 1)


def test_process_waiting_deliveries(make_delivery, make_attempt):
    delivery = make_delivery()
    attempt = make_attempt()
    process_waiting_deliveries(attempt)
    delivery.refresh_from_db()
    attempt.refresh_from_db()
    assert (delivery.state, attempt.status) == ("processed", "succeeded")


def test_process_waiting_deliveries_but_not_one_in_other_hands(make_delivery, make_attempt):
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


def test_signals_owed_are_sent_by_reconciliation(make_delivery, make_attempt, counts):
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


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ({"total": 128, "errors": 0}, {"total": 128, "errors": 0}),
        ({"total": -1, "errors": "3"}, {"total": None, "errors": None}),
        ({"total": 10**30}, {"total": None, "errors": None}),
    ],
)
def test_records_synced_counts(make_delivery, make_attempt, counts, about, expected):
    make_attempt(status="succeeded")
    about = {"patient_id": "p-1", "connection_id": FACILITY, **about}
    process_delivery(make_delivery(about, event_type="records.sync.completed"))
    assert counts == [expected]


def test_records_sync_failed_is_told_to_staff_alone(make_delivery, make_attempt):
    attempt = make_attempt(status="succeeded")
    about = {"patient_id": "p-1", "connection_id": FACILITY, "error_message": "a\x00b\u202e" * 400}
    process_delivery(make_delivery(about, event_type="records.sync.failed"))
    event = attempt.events.get()
    assert (event.kind, len(event.detail)) == ("records_sync_failed", 200)
    attempt.refresh_from_db()
    assert (attempt.status, attempt.error) == ("succeeded", "")


def session_told(**changes):
    told = {"status": "complete", **changes}
    return "patient_session.completed", session_json(**told)


REFUSED = connection_json("failed", failure_code="oauth_error")


@pytest.mark.parametrize(
    ("kind", "about", "name"),
    [
        (*session_told(connections=[connection_json()]), "attempt_succeeded"),
        (*session_told(connections=[REFUSED]), "attempt_failed"),
        (*session_told(status="expired"), "attempt_expired"),
    ],
)
def test_process_tells_the_host(make_delivery, make_attempt, kind, about, name):
    make_attempt()
    assert process_heard(make_delivery(about, event_type=kind), name) == 1


def test_process_tells_the_host_of_records_that_did_not_come(make_delivery, make_attempt):
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


def test_process_notes_what_it_did_on_its_own_delivery(make_delivery, make_attempt, heard):
    attempt = make_attempt()
    delivery, other = make_delivery(), make_delivery(event_id="evt_2", patient_session_id="ps_2")
    process_delivery(delivery)
    for each in (delivery, other):
        each.refresh_from_db()
    assert (delivery.state, delivery.attempt, delivery.unsent_signals) == ("processed", attempt, "")
    assert delivery.processed_at is not None
    assert (other.state, other.attempt, other.processed_at) == ("received", None, None)


def test_process_without_receivers_notes_when(make_delivery, make_attempt):
    make_attempt()
    done, waiting = make_delivery(), make_delivery(session_json(id="ps_2"), event_id="evt_2")
    for each in (done, waiting):
        process_delivery(each)
    assert done.processed_at is not None
    assert waiting.processed_at is None


def test_process_gives_what_waited_for_its_connection_an_effect(make_delivery, make_attempt):
    attempt = make_attempt()
    loss = {"id": "conn_1", "status": "refresh_failed"}
    kind = "connection.token_refresh_failed"
    ids = {"patient_session_id": "", "patient_connection_id": "conn_1"}
    make_delivery(loss, event_id="evt_lost", event_type=kind, **ids)
    process_delivery(make_delivery())
    attempt.refresh_from_db()
    assert attempt.connection_status == "refresh_failed"


def test_verify_with_a_replica_sees_the_effect_of_what_waited(
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


def test_process_killed_before_the_receivers_owes_them(
    make_delivery, make_attempt, monkeypatch, heard
):
    make_attempt()
    with monkeypatch.context() as killed:
        killed.setattr(webhook_deliveries, "_send_signals_within", lambda *_: None)
        process_delivery(make_delivery())
    WebhookDelivery.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    reconcile_attempts(limit=10)
    assert heard == ["succeeded"]


def test_loss_of_an_unknown_status_is_a_loss(make_delivery, make_attempt):
    attempt = make_attempt(status="succeeded", patient_connection_id="conn_1")
    attempt.connection_status = "active"
    attempt.save()
    about = {"id": "conn_1", "status": "invented", "failure_at": "soon"}
    process_delivery(
        make_delivery(
            about, event_type="connection.token_refresh_failed", patient_connection_id="conn_1"
        )
    )
    attempt.refresh_from_db()
    assert (attempt.status, attempt.connection_status) == ("succeeded", "refresh_failed")
    assert attempt.lost_at is not None


@pytest.mark.parametrize(
    ("occurred_at", "statuses"),
    [
        pytest.param(timezone.now() - timedelta(days=2), ["active", "refresh_failed"], id="before"),
        pytest.param(None, ["refresh_failed", "refresh_failed"], id="nobody-knows"),
    ],
)
def test_loss_that_does_not_say_when(make_delivery, make_attempt, occurred_at, statuses):
    """The event's own time then says which of the attempts that share the connection it means."""
    held = {"status": "succeeded", "patient_connection_id": "conn_1", "connection_status": "active"}
    make_attempt(created_at=timezone.now() - timedelta(days=9), **held)
    make_attempt(patient_session_id="ps_2", **held)
    process_delivery(
        make_delivery(
            {"id": "conn_1", "status": "refresh_failed", "failure_at": None},
            event_type="connection.token_refresh_failed",
            patient_connection_id="conn_1",
            occurred_at=occurred_at,
        )
    )
    newest_first = PatientConnectionAttempt.objects.values_list("connection_status", flat=True)
    assert list(newest_first) == statuses


def test_signals_owed_for_an_attempt_that_was_deleted(make_delivery, counts):
    """No receiver is promised an attempt that may be None."""
    make_delivery({}, event_type="records.sync.completed", unsent_signals="records_synced")
    assert reconcile_attempts(limit=10).deliveries == 1
    assert counts == []


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
    found = find_attempt(Patient("p-1"), public_id=attempt.public_id)
    assert (found.status, found.connection_status) == ("succeeded", "refresh_failed")


def test_process_failure_is_kept(make_delivery, make_attempt):
    make_attempt()
    delivery = make_delivery(session_json(connections="none"))
    process_delivery(delivery)
    delivery.refresh_from_db()
    assert (delivery.state, bool(delivery.failure)) == ("failed", True)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "first",
    [pytest.param(OperationalError, id="deadlock"), pytest.param(None, id="somebody-was-faster")],
)
def test_receive_tries_again(make_attempt, monkeypatch, first):
    """Whatever was stored before was rolled back: one delivery, one effect, one try."""
    attempt = make_attempt()
    write, calls = webhook_deliveries.write_change, []

    def be_refused_once(step, database):
        calls.append(1)
        if len(calls) > 1:
            return write(step, database)
        if first:
            raise first
        return False

    monkeypatch.setattr(webhook_deliveries, "write_change", be_refused_once)
    about = session_json(status="complete", connections=[connection_json()])
    event = {"id": "evt_1", "type": "patient_session.completed", "data": {"object": about}}
    webhook_deliveries.receive_delivery(read_delivery(json.dumps(event).encode()))
    attempt.refresh_from_db()
    stored = WebhookDelivery.objects.get()
    assert (stored.state, stored.tries, stored.failure) == ("processed", 1, "")
    assert (attempt.status, attempt.events.count()) == ("succeeded", 1)


def told_of(session_id="ps_1", event_id="evt_1", **changes) -> WebhookDelivery:
    """Return the event of a session that connected, as the webhook's view reads it."""
    about = session_json(id=session_id, status="complete", connections=[connection_json()])
    event = {"id": event_id, "type": "patient_session.completed", "data": {"object": about}}
    return read_delivery(json.dumps({**event, **changes}).encode())


def break_reading(_delivery):
    raise RuntimeError


def test_receive_again_that_breaks_is_one_more_try(db, monkeypatch):
    for event_id in ("evt_1", "evt_other"):
        webhook_deliveries.receive_delivery(told_of(event_id=event_id))
    monkeypatch.setattr(webhook_deliveries, "read_effect", break_reading)
    webhook_deliveries.receive_delivery(told_of())
    columns = ("event_id", "state", "failure", "tries", "leased_until")
    assert list(WebhookDelivery.objects.order_by("id").values_list(*columns)) == [
        ("evt_1", "failed", "RuntimeError", 2, None),
        ("evt_other", "received", "", 1, None),
    ]


@pytest.mark.django_db(transaction=True)
def test_receive_again_that_breaks_undoes_nothing(make_attempt, monkeypatch):
    make_attempt()
    webhook_deliveries.receive_delivery(told_of())
    monkeypatch.setattr(webhook_deliveries, "read_effect", break_reading)
    webhook_deliveries.receive_delivery(told_of())
    stored = WebhookDelivery.objects.get()
    assert (stored.state, stored.failure, stored.tries) == ("processed", "", 1)


@pytest.mark.django_db(transaction=True)
def test_receive_that_breaks_owes_no_signal(make_attempt, monkeypatch, heard):
    """It has none of its effect: the next try must not take it for one whose signals are owed."""
    make_attempt()
    with monkeypatch.context() as broken:
        broken.setattr(webhook_deliveries, "write_change", lambda *_: break_reading(None))
        webhook_deliveries.receive_delivery(told_of())
    stored = WebhookDelivery.objects.get()
    assert (stored.attempt, stored.unsent_signals, stored.leased_until) == (None, "", None)
    webhook_deliveries.receive_delivery(told_of())
    assert heard == ["succeeded"]


@pytest.mark.django_db(transaction=True)
def test_receive_gives_up_on_a_database_that_refuses_for_long(make_attempt, monkeypatch):
    make_attempt()
    refused = []

    def refuse(*_args):
        refused.append(1)
        raise OperationalError if len(refused) < 9 else RuntimeError

    monkeypatch.setattr(database_retry, "_SECONDS", -1)
    monkeypatch.setattr(webhook_deliveries, "write_change", refuse)
    webhook_deliveries.receive_delivery(told_of())
    assert len(refused) == 1
    assert WebhookDelivery.objects.get().failure == "OperationalError"


def test_receive_another_body_while_the_first_waits(make_attempt):
    """The first stands, also where it has had no effect yet; only its conflicts are counted."""
    for event_id in ("evt_1", "evt_other"):
        webhook_deliveries.receive_delivery(told_of("ps_elsewhere", event_id))
    attempt = make_attempt()
    webhook_deliveries.receive_delivery(told_of("ps_1"))
    attempt.refresh_from_db()
    assert attempt.status == "started"
    stored = WebhookDelivery.objects.order_by("id").values_list("state", "conflicts")
    assert list(stored) == [("received", 1), ("received", 0)]


def test_receive_again_while_another_process_is_at_it(make_attempt):
    attempt = make_attempt()
    first = told_of()
    first.leased_until = timezone.now() + timedelta(minutes=1)
    first.save()
    webhook_deliveries.receive_delivery(told_of())
    attempt.refresh_from_db()
    assert attempt.status == "started"


def test_receive_waits_no_longer_for_what_waited(make_attempt, monkeypatch):
    """The receivers of an event that waited for the connection have the same few seconds."""
    seconds = []
    monkeypatch.setattr(
        webhook_deliveries, "_send_signals_within", lambda _delivery, given: seconds.append(given)
    )
    make_attempt()
    loss = {"id": "conn_1", "status": "refresh_failed"}
    kind = "connection.token_refresh_failed"
    webhook_deliveries.receive_delivery(
        told_of(event_id="evt_lost", type=kind, data={"object": loss})
    )
    webhook_deliveries.receive_delivery(told_of())
    assert seconds == [webhook_deliveries.RECEIVER_SECONDS] * 3


def test_process_that_breaks_marks_its_own_delivery_alone(make_delivery, monkeypatch):
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


def test_loss_that_names_no_connection_is_a_failure(make_delivery):
    delivery = make_delivery({"status": "expired"}, event_type="connection.token_refresh_failed")
    process_delivery(delivery)
    assert (delivery.state, delivery.failure) == ("failed", "The event names no connection.")


@pytest.mark.django_db(transaction=True)
def test_receive_leaves_one_alone_that_is_in_other_hands(make_delivery, monkeypatch):
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
