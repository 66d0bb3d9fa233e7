"""The outbox: what a change owes is written with it, and sent until every receiver is through."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import DatabaseError, connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from medblocks_connect import signals
from medblocks_connect.attempts import outbox
from medblocks_connect.attempts.evidence import Evidence, Kind, Source
from medblocks_connect.attempts.outbox import (
    HOLD,
    MAX_TRIES,
    send_due_signals,
    send_given_up_signals,
    send_signals,
    send_signals_of,
)
from medblocks_connect.attempts.outcome import Outcome, OutcomeConnection
from medblocks_connect.attempts.reconcile import reconcile_attempts
from medblocks_connect.attempts.settle import settle
from medblocks_connect.models import PatientConnectionAttempt, PendingSignal
from tests.attempts.conftest import ACTIVE, answer
from tests.attempts.test_settle import CONNECTED

pytestmark = pytest.mark.django_db(transaction=True)

DISCONNECTED = Evidence(
    Source.SITE,
    Kind.DISCONNECTED,
    Outcome(connection=OutcomeConnection("disconnected", "conn_1")),
    actor="nurse-7",
)


@pytest.fixture
def receiver(listen_to):
    """A receiver of ``attempt_succeeded`` that raises what is in ``errors``, one at each call."""

    class Receiver:
        def __init__(self):
            self.called = []
            self.errors = []

        def __call__(self, attempt, **kwargs):
            self.called.append((attempt.pk, attempt.status))
            if self.errors:
                raise self.errors.pop()

    receiver = Receiver()
    listen_to(signals.attempt_succeeded, receiver)
    return receiver


@pytest.fixture
def owe(make_attempt):
    """Write down a signal that is due, as a process left it that died."""

    def make(name="attempt_succeeded", attempt=None, **changes):
        fields = {"due_at": timezone.now() - timedelta(seconds=1), **changes}
        attempt = attempt or make_attempt(status="succeeded", settled_at=timezone.now())
        return PendingSignal.objects.create(name=name, attempt=attempt, **fields)

    return make


def rows(*columns):
    return list(PendingSignal.objects.order_by("id").values_list(*columns))


def be_due():
    PendingSignal.objects.update(due_at=timezone.now())


def test_outbox_has_what_a_change_owes_until_it_is_committed(make_attempt, receiver):
    attempt = make_attempt()
    with transaction.atomic():
        settle(attempt, CONNECTED)
        assert rows("name", "attempt", "delivery", "tries", "failure", "workspace") == [
            ("attempt_succeeded", attempt.pk, None, 0, "", "sandbox")
        ]
        assert receiver.called == []
    assert receiver.called == [(attempt.pk, "succeeded")]
    assert rows() == []


def test_outbox_has_nothing_of_what_was_rolled_back(make_attempt, receiver):
    with transaction.atomic():
        settle(make_attempt(), CONNECTED)
        transaction.set_rollback(True)
    assert (rows(), receiver.called) == ([], [])


def test_outbox_of_a_site_without_receivers_costs_nothing(make_attempt):
    attempt = make_attempt()
    with CaptureQueriesContext(connection) as queries:
        settle(attempt, CONNECTED)
    assert not [each["sql"] for each in queries if "pendingsignal" in each["sql"]]
    verbs = [each["sql"].split()[0] for each in queries]
    assert [verb for verb in verbs if verb in {"INSERT", "UPDATE", "DELETE"}] == [
        "UPDATE",  # the attempt
        "INSERT",  # its timeline
    ]


def test_outbox_costs_who_listens_two_queries(make_attempt, receiver):
    attempt = make_attempt()
    with CaptureQueriesContext(connection) as queries:
        settle(attempt, CONNECTED)
    verbs = [each["sql"].split()[0] for each in queries if "pendingsignal" in each["sql"]]
    assert verbs == ["INSERT", "DELETE"]


def test_receiver_that_raises_once_is_called_again(make_attempt, receiver):
    receiver.errors = [ValueError("ann@mail.example")]
    attempt = make_attempt()
    settle(attempt, CONNECTED)
    assert rows("tries", "failure") == [(1, "ValueError")]
    assert send_due_signals(10) == (1, 0)
    assert receiver.called == [(attempt.pk, "succeeded")] * 2
    assert send_due_signals(10) == (0, 0)
    assert rows() == []


def test_receivers_are_all_called_again_where_one_raised(make_attempt, receiver, listen_to):
    heard = []
    listen_to(signals.attempt_succeeded, lambda **_kwargs: heard.append(1))
    receiver.errors = [ValueError()]
    settle(make_attempt(), CONNECTED)
    send_due_signals(10)
    assert heard == [1, 1]


@pytest.mark.parametrize(
    ("tries", "minutes"),
    [(0, 0), (1, 4), (2, 8), (3, 16), (9, 1024), (MAX_TRIES - 1, 2**MAX_TRIES)],
)
def test_outbox_waits_twice_as_long_each_time(owe, receiver, tries, minutes):
    receiver.errors = [ValueError()]
    owe(tries=tries)
    assert send_due_signals(10) == (0, 1)
    ((told, failure, due_at),) = rows("tries", "failure", "due_at")
    assert (told, failure) == (tries + 1, "ValueError")
    wait = due_at - timezone.now()
    assert abs(wait - timedelta(minutes=minutes)) < timedelta(minutes=1)


def test_outbox_leaves_what_fails_for_ever_to_staff(owe, receiver):
    receiver.errors = [ValueError()] * 2
    owe(tries=MAX_TRIES, failure="KeyError", due_at=timezone.now() + timedelta(days=9))
    be_due()
    assert send_due_signals(10) == (0, 0)
    assert [send_given_up_signals(10) for _ in range(3)] == [(0, 1), (0, 1), (1, 0)]
    assert send_given_up_signals(10) == (0, 0)


def test_given_up_signals_are_those_alone(owe, receiver):
    owe(tries=MAX_TRIES - 1)
    assert send_given_up_signals(10) == (0, 0)


def test_outbox_holds_what_a_process_is_sending(owe, receiver):
    """Nobody else sends it meanwhile, staff neither; once the process has died, anybody may."""
    owe(due_at=timezone.now() + HOLD)
    assert send_due_signals(10) == send_given_up_signals(10) == (0, 0)
    be_due()
    assert send_due_signals(10) == (1, 0)


def test_outbox_gives_each_signal_to_one_process(owe):
    as_read = [owe(), PendingSignal.objects.get()]
    assert [outbox._take(row) for row in as_read] == [True, False]


@pytest.mark.django_db(transaction=True)
def test_processes_at_once_send_each_signal_once(owe, receiver, make_attempt):
    attempts = [make_attempt(patient_session_id=f"ps_{n}", status="succeeded") for n in range(5)]
    for attempt in attempts:
        owe(attempt=attempt)
    together = threading.Barrier(8)

    def send(_number):
        try:
            together.wait(30)
            return send_due_signals(10)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(send, range(8)))
    assert sum(sent for sent, _ in done) == 5
    assert sorted(receiver.called) == [(attempt.pk, "succeeded") for attempt in attempts]
    assert rows() == []


@pytest.mark.parametrize("is_taken", [True, False])
def test_signal_whose_hold_ran_out_before_its_turn_is_sent_once(owe, receiver, is_taken):
    """As after a transaction of the host's that took minutes to commit."""
    as_written = owe()
    if is_taken:
        outbox._take(PendingSignal.objects.get())
    send_signals([as_written])
    assert len(receiver.called) == (not is_taken)


