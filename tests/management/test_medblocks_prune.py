"""Retention: nothing goes unless asked, then what is old enough, in batches."""

from __future__ import annotations

import io
import re
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from medblocks_connect.management.commands.medblocks_prune import _read_cutoff
from medblocks_connect.models import (
    ActionCount,
    AttemptEvent,
    FacilityRequest,
    MissingFacility,
    PatientConnectionAttempt,
    PendingSignal,
    WebhookDelivery,
)
from tests.admin.conftest import create_attempt

OLD = timezone.now() - timedelta(days=7 * 366)


@pytest.fixture
def make_attempt(db):
    return create_attempt


def _prune(*options: str, **keywords: object) -> str:
    output = io.StringIO()
    call_command("medblocks_prune", *options, stdout=output, **keywords)
    return output.getvalue()


def _left() -> set[str]:
    return set(PatientConnectionAttempt.objects.values_list("patient_id", flat=True))


def test_prune_deletes_nothing_by_default(make_attempt):
    make_attempt(created_at=OLD)
    assert "Nothing is deleted" in _prune()
    assert _left() == {"p-1"}


def test_prune_deletes_what_is_old_with_its_timeline(make_attempt):
    old = make_attempt(patient_id="old", status="failed", created_at=OLD)
    old.events.create(source="site", kind="created", status="created", fingerprint="1")
    make_attempt(patient_id="new")
    _prune("--older-than", "6y")
    assert _left() == {"new"}
    assert not AttemptEvent.objects.exists()


def test_prune_takes_the_signals_of_what_is_old_with_it(make_attempt):
    old, new = (make_attempt(status="failed", created_at=day) for day in (OLD, timezone.now()))
    for attempt in (old, new):
        attempt.pending_signals.create(name="attempt_failed", due_at=timezone.now())
    _prune("--older-than", "6y")
    assert PendingSignal.objects.get().attempt == new


def test_prune_in_batches_prints_progress(make_attempt):
    for _ in range(5):
        make_attempt(created_at=OLD)
    output = _prune("--older-than", "6y", "--batch-size", "2")
    assert "2 attempts deleted so far" in output
    assert "  5 attempts deleted\n" in output
    assert _left() == set()


def test_prune_called_with_keywords_deletes_old(make_attempt):
    make_attempt(patient_id="old", created_at=OLD)
    make_attempt(patient_id="new")
    _prune(older_than="6y", batch_size=5)
    assert _left() == {"new"}


def test_prune_reads_what_it_keeps_once(make_attempt):
    for number in range(40):
        made = OLD + timedelta(hours=number)
        status = "failed" if number % 4 == 0 else "succeeded"
        make_attempt(patient_id=f"{number}", status=status, created_at=made)
    with CaptureQueriesContext(connection) as captured:
        _prune("--older-than", "6y", "--batch-size", "2")
    read = [query["sql"] for query in captured if "ORDER BY" in query["sql"]]
    goes_on = re.compile(r"created_at\W+>= '?\d{4}-")
    of_attempts = [sql for sql in read if "created_at" in sql and "state" in sql]
    assert len(_left()) == 30
    assert [bool(goes_on.search(sql)) for sql in of_attempts] == [False] + [True] * 5


def test_prune_dry_run_counts_and_deletes_nothing(make_attempt):
    make_attempt(created_at=OLD)
    assert "1 attempts would be deleted" in _prune("--older-than", "6y", "--dry-run")
    assert _left() == {"p-1"}


def test_prune_keeps_connected_attempts(make_attempt):
    make_attempt(patient_id="holds", status="succeeded", created_at=OLD)
    make_attempt(patient_id="lost", status="succeeded", created_at=OLD, lost_at=OLD)
    _prune("--older-than", "6y")
    assert _left() == {"holds"}
    _prune("--older-than", "6y", "--connected-too")
    assert _left() == set()


def test_prune_keeps_the_last_success_alone(make_attempt):
    for number in range(3):
        made = OLD + timedelta(days=number)
        make_attempt(status="succeeded", created_at=made, connection_name=f"time {number}")
    make_attempt(status="succeeded", created_at=OLD, connection_id="b", connection_name="elsewhere")
    _prune("--older-than", "6y")
    left = PatientConnectionAttempt.objects.values_list("connection_name", flat=True)
    assert set(left) == {"time 2", "elsewhere"}


def test_prune_deletes_success_before_a_lost_one(make_attempt):
    make_attempt(status="succeeded", created_at=OLD)
    make_attempt(status="succeeded", created_at=OLD, lost_at=OLD)
    _prune("--older-than", "6y")
    assert _left() == set()


def test_prune_deletes_old_facility_requests(db):
    told_often = MissingFacility.objects.create(text="a", folded="a", last_at=timezone.now())
    FacilityRequest.objects.create(missing=told_often, patient_id="p", created_at=OLD)
    new = FacilityRequest.objects.create(missing=told_often, patient_id="p")
    MissingFacility.objects.create(text="b", folded="b", last_at=OLD)
    _prune("--older-than", "6y")
    assert FacilityRequest.objects.get() == new
    assert MissingFacility.objects.get() == told_often


def test_prune_deletes_old_throttle_counters(db):
    ActionCount.objects.create(key="old", ends_at=OLD)
    ActionCount.objects.create(key="new", ends_at=timezone.now())
    _prune("--older-than", "6y")
    assert [*ActionCount.objects.values_list("key", flat=True)] == ["new"]


def test_prune_deletes_old_deliveries_and_keeps_new_ones(make_attempt):
    old = make_attempt(status="failed", created_at=OLD)
    WebhookDelivery.objects.create(event_id="old", received_at=OLD)
    new = WebhookDelivery.objects.create(event_id="new", attempt=old)
    _prune("--older-than", "6y")
    assert WebhookDelivery.objects.get() == new
    assert WebhookDelivery.objects.get().attempt is None


@pytest.mark.parametrize(
    "age", ["", "6", "y", "0y", "-1y", "6w", "6 y", "1.5y", "9999y", "\u0666y"]
)
def test_prune_refuses_a_malformed_age(db, age):
    with pytest.raises(CommandError):
        _prune("--older-than", age)


def test_prune_refuses_a_keyword_without_unit(db):
    with pytest.raises(CommandError):
        _prune(older_than=6)


@pytest.mark.parametrize("size", ["0", "-1", "x", "1000000"])
def test_prune_refuses_a_batch_size_out_of_range(db, size):
    with pytest.raises(CommandError):
        _prune("--older-than", "6y", "--batch-size", size)
    with pytest.raises(CommandError):
        _prune(batch_size=size)


def test_prune_age_in_months_ends_on_a_day_that_exists(monkeypatch):
    day = timezone.now().replace(year=2026, month=3, day=31)
    monkeypatch.setattr(timezone, "now", lambda: day)
    assert (_read_cutoff("1m").month, _read_cutoff("1m").day) == (2, 28)
    assert (_read_cutoff("2y").year, _read_cutoff("2y").month) == (2024, 3)
    assert _read_cutoff("90d") == day - timedelta(days=90)
