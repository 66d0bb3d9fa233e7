"""Case 66: a command that is told to end in the middle of its work stops, and holds nothing."""

from __future__ import annotations

import io
import json
import signal
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db.models.signals import pre_delete
from django.utils import timezone

from medblocks_connect import signals
from medblocks_connect.attempts import webhook_deliveries
from medblocks_connect.attempts.stop_signals import StopRequestedError, stop_on_signals
from medblocks_connect.models import (
    CatalogSync,
    PatientConnectionAttempt,
    PendingSignal,
    WebhookDelivery,
)
from tests.attempts.conftest import BASE_URL, session_json
from tests.facilities.test_sync import facility_json

pytestmark = pytest.mark.django_db(transaction=True)

EXPIRED = {"status": "expired", "connections": []}


class SoftTimeLimitExceeded(Exception):  # noqa: N818 - as Celery's is named
    """What a worker's own handler raises."""


def raise_time_limit(_number, _frame):
    raise SoftTimeLimitExceeded


@pytest.fixture
def celery():
    """Handle SIGUSR1 as the worker processes of Celery do."""
    former = signal.signal(signal.SIGUSR1, raise_time_limit)
    yield
    signal.signal(signal.SIGUSR1, former)


@pytest.fixture(
    params=[
        pytest.param("SIGTERM", id="case-66-sigterm"),
        pytest.param("SIGINT", id="case-66-sigint"),
        pytest.param("SIGUSR1", id="case-66-soft-time-limit"),
    ]
)
def stop_in_the_middle(request, celery):
    """Return a function to be called in the middle: it sends the signal, once."""
    sent = []

    def stop(*_args, **_kwargs):
        if not sent:
            sent.append(request.param)
            signal.raise_signal(signal.Signals[request.param])

    stop.name = request.param
    stop.sent = sent
    return stop


def run_stopped(stop, command, **options):
    """Run ``command``, which is stopped in its middle; return what it says."""
    said = io.StringIO()
    ends = SoftTimeLimitExceeded if stop.name == "SIGUSR1" else SystemExit
    with pytest.raises(ends) as ended:
        call_command(command, stdout=io.StringIO(), stderr=said, **options)
    assert stop.sent
    if ends is SystemExit:
        assert ended.value.code == 128 + signal.Signals[stop.name]
    return said.getvalue()


def run_rest(command, **options):
    call_command(command, stdout=io.StringIO(), **options)


@pytest.fixture
def answer_after_stop(medblocks, stop_in_the_middle):
    """Let Medblocks tell that a session is over; while the first is asked, the signal comes."""

    def reply(request):
        stop_in_the_middle()
        number = request.url.rpartition("ps_")[2]
        return 200, {}, json.dumps(session_json(id=f"ps_{number}", **EXPIRED))

    for number in range(1, 4):
        url = f"{BASE_URL}/patient-sessions/ps_{number}"
        medblocks.add_callback("GET", url, callback=reply)


def test_reconcile_gives_every_lease_back(stop_in_the_middle, answer_after_stop, make_old):
    for number in range(1, 4):
        make_old(number)
    said = run_stopped(stop_in_the_middle, "medblocks_reconcile")
    assert stop_in_the_middle.name in said
    assert not PatientConnectionAttempt.objects.exclude(leased_until=None).exists()
    assert not PatientConnectionAttempt.objects.filter(status="expired").exists()
    run_rest("medblocks_reconcile")
    assert PatientConnectionAttempt.objects.filter(status="expired").count() == 3


def test_reconcile_leaves_a_delivery_as_it_was(stop_in_the_middle, make_old, monkeypatch):
    """Not as one that failed: nothing is wrong with it."""
    delivery = WebhookDelivery.objects.create(
        event_id="evt_1", event_type="patient_session.completed", payload="{}", state="failed"
    )
    monkeypatch.setattr(webhook_deliveries, "read_effect", stop_in_the_middle)
    run_stopped(stop_in_the_middle, "medblocks_reconcile")
    stored = WebhookDelivery.objects.get(pk=delivery.pk)
    assert (stored.state, stored.tries) == (delivery.state, delivery.tries)


def test_send_signals_gives_its_hold_back(stop_in_the_middle, make_attempt, owe):
    row = owe(make_attempt())
    signals.attempt_succeeded.connect(stop_in_the_middle)
    try:
        run_stopped(stop_in_the_middle, "medblocks_send_signals")
        stored = PendingSignal.objects.get(pk=row.pk)
        assert stored.failure == ""
        assert stored.due_at <= timezone.now()
        run_rest("medblocks_send_signals")
    finally:
        signals.attempt_succeeded.disconnect(stop_in_the_middle)
    assert not PendingSignal.objects.exists()


def test_sync_gives_its_lease_back(stop_in_the_middle, medblocks):
    page = {"data": [facility_json(1)], "has_more": False, "next_cursor": None}

    def reply(_request):
        stop_in_the_middle()
        return 200, {}, json.dumps(page)

    medblocks.add_callback("GET", f"{BASE_URL}/connections", callback=reply)
    run_stopped(stop_in_the_middle, "medblocks_sync_facilities")
    assert CatalogSync.objects.get().heard_at is None
    run_rest("medblocks_sync_facilities")
    assert CatalogSync.objects.get().finished_at is not None


def test_prune_deletes_no_half_of_a_batch(stop_in_the_middle, make_attempt):
    old = timezone.now() - timedelta(days=3000)
    for number in range(3):
        make_attempt(patient_session_id=f"ps_{number}", status="failed", created_at=old)
    pre_delete.connect(stop_in_the_middle, sender=PatientConnectionAttempt)
    try:
        run_stopped(stop_in_the_middle, "medblocks_prune", older_than="6y")
        assert PatientConnectionAttempt.objects.count() == 3
        run_rest("medblocks_prune", older_than="6y")
    finally:
        pre_delete.disconnect(stop_in_the_middle, sender=PatientConnectionAttempt)
    assert not PatientConnectionAttempt.objects.exists()


def test_second_signal_does_not_disturb_the_release():
    held = []

    def hold():
        try:
            held.append("lease")
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            held.clear()

    with pytest.raises(StopRequestedError), stop_on_signals():
        hold()
    assert held == []


def test_handlers_are_the_process_own_again():
    former = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with stop_on_signals():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == former


def test_handler_that_goes_on_is_left_to_it():
    told = []
    former = signal.signal(signal.SIGTERM, lambda *_args: told.append("later"))
    try:
        with stop_on_signals():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, former)
    assert told == ["later"]


def test_ignored_signal_stays_ignored():
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_on_signals():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, former)
