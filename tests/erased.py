"""A patient of whom everything is kept that can be, and the search for what is left of them."""

from __future__ import annotations

import json
from datetime import timedelta

from django.apps import apps
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.utils import timezone
from django.utils.http import urlencode

from medblocks_connect.attempts.action_counts import count_action
from medblocks_connect.attempts.webhook_deliveries import receive_delivery
from medblocks_connect.attempts.webhook_events import read_delivery
from medblocks_connect.models import (
    AttemptEvent,
    FacilityRequest,
    MissingFacility,
    PatientConnectionAttempt,
    PatientHistory,
    PendingSignal,
    WebhookDelivery,
)
from tests.attempts.conftest import BASE_URL, FACILITY, connection_json, session_json
from tests.connected import create_attempt

NOT_FOUND = {"error": {"type": "not_found_error", "code": "resource_not_found"}}


def event(kind, about, number=1, created_at=None) -> WebhookDelivery:
    """Return an event as the webhook's view reads it; it happened now unless told otherwise."""
    body = {
        "id": f"evt_{number}",
        "type": kind,
        "created_at": (created_at or timezone.now()).isoformat(),
        "data": {"object": about},
    }
    return read_delivery(json.dumps(body).encode())


def session_event(patient_id, session_id="ps_late", number=1, **options) -> WebhookDelivery:
    about = session_json(
        id=session_id, patient_id=patient_id, status="complete", connections=[connection_json()]
    )
    return event("patient_session.completed", about, number, **options)


def records_event(patient_id, number=2, **options) -> WebhookDelivery:
    about = {"patient_id": patient_id, "connection_id": FACILITY, "total": 3, "errors": 0}
    return event("records.sync.completed", about, number, **options)


def loss_event(link_id="conn_1", number=3, **options) -> WebhookDelivery:
    about = {"id": link_id, "status": "refresh_failed"}
    return event("connection.token_refresh_failed", about, number, **options)


def fill(patient_id: str) -> PatientConnectionAttempt:
    """Keep something of the patient in every table, an hour ago, and in the admin's log."""
    before = timezone.now() - timedelta(hours=1)
    attempt = create_attempt(
        patient_id=patient_id,
        connection_id=FACILITY,
        patient_session_id="ps_1",
        patient_connection_id="conn_1",
        connection_status="active",
        status="succeeded",
        created_at=before,
        finished_at=before,
    )
    PatientConnectionAttempt.objects.create(patient_id=patient_id, connection_id=FACILITY)
    AttemptEvent.objects.create(
        attempt=attempt, source="site", kind="created", status="created", fingerprint="1"
    )
    for delivery in (session_event(patient_id, "ps_1"), records_event(patient_id), loss_event()):
        receive_delivery(delivery)
    WebhookDelivery.objects.update(received_at=before)
    attempt.refresh_from_db()
    delivery = WebhookDelivery.objects.first()
    PendingSignal.objects.create(
        attempt=attempt, delivery=delivery, name="connection_lost", due_at=timezone.now()
    )
    missing, _is_new = MissingFacility.objects.get_or_create(text="Hilltop", folded="hilltop")
    FacilityRequest.objects.create(missing=missing, patient_id=patient_id, created_at=before)
    count_action(patient_id, "start")
    log(attempt)
    return attempt


def log(attempt: PatientConnectionAttempt) -> None:
    """Log what the admin logs of the patient: who looked, and who exported what they searched."""
    user, _is_new = get_user_model().objects.get_or_create(username="clerk")
    filters = urlencode({"status": "failed", "q": f"{attempt.patient_id} riverside"})
    for model, name, message in (
        (PatientHistory, attempt.patient_id, "Looked at the history, and changed nothing."),
        (PatientConnectionAttempt, "CSV export", f"Exported: {filters}"),
    ):
        content_type = ContentType.objects.get_for_model(model, for_concrete_model=False)
        LogEntry.objects.create(
            user=user,
            content_type=content_type,
            object_id=str(attempt.pk),
            object_repr=name,
            action_flag=CHANGE,
            change_message=message,
        )


def list_tables() -> list[type[Model]]:
    models = [*apps.get_app_config("medblocks_connect").get_models(), LogEntry]
    return [model for model in models if not model._meta.proxy]


def find_left(patient_id: str) -> list[str]:
    """Return every column of the app's tables, and of the log, in which the id still is."""
    spelt = {patient_id, json.dumps(patient_id)[1:-1], urlencode({"": patient_id})[1:]}
    return [
        f"{model.__name__}.{name}"
        for model in list_tables()
        for row in model.objects.values()
        for name, value in row.items()
        if isinstance(value, str) and any(text in value for text in spelt)
    ]


def count_left() -> dict[str, int]:
    """Return how many rows there are of whatever is about a patient."""
    kept = {"ErasedIdentifier", "ErasedPatient", "Installation", "LogEntry", "MissingFacility"}
    kept.add("OperationRun")
    counted = {model.__name__: model.objects.count() for model in list_tables()}
    return {name: count for name, count in counted.items() if count and name not in kept}


def allow_erasure(medblocks, path="p-1", connections=()) -> None:
    """Let Medblocks know the patient whose id is ``path`` in an address, and delete them."""
    url = f"{BASE_URL}/patients/{path}"
    listed = {"id": path, "resource_type": "patient", "connections": list(connections)}
    medblocks.get(url, json={**listed, "created_at": "2026-11-22T12:00:00Z"})
    deleted = {"id": path, "resource_type": "patient", "deleted": True}
    medblocks.delete(url, json=deleted)
