"""Webhook events: how a body becomes a delivery, and a delivery evidence. Writes nothing.

Event types after Medblocks' API page, "Webhooks"; an unknown one says nothing and is no error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeGuard

from django.db.models import Q
from django.dispatch import Signal

from medblocks_connect import signals
from medblocks_connect.api import PatientSession, UnexpectedReplyError, clean_text, parse_time
from medblocks_connect.api.json_fields import (
    MAX_CODE_LENGTH,
    MAX_ID_LENGTH,
    MAX_SHORT_ID_LENGTH,
    MAX_STATUS_LENGTH,
)
from medblocks_connect.attempts.outcome import LOST_STATUSES, Link, Outcome
from medblocks_connect.attempts.session_evidence import read_session
from medblocks_connect.attempts.settle import Evidence, Kind, Source
from medblocks_connect.models import PatientConnectionAttempt, WebhookDelivery
from medblocks_connect.timezones import aware, storable

Status = PatientConnectionAttempt.Status


# Medblocks' nest five deep. Deeper than Python's own limit, which each version sets elsewhere,
# nothing could show or process them.
_MAX_DEPTH: Final = 100

# Whoever holds a session's url can act as its patient, and nobody needs the rest to settle.
_NEVER_STORED: Final = ("url", "patient_email", "patient_name", "email", "name")


def read_delivery(body: bytes) -> WebhookDelivery | None:
    """Return the event in ``body``, not stored yet; None where it is no JSON object."""
    try:
        event = json.loads(body.decode())
        if not isinstance(event, dict) or _nests_too_deep(event):
            return None
        return _build_delivery(event, body)
    except (ValueError, RecursionError):
        return None


def _nests_too_deep(event: Any) -> bool:
    level = [event]
    for _ in range(_MAX_DEPTH):
        parents = [each for each in level if isinstance(each, dict | list)]
        level = [
            child
            for each in parents
            for child in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return False
    return True


def _build_delivery(event: Mapping[str, Any], body: bytes) -> WebhookDelivery:
    data = event.get("data")
    about = data.get("object") if isinstance(data, dict) else None
    about = about if isinstance(about, dict) else {}
    kept = {name: value for name, value in about.items() if name not in _NEVER_STORED}
    event_type = clean_text(event.get("type"), 100)
    is_session = event_type == "patient_session.completed"
    is_connection = event_type.startswith("connection.")
    digest = hashlib.sha256(body).hexdigest()
    return WebhookDelivery(
        # An event without an id is itself: only the same bytes are the same event.
        event_id=_read_id(event.get("id")) or f"sha256:{digest}",
        event_type=event_type,
        api_version=clean_text(event.get("api_version"), 50),
        payload=json.dumps({**event, "data": {"object": kept}}),
        digest=digest,
        patient_session_id=_read_id(about.get("id")) if is_session else "",
        # The "id" of another type may be a patient's.
        patient_connection_id=_read_id(about.get("id")) if is_connection else "",
        occurred_at=storable(parse_time(event.get("created_at"))),
    )


def _read_id(value: object) -> str:
    """Return an id as it came; ``""`` for one that cleaning would change: it would name another."""
    cleaned = clean_text(value, MAX_SHORT_ID_LENGTH)
    return cleaned if cleaned == value else ""


@dataclass(frozen=True)
class EventEffect:
    """An event's attempts and evidence, and whether it waits for an attempt that is not there yet.

    ``attempts`` are the newest first; the evidence is about all of them.
    """

    attempts: tuple[PatientConnectionAttempt, ...] = ()
    evidence: Evidence | None = None
    signals: tuple[Signal, ...] = ()
    is_waiting: bool = False
    failure: str = ""


def read_effect(delivery: WebhookDelivery) -> EventEffect:
    """Return what ``delivery`` says. Never raises for what it holds."""
    read = _READERS.get(delivery.event_type)
    if read is None:
        return EventEffect()
    about = _about(delivery)
    try:
        return read(delivery, about)
    except UnexpectedReplyError as error:
        return EventEffect(failure=error.message)


def read_records(delivery: WebhookDelivery) -> Mapping[str, int | None]:
    """Return how many records a sync brought and missed, as far as the event says."""
    about = _about(delivery)
    counts = {name: about.get(name) for name in ("total", "errors")}
    return {
        name: count if isinstance(count, int) and 0 <= count < 2**53 else None
        for name, count in counts.items()
    }


def _about(delivery: WebhookDelivery) -> Mapping[str, Any]:
    payload = json.loads(delivery.payload)
    data = payload.get("data")
    about = data.get("object") if isinstance(data, dict) else None
    return about if isinstance(about, dict) else {}


def _read_session(_delivery: WebhookDelivery, about: Mapping[str, Any]) -> EventEffect:
    session = PatientSession.from_json(about)
    # Plain SQL: the hot path of every delivery, and the ORM takes longer to write this query, with
    # all its columns, than the database to answer it.
    found = PatientConnectionAttempt.objects.where_written().raw(
        "SELECT * FROM medblocks_connect_patientconnectionattempt WHERE patient_session_id = %s",
        [session.id],
    )
    attempt = next(iter(found), None)
    if attempt is None:
        return EventEffect(is_waiting=True)
    return EventEffect((attempt,), read_session(attempt, session, Source.WEBHOOK))


def _read_loss(delivery: WebhookDelivery, about: Mapping[str, Any]) -> EventEffect:
    if not delivery.patient_connection_id:
        return EventEffect(failure="The event names no connection.")
    attempts = PatientConnectionAttempt.objects.where_written()
    holders = tuple(attempts.filter(patient_connection_id=delivery.patient_connection_id))
    if not holders:
        return EventEffect(is_waiting=True)
    # Connecting again may keep the link: an event that comes late is not about what began after it.
    lost_at = parse_time(about.get("failure_at")) or _occurred_at(delivery)
    lost = tuple(each for each in holders if lost_at is None or aware(each.created_at) < lost_at)
    if not lost:
        return EventEffect(holders[:1])
    status = clean_text(about.get("status"), MAX_STATUS_LENGTH)
    link = Link(
        status if status in LOST_STATUSES else "refresh_failed", delivery.patient_connection_id
    )
    evidence = Evidence(
        Source.WEBHOOK,
        Kind.LOST,
        Outcome(link=link),
        occurred_at=lost_at,
        error=clean_text(about.get("failure_code"), MAX_CODE_LENGTH),
    )
    return EventEffect(lost, evidence)


def _read_sync(delivery: WebhookDelivery, about: Mapping[str, Any]) -> EventEffect:
    attempt = _find_connected(about.get("patient_id"), about.get("connection_id"))
    if attempt is None:
        return EventEffect(is_waiting=True)
    came = delivery.event_type == "records.sync.completed"
    counts = read_records(delivery)
    told = ", ".join(f"{name} {count}" for name, count in counts.items() if count is not None)
    evidence = Evidence(
        Source.WEBHOOK,
        Kind.RECORDS_SYNCED if came else Kind.RECORDS_SYNC_FAILED,
        Outcome(),
        occurred_at=_occurred_at(delivery),
        detail=told if came else clean_text(about.get("error_message"), 200),
    )
    signal = signals.records_synced if came else signals.records_sync_failed
    return EventEffect((attempt,), evidence, (signal,))


def _find_connected(patient_id: object, facility_id: object) -> PatientConnectionAttempt | None:
    """Return the patient's newest attempt that connected the facility."""
    if not (_is_text(patient_id) and _is_text(facility_id)):
        return None
    successes = PatientConnectionAttempt.objects.where_written().of_patient(patient_id).successes()
    return successes.filter(Q(connection_id=facility_id) | Q(facility_id=facility_id)).first()


def _occurred_at(delivery: WebhookDelivery) -> datetime | None:
    return aware(delivery.occurred_at) if delivery.occurred_at else None


def _is_text(value: object) -> TypeGuard[str]:
    """Return whether ``value`` is an id that cleaning does not change: such a one can be found."""
    return bool(value) and clean_text(value, MAX_ID_LENGTH) == value


_READERS: Mapping[str, Callable[[WebhookDelivery, Mapping[str, Any]], EventEffect]] = {
    "patient_session.completed": _read_session,
    "connection.token_refresh_failed": _read_loss,
    "records.sync.completed": _read_sync,
    "records.sync.failed": _read_sync,
}
