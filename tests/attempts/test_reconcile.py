"""Reconciliation: who is asked about, who is left alone, and what one run tells cron."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
import responses
from django.core.management import call_command
from django.db import connections
from django.utils import timezone

from medblocks_connect.attempts.reconcile import reconcile_attempts
from medblocks_connect.models import PatientConnectionAttempt, WebhookDelivery
from tests.attempts.conftest import BASE_URL, FACILITY, connection_json, session_json

ACTIVE = {"status": "complete", "connections": [connection_json()]}


def long_ago() -> object:
    return timezone.now() - timedelta(hours=2)


@pytest.fixture
def make_old(make_attempt):
    """Make an attempt that no request has in hand any more."""

    def make(number: int = 1, **changes):
        fields = {"patient_session_id": f"ps_{number}", "created_at": long_ago(), **changes}
        return make_attempt(**fields)

    return make


def answer(medblocks, number: int = 1, **changes):
    """Let Medblocks know the session ``ps_<number>``."""
    return medblocks.get(
        f"{BASE_URL}/patient-sessions/ps_{number}", json=session_json(id=f"ps_{number}", **changes)
    )


def answer_list(medblocks, sessions, **page):
    whole = {"resource_type": "list", "data": sessions, "has_more": False, "next_cursor": None}
    medblocks.get(f"{BASE_URL}/patients/p-1/patient-sessions", json={**whole, **page})


def asked(medblocks) -> int:
    return len(medblocks.calls)


def test_reconcile_settles(medblocks, make_old):
    attempt = make_old()
    answer(medblocks, **ACTIVE)
    done = reconcile_attempts(limit=10)
    attempt.refresh_from_db()
    assert (attempt.status, attempt.patient_connection_id) == ("succeeded", "conn_1")
    assert (dict(done.statuses), done.asked, done.stopped) == ({"succeeded": 1}, 1, "")


def test_reconcile_second_run_asks_nothing(medblocks, make_old):
    for number, changes in enumerate(
        [ACTIVE, {"status": "complete"}, {"status": "expired"}], start=1
    ):
        make_old(number)
        answer(medblocks, number, **changes)
    reconcile_attempts(limit=10)
    before = list(PatientConnectionAttempt.objects.values())
    medblocks.reset()
    assert reconcile_attempts(limit=10).asked == 0
    assert (asked(medblocks), list(PatientConnectionAttempt.objects.values())) == (0, before)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"created_at": timezone.now() + timedelta(days=1)}, id="still-in-hand"),
        pytest.param(
            {"claimed_until": timezone.now() + timedelta(days=1)}, id="claimed-by-another-machine"
        ),
        pytest.param({"settled_at": timezone.now(), "status": "failed"}, id="settled"),
        pytest.param({"status": "failed", "unconfirmed": False}, id="confirmed"),
    ],
)
def test_reconcile_leaves_alone(medblocks, make_old, changes):
    make_old(**changes)
    assert reconcile_attempts(limit=10).asked == 0


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"status": "returned", "unconfirmed": True}, id="returned"),
        pytest.param(
            {"status": "failed", "unconfirmed": True, "error": "user_denied"}, id="claimed-failure"
        ),
        pytest.param({"claimed_until": long_ago()}, id="claimed-by-a-machine-that-died"),
    ],
)
def test_reconcile_asks_about(medblocks, make_old, changes):
    attempt = make_old(**changes)
    answer(medblocks, **ACTIVE)
    reconcile_attempts(limit=10)
    attempt.refresh_from_db()
    assert (attempt.status, attempt.claimed_until) == ("succeeded", None)


def test_reconcile_adopts_from_a_later_page(medblocks, make_old):
    attempt = make_old(patient_session_id=None, status="created")
    stranger = session_json(id="ps_other", metadata={"attempt": "another"})
    answer_list(medblocks, [stranger], has_more=True, next_cursor="next")
    ours = session_json(id="ps_ours", metadata={"attempt": attempt.public_id}, **ACTIVE)
    answer_list(medblocks, [ours])
    assert reconcile_attempts(limit=10).adopted == 1
    attempt.refresh_from_db()
    assert (attempt.patient_session_id, attempt.status) == ("ps_ours", "succeeded")
    assert list(attempt.events.values_list("kind", flat=True)) == ["adopted", "connected"]


@pytest.mark.parametrize(
    ("minutes", "status"),
    [pytest.param(60, "expired", id="lapsed"), pytest.param(5, "created", id="not-yet")],
)
def test_reconcile_created_row_without_session(medblocks, make_old, minutes, status):
    created_at = timezone.now() - timedelta(minutes=minutes)
    attempt = make_old(patient_session_id=None, status="created", created_at=created_at)
    answer_list(medblocks, [])
    reconcile_attempts(limit=10)
    attempt.refresh_from_db()
    assert attempt.status == status


def test_reconcile_session_that_medblocks_forgot(medblocks, make_old):
    attempt = make_old()
    medblocks.get(f"{BASE_URL}/patient-sessions/ps_1", status=404)
    reconcile_attempts(limit=10)
    attempt.refresh_from_db()
    assert attempt.status == "expired"


def test_reconcile_adoption_gives_waiting_deliveries_their_effect(medblocks, make_old):
    """Its second run must find nothing left to do."""
    attempt = make_old(patient_session_id=None, status="created")
    ours = session_json(id="ps_ours", metadata={"attempt": attempt.public_id}, **ACTIVE)
    answer_list(medblocks, [ours])
    waiting = make_delivery("ps_ours", ours)
    reconcile_attempts(limit=10)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.attempt) == ("processed", attempt)
    assert reconcile_attempts(limit=10).deliveries == 0


def make_delivery(session_id: str, about: object, **changes) -> WebhookDelivery:
    fields = {
        "event_id": f"evt_{session_id}",
        "event_type": "patient_session.completed",
        "payload": json.dumps({"data": {"object": about}}),
        "patient_session_id": session_id,
        **changes,
    }
    return WebhookDelivery.objects.create(**fields)


class WrittenError(Exception):
    """Another connection could write while the run was at its deliveries."""


@pytest.mark.django_db(transaction=True)
def test_reconcile_many_deliveries_lock_nobody_out(db):
    """An open cursor over them would keep every other writer out of SQLite meanwhile."""
    failed = {"event_type": "patient_session.completed", "payload": "{}", "state": "failed"}
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery(event_id=f"evt_{number}", **failed) for number in range(150)
    )

    def write_elsewhere(execute, sql, params, many, context):
        if not sql.startswith("UPDATE"):
            return execute(sql, params, many, context)
        other = connections.create_connection("default")
        if other.vendor == "sqlite":
            other.settings_dict = {**other.settings_dict, "OPTIONS": {"timeout": 0.2}}
        try:
            with other.cursor() as cursor:
                cursor.execute("UPDATE medblocks_connect_webhookdelivery SET tries = tries + 5")
        finally:
            other.close()
        raise WrittenError

    with connections["default"].execute_wrapper(write_elsewhere), pytest.raises(WrittenError):
        reconcile_attempts(limit=1000)
    assert not WebhookDelivery.objects.filter(tries=0).exists()


def test_reconcile_stops_when_limited(medblocks, make_old):
    for number in range(5):
        make_old(number)
    medblocks.add(responses.GET, f"{BASE_URL}/patient-sessions/ps_0", status=429)
    done = reconcile_attempts(limit=10)
    assert (done.stopped, done.unanswered, done.asked) == ("rate_limited", 1, 1)
    assert not PatientConnectionAttempt.objects.exclude(claimed_until=None).exists()


def test_reconcile_stops_when_away(medblocks, make_old):
    for number in range(5):
        make_old(number)
        medblocks.add(responses.GET, f"{BASE_URL}/patient-sessions/ps_{number}", status=503)
    done = reconcile_attempts(limit=10)
    assert (done.stopped, done.unanswered) == ("away", 3)


def test_reconcile_goes_on_after_an_odd_answer(medblocks, make_old):
    for number in range(4):
        make_old(number)
        answer(medblocks, number, **ACTIVE) if number % 2 else medblocks.get(
            f"{BASE_URL}/patient-sessions/ps_{number}", body="<html>"
        )
    done = reconcile_attempts(limit=10)
    assert (done.statuses["succeeded"], done.unanswered, done.stopped) == (2, 2, "")


def test_reconcile_odd_answers_keep_nobody_waiting_for_ever(medblocks, make_old):
    """Those that could not be asked about go to the end of the next run's line."""
    for number in range(4):
        make_old(number)
        medblocks.get(f"{BASE_URL}/patient-sessions/ps_{number}", body="<html>")
    last = make_old(9)
    answer(medblocks, 9, **ACTIVE)
    reconcile_attempts(limit=10)
    assert not PatientConnectionAttempt.objects.exclude(claimed_until=None).exists()
    reconcile_attempts(limit=10)
    last.refresh_from_db()
    assert last.status == "succeeded"


