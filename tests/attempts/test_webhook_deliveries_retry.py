"""Retries of deliveries: at what intervals, and in nobody's way."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connections
from django.utils import timezone

from medblocks_connect.attempts import webhook_deliveries
from medblocks_connect.attempts.reconcile import reconcile_attempts
from medblocks_connect.attempts.webhook_deliveries import MAX_TRIES
from medblocks_connect.models import WebhookDelivery
from tests.attempts.conftest import (
    ACTIVE,
    answer_list,
    session_json,
    store_delivery,
)


class WrittenError(Exception):
    """Another connection could write while the run was at its deliveries."""


@pytest.mark.django_db(transaction=True)
def test_retry_of_many_deliveries_locks_nobody_out(db):
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


def test_retry_that_breaks_stops_no_other(make_attempt, breaks_once, caplog):
    make_attempt(settled_at=timezone.now())
    for number in (1, 2):
        store_delivery(f"ps_{number}", session_json(**ACTIVE), state="failed")
    breaks_once(webhook_deliveries, "read_effect")
    done = reconcile_attempts(limit=10)
    assert (done.deliveries, done.failed_deliveries) == (1, 1)
    broken = WebhookDelivery.objects.get(state="failed")
    assert (broken.failure, broken.tries) == ("RuntimeError", 1)
    assert "ann@mail.example" not in caplog.text


@pytest.mark.parametrize(
    ("tries", "minutes", "is_due"),
    [
        pytest.param(1, 0, True, id="once-more-at-once"),
        pytest.param(2, 3, False, id="not-yet"),
        pytest.param(2, 5, True, id="after-4-minutes"),
        pytest.param(10, 16 * 60, False, id="not-within-17-hours"),
        pytest.param(10, 18 * 60, True, id="after-17-hours"),
        pytest.param(MAX_TRIES, 365 * 24 * 60, False, id="never-again"),
    ],
)
def test_retry_backs_off_from_a_failing_delivery(db, tries, minutes, is_due):
    received_at = timezone.now() - timedelta(minutes=minutes)
    about = {"id": "ps_1", "connections": "none"}
    store_delivery("ps_1", about, state="failed", tries=tries, received_at=received_at)
    assert reconcile_attempts(limit=10).failed_deliveries == is_due


@pytest.mark.parametrize(
    "end",
    [pytest.param(ACTIVE, id="connected"), pytest.param({"status": "complete"}, id="nothing")],
)
def test_retry_after_an_adoption_processes_waiting_deliveries(medblocks, make_old, end):
    """Its second run must find nothing left to do."""
    attempt = make_old(patient_session_id=None, status="created")
    ours = session_json(id="ps_ours", metadata={"attempt": attempt.public_id}, **end)
    answer_list(medblocks, [ours])
    waiting = store_delivery("ps_ours", ours)
    reconcile_attempts(limit=10)
    waiting.refresh_from_db()
    assert (waiting.state, waiting.attempt) == ("processed", attempt)
    assert reconcile_attempts(limit=10).deliveries == 0
