"""The rows of connections: what is told of a patient at a place is merged into them.

Called inside a transaction that has written already (``settle``): on SQLite it holds the lock then,
elsewhere the place's row is locked first, so that nobody merges at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final

from django.db import IntegrityError, connections, router, transaction
from django.db.models import Q
from django.utils import timezone

from medblocks_connect.attempts.connection_state import LinkState, conclude_place, merge_links
from medblocks_connect.attempts.evidence import PlaceEvidence
from medblocks_connect.conf import find_workspace
from medblocks_connect.facilities.lookup import find_known_facility
from medblocks_connect.models import (
    ConnectionLink,
    PatientConnection,
    PatientConnectionAttempt,
    is_url,
    name_place,
)
from medblocks_connect.timezones import to_stored_time, to_utc

_LOST_STATES: Final = (PatientConnection.State.LOST, PatientConnection.State.DISCONNECTED)
_LINK_COLUMNS: Final = tuple(column.name for column in fields(LinkState))


def record_places(
    patient_id: str,
    places: Iterable[PlaceEvidence],
    attempt: PatientConnectionAttempt | None,
    database: str,
) -> list[PatientConnection]:
    """Merge what is told of ``patient_id`` at ``places``, in the order of their ids.

    ``attempt`` is the one that connected them, where one did. Where a place has no row, one is
    made once a link of it is told. Return the further places of their attempts that are lost by it:
    of its own place, an attempt knows itself.
    """
    lost = []
    # Always in one order: two that record the same places must not wait for each other.
    for place in sorted(places, key=lambda place: place.place_id):
        row = _lock_row(patient_id, place.place_id, database)
        was_lost = row is not None and _is_told_lost(row)
        if row is not None:
            _merge_into(row, place, attempt, database)
        elif place.links:
            row = _insert_row(patient_id, place, attempt, database)
        if row is not None and not was_lost and _is_told_lost(row):
            of_row = Q(pk=row.attempt_id) & ~Q(place_id=row.place_id)
            if PatientConnectionAttempt.objects.using(database).filter(of_row).exists():
                lost.append(row)
    return lost


def _is_told_lost(row: PatientConnection) -> bool:
    """Return whether its attempt has lost it; where nobody knows one, it is not told yet."""
    return row.attempt_id is not None and row.state in _LOST_STATES


def find_link(patient_connection_id: str) -> ConnectionLink | None:
    """Return the link ``conn_…`` with its connection; None where nobody told of it yet."""
    links = ConnectionLink.objects.using(router.db_for_write(ConnectionLink))
    of_it = links.filter(
        patient_connection_id=patient_connection_id, connection__workspace=find_workspace()
    )
    return of_it.select_related("connection__attempt").first()


def find_connection_at(patient_id: str, facility_id: str) -> PatientConnection | None:
    """Return the patient's connection at the facility, by whichever name of it is known here."""
    rows = PatientConnection.objects.where_written().of_patient(patient_id)
    rows = rows.select_related("attempt")
    row = rows.filter(place_id=name_place(facility_id)).first()
    if row is not None or is_url(facility_id):
        return row
    facility = find_known_facility(facility_id)
    url = name_place(facility.fhir_base_url) if facility else ""
    return rows.filter(place_id=url).first() if url else None


def would_change(patient_id: str, places: Sequence[PlaceEvidence], database: str) -> bool:
    """Return whether ``places`` tell another state than the rows have, or other records."""
    if not places:
        return False
    rows = PatientConnection.objects.using(database).of_patient(patient_id)
    by_place = {
        row.place_id: row
        for row in rows.at_places(place.place_id for place in places).prefetch_related("links")
    }
    return any(_differs(by_place.get(place.place_id), place) for place in places)


def _differs(row: PatientConnection | None, place: PlaceEvidence) -> bool:
    if row is None:
        return bool(place.links)
    states = {link.patient_connection_id: read_link(link) for link in row.links.all()}
    for link_id, told in place.links.items():
        states[link_id] = merge_links(states[link_id], told) if link_id in states else told
    before = {name: getattr(row, name) for name in _ROW_COLUMNS}
    _set_columns(row, place, list(states.values()))
    return any(getattr(row, name) != before[name] for name in _ROW_COLUMNS)


def _lock_row(patient_id: str, place_id: str, database: str) -> PatientConnection | None:
    # Plain SQL: the first success at a place finds none, and to build the query would take longer
    # than to run it.
    with connections[database].cursor() as cursor:
        cursor.execute(
            "SELECT id FROM medblocks_connect_patientconnection"
            " WHERE patient_id = %s AND place_id = %s AND workspace = %s",
            [patient_id, place_id, find_workspace()],
        )
        if cursor.fetchone() is None:
            return None
    rows = PatientConnection.objects.using(database).of_patient(patient_id)
    return rows.select_for_update().filter(place_id=place_id).first()


