"""Operations: the functions beside the commands, their accounts, and how they let go."""

from __future__ import annotations

import json
import signal
from datetime import timedelta

import pytest
from django.utils import timezone

from medblocks_connect import operations, signals
from medblocks_connect.api import clock
from medblocks_connect.models import CatalogSync, Facility, PatientConnectionAttempt
from tests.attempts.conftest import (
    BASE_URL,
    answer,
    make_attempt,
    make_old,
    medblocks,
    session_json,
)
from tests.facilities.test_sync import facility_json
from tests.management.conftest import owe

__all__ = ["make_attempt", "make_old", "medblocks", "owe"]

pytestmark = pytest.mark.django_db(transaction=True)


class SoftTimeLimitExceeded(Exception):  # noqa: N818 - as Celery's is named
    """What a worker's own handler raises."""


@pytest.fixture
def two_pages(medblocks):
    """A catalog of two pages."""

    def reply(request):
        is_second = request.params.get("starting_after") == "fhirsrc_1"
        number = 2 if is_second else 1
        page = {"data": [facility_json(number)], "has_more": not is_second}
        return 200, {}, json.dumps({**page, "next_cursor": None if is_second else "fhirsrc_1"})

    medblocks.add_callback("GET", f"{BASE_URL}/connections", callback=reply)


def test_reconcile_accounts_for_what_it_settled(make_old, medblocks):
    answer(medblocks, status="expired")
    make_old()
    done = operations.reconcile()
    assert (done.asked, done.statuses, done.is_finished) == (1, {"expired": 1}, True)


def test_send_signals_accounts_for_sent_and_failed(make_attempt, owe):
    def break_down(**_kwargs):
        raise RuntimeError

    attempt = make_attempt()
    owe(attempt)
    owe(attempt, name="attempt_failed")
    signals.attempt_failed.connect(break_down)
    try:
        done = operations.send_signals()
    finally:
        signals.attempt_failed.disconnect(break_down)
    assert done == operations.SentSignals(sent=1, failed=1)


def test_prune_accounts_for_each_kind(make_attempt):
    make_attempt(status="failed", created_at=timezone.now() - timedelta(days=3000))
    done = operations.prune(timezone.now() - timedelta(days=2000))
    assert (done.deleted["attempts"], done.deleted["connections"]) == (1, 0)
    assert done.is_finished


def test_sync_brings_the_catalog(two_pages):
    sync = operations.sync_facilities(pause=0)
    assert (sync.fetched, Facility.objects.count()) == (2, 2)
    assert sync.finished_at is not None


def test_sync_whose_time_is_over_is_gone_on_with(two_pages):
    unfinished = operations.sync_facilities(pause=2, max_seconds=1)
    assert (unfinished.finished_at, unfinished.fetched) == (None, 1)
    assert CatalogSync.objects.get().heard_at is None
    assert operations.sync_facilities(pause=0).fetched == 2


def test_sync_whose_time_is_over_calls_no_more(two_pages, medblocks, monkeypatch):
    moment = [0.0]
    monkeypatch.setattr(clock, "monotonic", lambda: moment[0])
    operations.sync_facilities(
        pause=0, max_seconds=5, on_progress=lambda fetched: moment.__setitem__(0, fetched * 10.0)
    )
    assert len(medblocks.calls) == 1


@pytest.fixture
def asked(make_old, medblocks):
    """Send the signal that a test names, while Medblocks is asked about the first of three."""

    def prepare(number):
        def reply(request):
            signal.raise_signal(number)
            session_id = request.url.rpartition("/")[2]
            return 200, {}, json.dumps(session_json(id=session_id, status="expired"))

        for each in range(1, 4):
            make_old(each)
            url = f"{BASE_URL}/patient-sessions/ps_{each}"
            medblocks.add_callback("GET", url, callback=reply)

    return prepare


def test_soft_time_limit_reaches_who_set_it(asked):
    def raise_time_limit(_number, _frame):
        raise SoftTimeLimitExceeded

    former = signal.signal(signal.SIGUSR1, raise_time_limit)
    asked(signal.SIGUSR1)
    try:
        with pytest.raises(SoftTimeLimitExceeded):
            operations.reconcile()
    finally:
        signal.signal(signal.SIGUSR1, former)
    assert not PatientConnectionAttempt.objects.exclude(leased_until=None).exists()


def test_sigterm_ends_the_process_once_nothing_is_held(asked):
    asked(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        operations.reconcile()
    assert ended.value.code == 128 + signal.SIGTERM
    assert not PatientConnectionAttempt.objects.exclude(leased_until=None).exists()


def test_interrupt_stays_one(asked):
    asked(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        operations.reconcile()
