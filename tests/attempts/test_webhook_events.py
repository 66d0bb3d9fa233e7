"""Events as evidence: losses of a connection and syncs of records."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from medblocks_connect.attempts.webhook_deliveries import (
    process_delivery,
)
from medblocks_connect.models import PatientConnectionAttempt
from tests.attempts.conftest import FACILITY


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ({"total": 128, "errors": 0}, {"total": 128, "errors": 0}),
        ({"total": -1, "errors": "3"}, {"total": None, "errors": None}),
        ({"total": 10**30}, {"total": None, "errors": None}),
        ({"total": True, "errors": 0.0}, {"total": None, "errors": 0}),
        ({"total": float("nan"), "errors": 1e3}, {"total": None, "errors": 1000}),
    ],
)
def test_records_synced_carries_valid_counts_alone(
    make_delivery, make_attempt, counts, about, expected
):
    """Case 65."""
    make_attempt(status="succeeded")
    about = {"patient_id": "p-1", "connection_id": FACILITY, **about}
    process_delivery(make_delivery(about, event_type="records.sync.completed"))
    assert counts == [expected]


def test_records_sync_failed_is_on_the_timeline_alone(make_delivery, make_attempt):
    attempt = make_attempt(status="succeeded")
    about = {"patient_id": "p-1", "connection_id": FACILITY, "error_message": "a\x00b\u202e" * 400}
    process_delivery(make_delivery(about, event_type="records.sync.failed"))
    event = attempt.events.get()
    assert (event.kind, len(event.detail)) == ("records_sync_failed", 200)
    attempt.refresh_from_db()
    assert (attempt.status, attempt.error) == ("succeeded", "")


def test_loss_of_an_unknown_status_is_refresh_failed(make_delivery, make_attempt):
    attempt = make_attempt(status="succeeded", patient_connection_id="conn_1")
    attempt.connection_status = "active"
    attempt.save()
    about = {"id": "conn_1", "status": "invented", "failure_at": "soon"}
    process_delivery(
        make_delivery(
            about, event_type="connection.token_refresh_failed", patient_connection_id="conn_1"
        )
    )
    attempt.refresh_from_db()
    assert (attempt.status, attempt.connection_status) == ("succeeded", "refresh_failed")
    assert attempt.lost_at is not None


@pytest.mark.parametrize(
    ("occurred_at", "statuses"),
    [
        pytest.param(timezone.now() - timedelta(days=2), ["active", "refresh_failed"], id="before"),
        pytest.param(None, ["refresh_failed", "refresh_failed"], id="nobody-knows"),
    ],
)
def test_loss_without_a_time_ends_attempts_before_the_event(
    make_delivery, make_attempt, occurred_at, statuses
):
    """The event's own time then says which of the attempts that share the connection it means."""
    held = {"status": "succeeded", "patient_connection_id": "conn_1", "connection_status": "active"}
    make_attempt(created_at=timezone.now() - timedelta(days=9), **held)
    make_attempt(patient_session_id="ps_2", **held)
    process_delivery(
        make_delivery(
            {"id": "conn_1", "status": "refresh_failed", "failure_at": None},
            event_type="connection.token_refresh_failed",
            patient_connection_id="conn_1",
            occurred_at=occurred_at,
        )
    )
    newest_first = PatientConnectionAttempt.objects.values_list("connection_status", flat=True)
    assert list(newest_first) == statuses


def test_loss_without_a_connection_is_failed(make_delivery):
    delivery = make_delivery({"status": "expired"}, event_type="connection.token_refresh_failed")
    process_delivery(delivery)
    assert (delivery.state, delivery.failure) == ("failed", "The event names no connection.")