def test_receiver_that_ends_the_process_is_no_end_of_the_signal(make_attempt, receiver):
    """As gunicorn does with a worker that takes too long."""
    receiver.errors = [SystemExit()]
    with pytest.raises(SystemExit):
        settle(make_attempt(), CONNECTED)
    be_due()
    assert send_due_signals(10) == (1, 0)


def test_receiver_that_ends_each_process_has_an_end(owe, receiver):
    """A try counts from its beginning."""
    owe(tries=MAX_TRIES - 1)
    receiver.errors = [SystemExit()]
    with pytest.raises(SystemExit):
        send_due_signals(10)
    be_due()
    assert send_due_signals(10) == (0, 0)


def test_settle_stands_where_the_outbox_breaks(make_attempt, receiver, monkeypatch, caplog):
    def fail(row):
        raise DatabaseError("ann@mail.example")

    monkeypatch.setattr(outbox, "_send", fail)
    attempt = make_attempt()
    settle(attempt, CONNECTED)
    attempt.refresh_from_db()
    assert attempt.status == "succeeded"
    assert "Signals are left for later: DatabaseError" in caplog.text
    assert "ann@mail.example" not in caplog.text
    assert len(rows()) == 1


def test_signal_of_a_newer_release_is_kept(owe):
    owe(name="records_deleted")
    assert send_due_signals(10) == (0, 1)
    assert rows("failure") == [("UnknownSignal",)]