def test_reconcile_is_bounded(medblocks, make_old):
    for number in range(30):
        make_old(number)
        answer(medblocks, number)
    assert reconcile_attempts(limit=25).asked == 25
    assert reconcile_attempts(limit=5).asked == 5


def run(**options) -> tuple[str, int]:
    out = io.StringIO()
    try:
        call_command("medblocks_reconcile", stdout=out, **options)
    except SystemExit as end:
        return out.getvalue(), int(end.code or 0)
    return out.getvalue(), 0


def test_command_one_line(medblocks, make_old):
    make_old(1)
    make_old(2)
    answer(medblocks, 1, **ACTIVE)
    answer(medblocks, 2)
    told, code = run()
    assert told == "medblocks_reconcile: 2 asked (1 At the portal, 1 Connected).\n"
    assert code == 0


def test_command_nothing_to_do(db):
    assert run() == ("medblocks_reconcile: 0 asked.\n", 0)
    assert run(verbosity=0) == ("", 0)


def test_command_exit_code_when_limited(medblocks, make_old):
    make_old()
    medblocks.get(f"{BASE_URL}/patient-sessions/ps_1", status=429)
    told, code = run()
    assert "asked us to slow down" in told
    assert told.count("\n") == 1
    assert code == 1


def test_command_progress_on_a_terminal(medblocks, make_old):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for number in range(3):
        make_old(number)
        answer(medblocks, number, **ACTIVE)
    terminal = Terminal()
    run(stderr=terminal, no_color=True)
    assert "3 of 3" in terminal.getvalue()


def test_reconcile_names_the_facility_by_its_id(medblocks, make_old):
    """A connection of another facility in the same session settles nothing."""
    attempt = make_old(connection_id=FACILITY)
    other = connection_json(connection_id="fhirsrc_elsewhere")
    answer(medblocks, status="complete", connections=[other])
    reconcile_attempts(limit=10)
    attempt.refresh_from_db()
    assert (attempt.status, attempt.error) == ("failed", "not_connected")
