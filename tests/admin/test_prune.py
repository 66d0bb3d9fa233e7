"""Retention: nothing goes unless asked, then what is old enough, in batches."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from medblocks_connect.management.commands.medblocks_prune import _cutoff
from medblocks_connect.models import AttemptEvent, PatientConnectionAttempt, WebhookDelivery

OLD = timezone.now() - timedelta(days=7 * 366)


def _prune(*options: str) -> str:
    told = io.StringIO()
    call_command("medblocks_prune", *options, stdout=told)
    return told.getvalue()


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


def test_prune_in_batches_with_progress(make_attempt):
    for _ in range(5):
        make_attempt(created_at=OLD)
    told = _prune("--older-than", "6y", "--batch-size", "2")
    assert "2 attempts deleted so far" in told
    assert "  5 attempts deleted\n" in told
    assert _left() == set()


def test_prune_dry_run_counts_and_deletes_nothing(make_attempt):
    make_attempt(created_at=OLD)
    assert "1 attempts would be deleted" in _prune("--older-than", "6y", "--dry-run")
    assert _left() == {"p-1"}


def test_prune_keeps_who_is_connected_now(make_attempt):
    make_attempt(patient_id="holds", status="succeeded", created_at=OLD)
    make_attempt(patient_id="lost", status="succeeded", created_at=OLD, lost_at=OLD)
    _prune("--older-than", "6y")
    assert _left() == {"holds"}
    _prune("--older-than", "6y", "--connected-too")
    assert _left() == set()


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
def test_prune_refuses_an_age_that_is_none(db, age):
    with pytest.raises(CommandError):
        _prune("--older-than", age)


@pytest.mark.parametrize("size", ["0", "-1", "x", "1000000"])
def test_prune_refuses_a_senseless_batch(db, size):
    with pytest.raises(CommandError):
        _prune("--older-than", "6y", "--batch-size", size)


def test_prune_age_in_months_ends_on_a_day_that_exists(monkeypatch):
    day = timezone.now().replace(year=2026, month=3, day=31)
    monkeypatch.setattr(timezone, "now", lambda: day)
    assert (_cutoff("1m").month, _cutoff("1m").day) == (2, 28)
    assert (_cutoff("2y").year, _cutoff("2y").month) == (2024, 3)
    assert _cutoff("90d") == day - timedelta(days=90)