def _insert_row(
    patient_id: str,
    place: PlaceEvidence,
    attempt: PatientConnectionAttempt | None,
    database: str,
) -> PatientConnection | None:
    """Insert a row with its links, or merge into the one that was there first; return it."""
    row = PatientConnection(
        workspace=find_workspace(), patient_id=patient_id, place_id=place.place_id, attempt=attempt
    )
    _set_columns(row, place, list(place.links.values()))
    try:
        with transaction.atomic(using=database):
            row.save(using=database, force_insert=True)
            ConnectionLink.objects.using(database).bulk_create(
                _copy_link(state, ConnectionLink(connection=row, patient_connection_id=link_id))
                for link_id, state in place.links.items()
            )
    except IntegrityError:  # somebody else was first
        first = _lock_row(patient_id, place.place_id, database)
        if first is not None:
            _merge_into(first, place, attempt, database)
        return first
    return row


def _merge_into(
    row: PatientConnection,
    place: PlaceEvidence,
    attempt: PatientConnectionAttempt | None,
    database: str,
) -> None:
    links = {link.patient_connection_id: link for link in row.links.using(database)}
    states = {link_id: read_link(link) for link_id, link in links.items()}
    for link_id, told in place.links.items():
        merged = merge_links(states[link_id], told) if link_id in states else told
        if merged != states.get(link_id):
            link = links.get(link_id) or ConnectionLink(
                connection=row, patient_connection_id=link_id
            )
            _copy_link(merged, link).save(using=database)
        states[link_id] = merged
    before = {name: getattr(row, name) for name in _ROW_COLUMNS}
    if attempt is not None and place.links and _comes_of(row, attempt, place, states):
        row.attempt = attempt
    _set_columns(row, place, list(states.values()))
    changed = [name for name, value in before.items() if getattr(row, name) != value]
    if changed:
        row.changed_at = timezone.now()
        row.save(using=database, update_fields=[*changed, "changed_at"])


def _comes_of(
    row: PatientConnection,
    attempt: PatientConnectionAttempt,
    place: PlaceEvidence,
    states: Mapping[str, LinkState],
) -> bool:
    if row.attempt_id is None:  # Medblocks' list was first to tell of it
        return True
    won = any(states[link_id].is_active for link_id in place.links)
    return won and attempt.pk > row.attempt_id


_ROW_COLUMNS: Final = (
    "connection_id",
    "connection_name",
    "connection_type",
    "state",
    "status",
    "was_ended_here",
    "ended_by",
    "since",
    "lost_at",
    "records_at",
    "records_failed_at",
    "asked_at",
    "attempt_id",
)


def _set_columns(row: PatientConnection, place: PlaceEvidence, links: Sequence[LinkState]) -> None:
    if links:
        concluded = conclude_place(links)
        row.state, row.status = concluded.state, concluded.status
        if row.was_ended_here != concluded.was_ended_here:  # who came first ended it
            row.ended_by = place.actor if concluded.was_ended_here else ""
        row.was_ended_here = concluded.was_ended_here
        row.since = to_stored_time(concluded.since)
        row.lost_at = to_stored_time(concluded.lost_at)
    row.connection_id = place.connection_id or row.connection_id or row.place_id
    row.connection_name = place.connection_name or row.connection_name
    row.connection_type = place.connection_type or row.connection_type
    row.records_at = _later(row.records_at, place.records_at)
    row.records_failed_at = _later(row.records_failed_at, place.records_failed_at)
    row.asked_at = _later(row.asked_at, place.asked_at)


def _later(kept: datetime | None, told: datetime | None) -> datetime | None:
    stored = to_stored_time(told)
    return max(filter(None, (kept, stored)), default=None)


def read_link(link: ConnectionLink) -> LinkState:
    """Read back what the columns of ``link`` hold."""
    columns: dict[str, Any] = {}
    for name in _LINK_COLUMNS:
        value = getattr(link, name)
        columns[name] = to_utc(value) if isinstance(value, datetime) else value
    return LinkState(**columns)


def _copy_link(state: LinkState, link: ConnectionLink) -> ConnectionLink:
    for name in _LINK_COLUMNS:
        value: Any = getattr(state, name)
        setattr(link, name, to_stored_time(value) if isinstance(value, datetime) else value)
    return link
