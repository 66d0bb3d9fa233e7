"""Webhook events: a body is read as a delivery, and a delivery as evidence. Writes nothing.

Event types after Medblocks' API page, "Webhooks"; an unknown one says nothing and is no error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeGuard

from django.dispatch import Signal

from medblocks_connect import signals
from medblocks_connect.api import (
    PatientSession,
    UnexpectedReplyError,
    clean_text,
    parse_time,
    read_count,
)
from medblocks_connect.api.json_fields import (
    MAX_CODE_LENGTH,
    MAX_ID_LENGTH,
    MAX_SHORT_ID_LENGTH,
    MAX_STATUS_LENGTH,
)
from medblocks_connect.attempts.connection_rows import find_connection_at, find_link
from medblocks_connect.attempts.connection_state import tell_link
from medblocks_connect.attempts.evidence import Evidence, Kind, PlaceEvidence, Source
from medblocks_connect.attempts.losses import is_further, name_line, tell_loss
from medblocks_connect.attempts.outcome import LOST_STATUSES, Outcome, OutcomeConnection
from medblocks_connect.attempts.session_evidence import read_session
from medblocks_connect.models import PatientConnectionAttempt, WebhookDelivery, name_place
from medblocks_connect.patients import PATIENT_ID_MAX_LENGTH
from medblocks_connect.timezones import to_stored_time, to_utc

Status = PatientConnectionAttempt.Status


# Medblocks' nest five deep. Deeper than Python's own limit, which each version sets elsewhere,
# nothing could show or process them.
_MAX_DEPTH: Final = 100

# Whoever holds a session's url can act as its patient, and nobody needs the rest to settle.
_NEVER_STORED: Final = ("url", "patient_email", "patient_name", "email", "name")


def read_delivery(body: bytes) -> WebhookDelivery | None:
    """Return the event in ``body``, not stored yet; None where it is no JSON object."""
    try:
        event = json.loads(body.decode("utf-8-sig"))
        if not isinstance(event, dict) or _nests_too_deep(event):
            return None
        return _build_delivery(event, body)
    except (ValueError, RecursionError):
        return None


def _nests_too_deep(event: Any) -> bool:
    level = [event]
    for _ in range(_MAX_DEPTH):
        parents = [value for value in level if isinstance(value, dict | list)]
        level = [
            child
            for parent in parents
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return False
    return True


def _build_delivery(event: Mapping[str, Any], body: bytes) -> WebhookDelivery:
    event_object = _event_object(event)
    kept = {name: value for name, value in event_object.items() if name not in _NEVER_STORED}
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
        patient_session_id=_read_id(event_object.get("id")) if is_session else "",
        # The "id" of another type may be a patient's.
        patient_connection_id=_read_id(event_object.get("id")) if is_connection else "",
        patient_id=_find_patient_id(event_object),
        occurred_at=to_stored_time(parse_time(event.get("created_at"))),
    )


def _read_id(value: object) -> str:
    """Return an id as it came; ``""`` for one that cleaning would change: it would name another."""
    cleaned = clean_text(value, MAX_SHORT_ID_LENGTH)
    return cleaned if cleaned == value else ""


def _find_patient_id(value: object) -> str:
    """Return the id of the patient that an event's object names, however deep; ``""`` for none.

    What the host itself sent along (``metadata``) names nobody: there it may be any text.
    """
    if isinstance(value, list):
        return next(filter(None, map(_find_patient_id, value)), "")
    if not isinstance(value, dict):
        return ""
    named = value.get("id") if value.get("resource_type") == "patient" else value.get("patient_id")
    if isinstance(named, str) and clean_text(named, PATIENT_ID_MAX_LENGTH) == named:
        return named
    parts = (part for name, part in value.items() if name != "metadata")
    return next(filter(None, map(_find_patient_id, parts)), "")


@dataclass(frozen=True)
class EventEffect:
    """An event's attempts and evidence, and whether it waits for an attempt that is not there yet.

    ``attempts`` are the newest first; the evidence is about all of them. ``places`` are what it
    tells of the patient at a place beside that. ``signals`` are due whatever changes, each with
    what its receivers are given beside the attempt. ``is_certain``: Medblocks' own id of a session
    or a link that is kept here says whose it is.
    """

    attempts: tuple[PatientConnectionAttempt, ...] = ()
    evidence: Evidence | None = None
    signals: Mapping[Signal, Mapping[str, Any]] = field(default_factory=dict)
    is_waiting: bool = False
    is_certain: bool = False
    failure: str = ""
    patient_id: str = ""
    places: tuple[PlaceEvidence, ...] = ()


def read_effect(delivery: WebhookDelivery) -> EventEffect:
    """Return what ``delivery`` says. Never raises for what it holds."""
    read = _READERS.get(delivery.event_type)
    if read is None:
        return EventEffect()
    event_object = _event_object(json.loads(delivery.payload))
    try:
        return read(delivery, event_object)
    except UnexpectedReplyError as error:
        return EventEffect(failure=error.message)


def _read_records(delivery: WebhookDelivery) -> Mapping[str, int | None]:
    """Return how many records a sync brought and missed, as far as the event says."""
    event_object = _event_object(json.loads(delivery.payload))
    return {name: read_count(event_object.get(name)) for name in ("total", "errors")}


def _event_object(event: Mapping[str, Any]) -> Mapping[str, Any]:
    data = event.get("data")
    event_object = data.get("object") if isinstance(data, dict) else None
    return event_object if isinstance(event_object, dict) else {}


def _read_session_event(delivery: WebhookDelivery, event_object: Mapping[str, Any]) -> EventEffect:
    session = PatientSession.from_json(event_object)
    # Plain SQL: the hot path of every delivery, and the ORM takes longer to write this query, with
    # all its columns, than the database to answer it.
    attempts = PatientConnectionAttempt.objects.where_written().raw(
        "SELECT * FROM medblocks_connect_patientconnectionattempt WHERE patient_session_id = %s",
        [session.id],
    )
    attempt = next(iter(attempts), None)
    if attempt is None or attempt.workspace != delivery.workspace:
        return EventEffect(is_waiting=True)
    evidence = read_session(attempt, session, Source.WEBHOOK, as_of=_told_at(delivery))
    return EventEffect((attempt,), evidence, is_certain=True)


def _read_loss_event(delivery: WebhookDelivery, event_object: Mapping[str, Any]) -> EventEffect:
    if not delivery.patient_connection_id:
        return EventEffect(failure="The event names no connection.")
    attempts = PatientConnectionAttempt.objects.where_written().in_workspace()
    link_id = delivery.patient_connection_id
    # Both are written at once: whoever has the second has the first, if not yet when it was read.
    link = find_link(link_id)
    holders = tuple(attempts.filter(patient_connection_id=link_id))
    if link is None and holders:
        link = find_link(link_id)
    if not holders and link is None:
        return EventEffect(is_waiting=True)
    lost_at = _read_moment(event_object.get("failure_at")) or _occurred_at(delivery)
    status = clean_text(event_object.get("status"), MAX_STATUS_LENGTH)
    status = status if status in LOST_STATUSES else "refresh_failed"
    evidence = Evidence(
        Source.WEBHOOK,
        Kind.LOST,
        Outcome(connection=OutcomeConnection(status, link_id)),
        occurred_at=lost_at,
        error=clean_text(event_object.get("failure_code"), MAX_CODE_LENGTH),
    )
    about = holders
    if link is not None and link.connection.attempt is not None:
        of_place = (link.connection.attempt,)
        about = holders or of_place  # one of several that its session connected
        evidence = tell_loss(link, evidence) if about == of_place else evidence
    # Connecting again may keep the connection: a late event is not about what began after it.
    lost = tuple(each for each in about if lost_at is None or to_utc(each.created_at) < lost_at)
    # No word is newer than its coming: one that is would silence whatever is told later.
    as_of = min(lost_at or _told_at(delivery), to_utc(delivery.received_at))
    told = tell_link(status, as_of, lost_at=lost_at)
    place_id = link.connection.place_id if link else holders[0].place_id
    places = (PlaceEvidence(place_id, {link_id: told}),) if link else ()
    patient_id = link.connection.patient_id if link else holders[0].patient_id
    return EventEffect(
        lost or about[:1],
        evidence if lost else None,
        is_certain=True,
        patient_id=patient_id,
        places=places,
    )


def _read_sync_event(delivery: WebhookDelivery, event_object: Mapping[str, Any]) -> EventEffect:
    patient_id, facility_id = event_object.get("patient_id"), event_object.get("connection_id")
    if not (_is_valid_id(patient_id) and _is_valid_id(facility_id)):
        return EventEffect(is_waiting=True)
    row = find_connection_at(patient_id, facility_id)
    attempt = row.attempt if row else _find_success(patient_id, facility_id)
    if row is None and attempt is not None:  # written at once, maybe just now
        row = find_connection_at(patient_id, facility_id)
    if row is None and attempt is None:
        return EventEffect(is_waiting=True)
    is_completed = delivery.event_type == "records.sync.completed"
    counts = _read_records(delivery)
    told_at = _told_at(delivery)
    place = PlaceEvidence(
        row.place_id if row else name_place(facility_id),
        records_at=told_at if is_completed and counts["total"] != 0 else None,
        records_failed_at=None if is_completed and not counts["errors"] else told_at,
    )
    counted = ", ".join(f"{name} {count}" for name, count in counts.items() if count is not None)
    evidence = Evidence(
        Source.WEBHOOK,
        Kind.RECORDS_SYNCED if is_completed else Kind.RECORDS_SYNC_FAILED,
        Outcome(),
        occurred_at=_occurred_at(delivery),
        detail=counted if is_completed else clean_text(event_object.get("error_message"), 200),
        **(name_line(row) if row and attempt and is_further(row, attempt) else {}),
    )
    due: dict[Signal, Mapping[str, Any]] = (
        {signals.records_synced: counts} if is_completed else {signals.records_sync_failed: {}}
    )
    if attempt is None:  # connected elsewhere in the same workspace
        return EventEffect(patient_id=patient_id, places=(place,))
    return EventEffect(
        (attempt,), evidence, due, patient_id=patient_id, places=(place,) if row else ()
    )


def _find_success(patient_id: str, facility_id: str) -> PatientConnectionAttempt | None:
    """Return the patient's newest attempt that connected the facility."""
    own = PatientConnectionAttempt.objects.where_written().of_patient(patient_id).in_workspace()
    return own.successes().filter(place_id=name_place(facility_id)).first()


def _told_at(delivery: WebhookDelivery) -> datetime:
    """Return when what ``delivery`` tells was so: as Medblocks says, else when it came."""
    return _occurred_at(delivery) or to_utc(delivery.received_at)


def _read_moment(value: object) -> datetime | None:
    """Return a time that the database can hold, in UTC; None for any other."""
    stored = to_stored_time(parse_time(value))
    return to_utc(stored) if stored else None


def _occurred_at(delivery: WebhookDelivery) -> datetime | None:
    return to_utc(delivery.occurred_at) if delivery.occurred_at else None


def _is_valid_id(value: object) -> TypeGuard[str]:
    """Return whether ``value`` is an id that cleaning does not change: such a one can be found."""
    return bool(value) and clean_text(value, MAX_ID_LENGTH) == value


_READERS: Mapping[str, Callable[[WebhookDelivery, Mapping[str, Any]], EventEffect]] = {
    "patient_session.completed": _read_session_event,
    "connection.token_refresh_failed": _read_loss_event,
    "records.sync.completed": _read_sync_event,
    "records.sync.failed": _read_sync_event,
}