def test_signal_that_nobody_listens_to_any_more_is_forgotten(owe):
    owe()
    assert send_due_signals(10) == (1, 0)
    assert rows() == []


def test_signal_of_a_deleted_attempt_is_forgotten(owe, make_delivery):
    row = owe(delivery=make_delivery())
    row.attempt.delete()
    assert rows() == []


def test_signal_of_another_workspace_is_left_to_it(owe, receiver, settings):
    owe(workspace="north")
    assert send_due_signals(10) == (0, 0)
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "WORKSPACE": "north"}
    assert send_due_signals(10) == (1, 0)


def test_outbox_keeps_what_receivers_are_given(make_attempt, listen_to):
    """At first the settled attempt itself, later the database's."""
    given = []

    def receive(signal, **kwargs):
        given.append(kwargs)
        if len(given) == 1:
            raise ValueError

    listen_to(signals.connection_lost, receive)
    attempt = make_attempt(
        status="succeeded", patient_connection_id="conn_1", connection_status="active"
    )
    settle(attempt, DISCONNECTED)
    attempt.connection_name = "not saved"
    assert given[0]["attempt"] is attempt
    send_due_signals(10)
    first, second = given
    assert (
        first
        == second
        == {"sender": PatientConnectionAttempt, "attempt": attempt, "actor": "nurse-7"}
    )
    assert (second["attempt"].connection_status, second["attempt"].connection_name) == (
        "disconnected", "",
    )  # fmt: skip


def test_outbox_sends_no_more_than_the_limit(owe, receiver, make_attempt):
    attempt = make_attempt()
    for _ in range(3):
        owe(attempt=attempt)
    assert [send_due_signals(2) for _ in range(3)] == [(2, 0), (1, 0), (0, 0)]


def test_outbox_with_a_failure_sends_the_rest(owe, receiver, make_attempt):
    attempt = make_attempt()
    receiver.errors = [ValueError()]
    for _ in range(3):
        owe(attempt=attempt)
    assert send_due_signals(10) == (2, 1)


def test_outbox_of_one_delivery_is_sent_whether_due_or_not(owe, receiver, make_delivery):
    delivery, other = make_delivery(), make_delivery(event_id="evt_2", patient_session_id="ps_2")
    later = timezone.now() + timedelta(days=1)
    attempt = owe(delivery=delivery, failure="KeyError", tries=MAX_TRIES, due_at=later).attempt
    owe(attempt=attempt, delivery=delivery, due_at=timezone.now() + HOLD)  # it is being sent
    kept = owe(attempt=attempt, delivery=other, failure="KeyError")
    assert send_signals_of(delivery) == (1, 0)
    assert PendingSignal.objects.filter(delivery=other).get() == kept
    assert PendingSignal.objects.filter(delivery=delivery).count() == 1


@pytest.fixture
def deferred(settings):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "DEFER_SIGNALS": True}


def test_deferred_signals_are_left_to_whoever_sends_what_is_due(deferred, make_attempt, receiver):
    attempt = make_attempt()
    settle(attempt, CONNECTED)
    assert receiver.called == []
    assert send_due_signals(10) == (1, 0)
    assert receiver.called == [(attempt.pk, "succeeded")]


def test_deferred_signals_of_a_reconciliation_are_sent_at_its_end(
    deferred, medblocks, make_old, receiver
):
    attempt = make_old()
    answer(medblocks, **ACTIVE)
    done = reconcile_attempts(limit=10)
    assert (done.signals, receiver.called) == (1, [(attempt.pk, "succeeded")])


def test_reconcile_sends_what_is_due_while_medblocks_is_away(medblocks, make_old, owe, receiver):
    make_old()
    answer_nothing = medblocks.get("https://medblocks.example/patient-sessions/ps_1", status=503)
    owe(attempt=make_old(2, status="succeeded", settled_at=timezone.now()))
    done = reconcile_attempts(limit=10)
    assert answer_nothing.call_count == 1
    assert (done.unanswered, done.signals) == (1, 1)
