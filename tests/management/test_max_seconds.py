"""The option ``--max-seconds``: after so many seconds nothing new is begun, and nothing is held."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from medblocks_connect import signals
from medblocks_connect.api import clock
from medblocks_connect.models import PatientConnectionAttempt, PendingSignal
from tests.attempts.conftest import answer

pytestmark = pytest.mark.django_db

COMMANDS = ("medblocks_reconcile", "medblocks_send_signals", "medblocks_prune")


@pytest.fixture
def seconds(monkeypatch):
    """A clock that goes on by a second whenever it is looked at."""
    moment = [0.0]

    def look():
        moment[0] += 1
        return moment[0]

    monkeypatch.setattr(clock, "monotonic", look)
    return moment


def run(command, **options):
    said = io.StringIO()
    call_command(command, stdout=said, **options)
    return said.getvalue()


def test_reconcile_whose_time_is_over_leaves_the_rest(make_old, medblocks, seconds):
    for number in range(1, 6):
        answer(medblocks, number, status="expired")
        make_old(number)
    said = run("medblocks_reconcile", max_seconds=20)
    assert "The time is over" in said
    attempts = PatientConnectionAttempt.objects
    assert 0 < attempts.filter(status="expired").count() < 5
    assert not attempts.exclude(leased_until=None).exists()


def test_reconcile_that_has_time_does_all(make_old, medblocks):
    answer(medblocks, status="expired")
    make_old()
    assert "The time is over" not in run("medblocks_reconcile", max_seconds="600")


def test_send_signals_whose_time_is_over_leaves_the_rest(make_attempt, owe, seconds):
    attempt = make_attempt()
    for _number in range(5):
        owe(attempt)
    signals.attempt_succeeded.connect(lambda **_kwargs: None, weak=False, dispatch_uid="told")
    run("medblocks_send_signals", max_seconds=3)
    signals.attempt_succeeded.disconnect(dispatch_uid="told")
    assert 0 < PendingSignal.objects.count() < 5


def test_prune_whose_time_is_over_leaves_the_rest(make_attempt, seconds):
    old = timezone.now() - timedelta(days=3000)
    for number in range(5):
        make_attempt(patient_session_id=f"ps_{number}", status="failed", created_at=old)
    said = run("medblocks_prune", older_than="6y", batch_size=1, max_seconds=3)
    assert "The time is over" in said
    assert 0 < PatientConnectionAttempt.objects.count() < 5


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("given", ["0", "-1", "soon", "nan", "inf"])
def test_time_that_is_none_is_refused(command, given):
    options = {"older_than": "6y"} if command == "medblocks_prune" else {}
    with pytest.raises(CommandError, match="--max-seconds"):
        run(command, max_seconds=given, **options)
