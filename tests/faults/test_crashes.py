"""Case 47: killed between any two steps, and every attempt still ends as Medblocks knows it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from medblocks_connect import signals
from medblocks_connect.attempts.reconcile import reconcile_attempts
from medblocks_connect.conf import DEFAULTS
from medblocks_connect.models import (
    AttemptEvent,
    PatientConnectionAttempt,
    PendingSignal,
    WebhookDelivery,
)
from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.models import SandboxEvent, SandboxSession
from tests.faults.events import SECRET, completed, post_event
from tests.faults.processes import finish, start_process

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def crashed(site, user, settings):
    """Do a deed again and again in processes that are killed one step later each time."""
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "WEBHOOK_SECRETS": [SECRET],
        "THROTTLES": dict.fromkeys(DEFAULTS["THROTTLES"]),
    }

    def crash(deed: str, **job: object) -> int:
        killed = finish(start_process(deed=deed, **(job or {"user": user.pk})))
        let_time_pass()
        return killed

    return crash


def let_time_pass() -> None:
    before = timezone.now() - timedelta(hours=3)
    PatientConnectionAttempt.objects.update(created_at=before)
    PatientConnectionAttempt.objects.exclude(leased_until=None).update(leased_until=before)
    PendingSignal.objects.update(due_at=before)


def history() -> list[object]:
    models = (PatientConnectionAttempt, AttemptEvent, WebhookDelivery, PendingSignal)
    return [list(model.objects.order_by("pk").values()) for model in models]


def assert_second_run_changes_nothing() -> None:
    before = history()
    second = reconcile_attempts(limit=1000)
    assert (second.asked, second.deliveries, second.adopted, second.signals) == (0, 0, 0, 0)
    assert history() == before


def session_ids() -> dict[str, str]:
    """Return Medblocks' session of each attempt, by the attempt's public id."""
    sessions = SandboxSession.objects.all()
    return {each.metadata["attempt"]: each.session_id for each in sessions}


def test_crash_case_47_during_start_ends_as_medblocks_says(crashed):
    killed = crashed("start")
    assert killed >= 10
    for session in SandboxSession.objects.all():
        flows.approve(session)
    reconcile_attempts(limit=1000)
    attempts = PatientConnectionAttempt.objects.all()
    ended = {each.public_id: (each.status, each.patient_session_id) for each in attempts}
    sessions = session_ids()
    assert set(sessions) <= set(ended)
    assert ended == {
        public_id: ("succeeded", sessions[public_id])
        if public_id in sessions
        else ("expired", None)
        for public_id in ended
    }
    assert {status for status, _ in ended.values()} == {"succeeded", "expired"}
    assert_second_run_changes_nothing()


@pytest.mark.parametrize(
    "deed",
    [pytest.param("return", id="case-47-return"), pytest.param("webhook", id="case-47-webhook")],
)
def test_crash_after_the_start_ends_as_medblocks_says(crashed, deed):
    killed = crashed(deed)
    assert killed >= 8
    reconcile_attempts(limit=1000)
    attempts = PatientConnectionAttempt.objects.all()
    ended = {each.public_id: (each.status, each.patient_session_id) for each in attempts}
    assert ended == {
        public_id: ("succeeded", session_id) for public_id, session_id in session_ids().items()
    }
    assert len(ended) == killed + 1
    assert_second_run_changes_nothing()


def test_crash_case_47_during_webhook_then_redelivery_has_one_effect(crashed, client):
    """Medblocks sends again what was not answered: still one effect for each."""
    killed = crashed("webhook")
    for session in SandboxSession.objects.all():
        event = completed(session, f"evt_{session.session_id}")
        assert post_event(client, event).status_code == 200
    assert WebhookDelivery.objects.filter(state="processed").count() == killed + 1
    events = AttemptEvent.objects.filter(kind="connected", source="webhook")
    assert events.values("attempt").distinct().count() == events.count() == killed + 1
    assert SandboxEvent.objects.count() == killed + 1


@pytest.fixture
def heard_later() -> Iterator[list[tuple[str, str]]]:
    """Collect the signals that this process sends: their names, and the attempts' public ids."""
    heard: list[tuple[str, str]] = []
    receivers = []
    for name in ("attempt_started", "attempt_succeeded", "connection_lost"):

        def receive(attempt, name=name, **kwargs):
            heard.append((name, attempt.public_id))

        receivers.append((getattr(signals, name), receive))
        getattr(signals, name).connect(receive)
    yield heard
    for signal, receive in receivers:
        signal.disconnect(receive)


def read_heard(path: Path) -> set[tuple[str, str]]:
    return {tuple(line.split()) for line in path.read_text().splitlines()}


CHANGED = {
    "attempt_started": {"patient_session_id__isnull": False},
    "attempt_succeeded": {"status": "succeeded"},
    "connection_lost": {"lost_at__isnull": False},
}
"""The attempts of which each signal tells, by its name."""


@pytest.mark.parametrize(
    ("deed", "name"),
    [
        pytest.param("start", "attempt_started", id="case-47-start"),
        pytest.param("return", "attempt_succeeded", id="case-47-return"),
        pytest.param("webhook", "attempt_succeeded", id="case-47-webhook"),
        pytest.param("reconcile", "attempt_succeeded", id="case-47-reconcile"),
        pytest.param("disconnect", "connection_lost", id="case-47-disconnect"),
        pytest.param("page", "connection_lost", id="case-47-page"),
    ],
)
def test_crash_before_a_receiver_was_through_sends_again(
    crashed, deed, name, heard_later, tmp_path
):
    """Killed at any step from the signal's row on, as between the commit and the receiver."""
    path = tmp_path / "heard"
    assert crashed(deed, heard=str(path)) >= 5
    pending = set(PendingSignal.objects.values_list("name", "attempt__public_id"))
    assert pending - read_heard(path), "nobody was killed between the commit and the receiver"
    if deed == "start":
        for session in SandboxSession.objects.all():
            flows.approve(session)
    reconcile_attempts(limit=1000)
    assert pending <= set(heard_later)
    changed = PatientConnectionAttempt.objects.filter(**CHANGED[name])
    told = {each for each in read_heard(path) | set(heard_later) if each[0] == name}
    assert told == {(name, each.public_id) for each in changed}
    heard_later.clear()
    assert_second_run_changes_nothing()
    assert (heard_later, PendingSignal.objects.count()) == ([], 0)
