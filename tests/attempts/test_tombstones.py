"""Events after an erasure: those about what was erased are dropped, those of a new start count."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest
from django.utils import timezone

from medblocks_connect import erasure
from medblocks_connect.api import sign
from medblocks_connect.attempts import webhook_deliveries
from medblocks_connect.attempts.webhook_deliveries import receive_delivery
from medblocks_connect.models import PatientConnectionAttempt, WebhookDelivery
from tests.attempts.conftest import break_reading
from tests.connected import create_attempt
from tests.erased import (
    allow_erasure,
    count_left,
    event,
    fill,
    loss_event,
    records_event,
    session_event,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def erased(medblocks):
    """A patient of whom much was kept, and who was erased a moment ago."""
    fill("p-1")
    allow_erasure(medblocks)
    erasure.erase_patient("p-1")


def restart(**columns) -> PatientConnectionAttempt:
    fields = {"connection_id": "fhirsrc_riverside", "patient_session_id": "ps_new", **columns}
    return create_attempt(**{"patient_id": "p-1", "status": "started", **fields})


ABOUT_ERASED = {
    "session": lambda: session_event("p-1"),
    "known session": lambda: session_event("p-1", "ps_1"),
    "session that names nobody": lambda: session_event(None, "ps_1"),
    "records": lambda: records_event("p-1"),
    "link": loss_event,
    "unknown type": lambda: event("patient.moved", {"patient_id": "p-1"}),
    "patient": lambda: event("patient.deleted", {"id": "p-1", "resource_type": "patient"}),
    "named deeper": lambda: event("records.new", {"records": [{"patient_id": "p-1"}]}),
}


@pytest.mark.parametrize("name", ABOUT_ERASED)
def test_event_about_an_erased_patient_is_dropped(erased, name):
    receive_delivery(ABOUT_ERASED[name]())()
    assert not WebhookDelivery.objects.exists()


@pytest.mark.parametrize("name", ABOUT_ERASED)
def test_event_that_breaks_about_an_erased_patient_is_dropped(erased, name, monkeypatch):
    monkeypatch.setattr(webhook_deliveries, "read_effect", break_reading)
    receive_delivery(ABOUT_ERASED[name]())()
    assert not WebhookDelivery.objects.exists()


@pytest.mark.parametrize(
    "about",
    [
        session_event("p-2"),
        records_event("p-2"),
        loss_event("conn_2"),
        event("clinic.moved", {"metadata": {"patient_id": "p-1"}}),
        event("clinic.moved", {"clinic": "p-1"}),
    ],
    ids=["session", "records", "link", "metadata", "other field"],
)
def test_event_about_somebody_else_is_stored(erased, about):
    about.received_at = timezone.now()
    receive_delivery(about)
    assert WebhookDelivery.objects.exists()


@pytest.mark.parametrize("times", [1, 2])
def test_webhook_after_the_erasure_is_200_and_stores_nothing(erased, client, settings, times):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "WEBHOOK_SECRETS": ["whsec_x"]}
    body = b'{"id":"evt_1","type":"records.sync.failed","data":{"object":{"patient_id":"p-1"}}}'
    for _ in range(times):
        response = client.post(
            "/records/webhook/",
            body,
            content_type="application/json",
            headers={"Medblocks-Signature": sign(body, "whsec_x", int(time.time()))},
        )
        assert response.status_code == 200
    assert not WebhookDelivery.objects.exists()


def test_session_of_a_new_start_is_settled(erased):
    attempt = restart()
    receive_delivery(session_event("p-1", "ps_new"))
    attempt.refresh_from_db()
    assert attempt.status == "succeeded"


def test_session_of_a_new_start_counts_whatever_medblocks_clock_says(erased):
    attempt = restart()
    long_ago = timezone.now() - timedelta(days=1)
    receive_delivery(session_event("p-1", "ps_new", created_at=long_ago))
    attempt.refresh_from_db()
    assert attempt.status == "succeeded"


def test_session_whose_start_is_not_answered_yet_waits(erased):
    restart(patient_session_id=None)
    receive_delivery(session_event("p-1", "ps_new"))
    assert WebhookDelivery.objects.get().state == "received"


def test_records_of_a_new_connection_count(erased):
    restart(status="succeeded", patient_connection_id="conn_new")
    receive_delivery(records_event("p-1"))
    assert WebhookDelivery.objects.get().state == "processed"


def test_loss_of_a_new_connection_counts(erased):
    attempt = restart(status="succeeded", patient_connection_id="conn_new")
    receive_delivery(loss_event("conn_new"))
    attempt.refresh_from_db()
    assert attempt.lost_at is not None


@pytest.mark.parametrize("about", [session_event, records_event])
def test_event_from_before_the_erasure_is_dropped_after_a_new_start(erased, about):
    restart(status="succeeded")
    receive_delivery(about("p-1", created_at=timezone.now() - timedelta(minutes=5)))
    assert not WebhookDelivery.objects.exists()


def test_event_of_an_erased_link_is_dropped_after_a_new_start(erased):
    restart()
    receive_delivery(loss_event("conn_1"))
    assert not WebhookDelivery.objects.exists()


def test_event_in_another_workspace_is_stored(erased, settings):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "WORKSPACE": "elsewhere"}
    receive_delivery(records_event("p-1"))
    assert WebhookDelivery.objects.exists()


@pytest.mark.parametrize("is_kept", [True, False])
def test_event_after_the_key_was_replaced(erased, settings, is_kept):
    """The old one among the fallbacks, the tombstone holds; without it nobody finds it."""
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY] if is_kept else []
    settings.SECRET_KEY = "new"
    receive_delivery(records_event("p-1"))
    assert WebhookDelivery.objects.exists() != is_kept


@pytest.mark.parametrize(
    "about",
    [lambda: session_event("p-1", "ps_1", 9), lambda: records_event("p-1", 9)],
    ids=["session", "records"],
)
def test_event_in_the_moment_of_the_erasure_is_dropped(medblocks, monkeypatch, about):
    """It was read before, and is to be written after."""
    fill("p-1")
    allow_erasure(medblocks)
    plan = webhook_deliveries.plan_change

    def erase_and_plan(*args):
        monkeypatch.setattr(webhook_deliveries, "plan_change", plan)
        change = plan(*args)
        erasure.erase_patient("p-1")
        return change

    monkeypatch.setattr(webhook_deliveries, "plan_change", erase_and_plan)
    receive_delivery(about())()
    assert count_left() == {}
