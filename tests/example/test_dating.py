"""The demo's attempts are dated back over a month, and keep their outcomes and their order."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from medblocks_connect.models import PatientConnectionAttempt

EXAMPLE = Path(__file__).resolve().parents[2] / "example_project"
NOW = timezone.now()


@pytest.fixture
def date_back(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLE))
    for name in [module for module in sys.modules if module.split(".")[0] == "riverbend"]:
        monkeypatch.delitem(sys.modules, name)
    from riverbend.demo.dating import date_back

    return date_back


@pytest.fixture
def make(db):
    def make_one(status: str, **fields) -> PatientConnectionAttempt:
        number = PatientConnectionAttempt.objects.count()
        defaults = {"created_at": NOW, "patient_session_id": f"ps_{number}", "patient_id": "p"}
        return PatientConnectionAttempt.objects.create(status=status, **{**defaults, **fields})

    return make_one


def _keys() -> list[int]:
    return list(PatientConnectionAttempt.objects.values_list("pk", flat=True))


def test_ended_attempts_are_spread_over_the_month_in_order(date_back, make):
    back = NOW + timedelta(seconds=1)
    made = [make("failed", returned_at=back, finished_at=back) for _ in range(10)]
    assert date_back(_keys(), NOW) == 10
    rows = list(PatientConnectionAttempt.objects.order_by("pk"))
    moments = [attempt.created_at for attempt in rows]
    assert moments == sorted(moments)
    assert moments[0] > NOW - timedelta(days=31)
    assert NOW - moments[0] > timedelta(days=20)
    assert moments[-1] < NOW
    assert [attempt.status for attempt in rows] == [attempt.status for attempt in made]


def test_ended_attempt_takes_minutes(date_back, make):
    make("failed", returned_at=NOW + timedelta(seconds=1))
    date_back(_keys(), NOW)
    attempt = PatientConnectionAttempt.objects.get()
    assert attempt.returned_at - attempt.created_at == timedelta(minutes=2)


def test_ongoing_attempts_keep_their_time(date_back, make):
    make("started")
    make("returned")
    assert date_back(_keys(), NOW) == 0
    assert {attempt.created_at for attempt in PatientConnectionAttempt.objects.all()} == {NOW}


def test_timeline_moves_with_its_attempt(date_back, make):
    attempt = make("succeeded", returned_at=NOW + timedelta(seconds=1), lost_at=NOW)
    for kind in ("created", "lost"):
        attempt.events.create(
            source="site", kind=kind, status="created", fingerprint=kind, created_at=NOW
        )
    date_back(_keys(), NOW)
    attempt.refresh_from_db()
    assert attempt.lost_at - attempt.created_at == timedelta(days=6)
    moments = {event.kind: event.created_at for event in attempt.events.all()}
    assert moments == {"created": attempt.created_at, "lost": attempt.lost_at}


def test_attempts_of_other_runs_keep_their_time(date_back, make):
    make("failed")
    ours = make("failed")
    assert date_back([ours.pk], NOW) == 1
    assert PatientConnectionAttempt.objects.filter(created_at=NOW).count() == 1
