"""The rows of connections: what is told of a patient at a place is merged into them.

Called inside a transaction that has written already (``settle``): on SQLite it holds the lock then,
elsewhere the place's row is locked first, so that nobody merges at the same time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias

from django.db import IntegrityError, connections, router, transaction
from django.db.models import Exists, OuterRef, Q
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
_MAX_REFUSALS: Final = 5
"""How often somebody else may be first before that is an error."""

_IS_KNOWN_BY_URL: Final = Q(place_id__contains="://")  # as ``is_url`` has it
_LINK_COLUMNS: Final = tuple(column.name for column in fields(LinkState))


class Recorded(NamedTuple):
    """What recording came to.

    ``lost`` are the further places of their attempts that are lost by it. ``is_complete`` is false
    where a place without a link has no row: it may have got another id since it was read, and the
    caller may read it anew.
    """

    lost: list[PatientConnection]
    is_complete: bool


def record_places(
    patient_id: str,
    places: Iterable[PlaceEvidence],
    attempt: PatientConnectionAttempt | None,
    database: str,
) -> Recorded:
    """Merge what is told of ``patient_id`` at ``places``, in the order of their ids.

    ``attempt`` is the one that connected them, where one did. Where a place has no row, one is
    made once a link of it is told.
    """
    lost, is_complete = [], True
    # Always in one order: two that record the same places must not wait for each other.
    for place in sorted(places, key=lambda place: place.place_id):
        row, is_new = _find_or_insert(patient_id, place, attempt, database)
        if row is None:
            is_complete = False
            continue
        was_lost = not is_new and _is_told_lost(row)
        if not is_new:
            _merge_into(row, place, attempt, database)
        if not was_lost and _is_told_lost(row) and _is_further_place(row, database):
            lost.append(row)
    return Recorded(lost, is_complete)


def _is_told_lost(row: PatientConnection) -> bool:
    """Return whether its attempt has lost it; where nobody knows one, it is not told yet."""
    return row.attempt_id is not None and row.state in _LOST_STATES


def _is_further_place(row: PatientConnection, database: str) -> bool:
    """Return whether its attempt has another place of its own: of that, an attempt knows itself."""
    of_row = Q(pk=row.attempt_id) & ~Q(place_id=row.place_id)
    return PatientConnectionAttempt.objects.using(database).filter(of_row).exists()


Kept: TypeAlias = dict[PatientConnection, list[ConnectionLink]]


def read_connections(patient_id: str, database: str) -> Kept:
    """Return the patient's connections, the newest first, with their links, in one query."""
    links = ConnectionLink.objects.using(database).filter(
        connection__workspace=find_workspace(), connection__patient_id=patient_id
    )
    kept: Kept = {}
    for link in links.select_related("connection").order_by("-connection", "id"):
        kept.setdefault(link.connection, []).append(link)
    return kept


def find_link(patient_connection_id: str) -> ConnectionLink | None:
    """Return the link ``conn_…`` with its connection; None where nobody told of it yet."""
    database = router.db_for_write(ConnectionLink)
    # Plain SQL: every success asks this, and to build the query below would take longer than both.
    with connections[database].cursor() as cursor:
        cursor.execute(
            "SELECT id FROM medblocks_connect_connectionlink WHERE patient_connection_id = %s",
            [patient_connection_id],
        )
        if cursor.fetchone() is None:
            return None
    links = ConnectionLink.objects.using(database)
    of_it = links.filter(
        patient_connection_id=patient_connection_id, connection__workspace=find_workspace()
    )
    return of_it.select_related("connection__attempt").first()


def find_connection_at(patient_id: str, facility_id: str) -> PatientConnection | None:
    """Return the patient's connection at the facility, by whichever name of it is known here."""
    rows = PatientConnection.objects.where_written().of_patient(patient_id)
    rows = rows.select_related("attempt")
    url = name_place(facility_id)
    row = rows.filter(place_id=url).first()
    if row is None and is_url(url):  # its place got Medblocks' id since it was chosen
        row = rows.filter(connection_id__in=[url, f"{url}/"]).first()
    if row is not None or is_url(url):
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
        row.place_id: row for row in rows.at_places(place.place_id for place in places).with_links()
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


def _find_or_insert(
    patient_id: str,
    place: PlaceEvidence,
    attempt: PatientConnectionAttempt | None,
    database: str,
) -> tuple[PatientConnection | None, bool]:
    """Return the row of ``place``, locked, and whether it is new; None where none is to be."""
    refusals = 0
    while True:
        rows = _lock_rows(patient_id, place, database)
        if not rows and not place.links:
            return None, False
        if len(rows) == 1 and not _is_told_its_id(rows[0], place):
            return rows[0], False
        try:
            with transaction.atomic(using=database):
                if rows:
                    return _unite(rows, place, database), False
                return _insert_row(patient_id, place, attempt, database), True
        except IntegrityError:  # somebody else was first
            refusals += 1
            if refusals == _MAX_REFUSALS:
                raise


def _lock_rows(patient_id: str, place: PlaceEvidence, database: str) -> list[PatientConnection]:
    """Return the rows of ``place``: mostly one. The same link is the same place.

    More than one where it is known by its URL and by Medblocks' id; that one comes first then.
    """
    if not _has_any(patient_id, database):
        return []
    rows = PatientConnection.objects.using(database).of_patient(patient_id).select_for_update()
    named = Q(place_id=place.place_id)
    if place.links:
        links = ConnectionLink.objects.using(database).filter(
            connection=OuterRef("pk"),
            patient_connection_id__in=[link_id for link_id in place.links if link_id],
        )
        by_link = Q(Exists(links))
        named |= by_link if is_url(place.place_id) else by_link & _IS_KNOWN_BY_URL
    found = list(rows.filter(named).order_by("place_id"))
    if not found and place.links and is_url(place.place_id):
        # PostgreSQL leaves out what became the place's while this waited for its former row.
        found = list(rows.filter(named).order_by("place_id"))
    found.sort(key=lambda row: is_url(row.place_id))
    return found[:1] + [row for row in found[1:] if is_url(row.place_id)]


def _has_any(patient_id: str, database: str) -> bool:
    # Plain SQL: a patient's first success finds none, and to build the query below would take
    # longer than to run it.
    with connections[database].cursor() as cursor:
        cursor.execute(
            "SELECT id FROM medblocks_connect_patientconnection"
            " WHERE patient_id = %s AND workspace = %s",
            [patient_id, find_workspace()],
        )
        return cursor.fetchone() is not None


def _is_told_its_id(row: PatientConnection, place: PlaceEvidence) -> bool:
    return is_url(row.place_id) and not is_url(place.place_id)


def _unite(
    rows: Sequence[PatientConnection], place: PlaceEvidence, database: str
) -> PatientConnection:
    """Make ``rows``, which are the same place, the first of them, under the id that is told."""
    row, *others = rows
    if _is_told_its_id(row, place):
        row.place_id = place.place_id
        row.save(using=database, update_fields=["place_id"])
    for other in others:
        links = {
            link.patient_connection_id: read_link(link)
            for link in other.links.db_manager(database).all()
        }
        told = PlaceEvidence(
            row.place_id,
            links,
            connection_name=row.connection_name or other.connection_name,
            connection_type=row.connection_type or other.connection_type,
            records_at=to_utc(other.records_at) if other.records_at else None,
            records_failed_at=to_utc(other.records_failed_at) if other.records_failed_at else None,
            asked_at=to_utc(other.asked_at) if other.asked_at else None,
            actor=other.ended_by,
        )
        attempts = PatientConnectionAttempt.objects.using(database)
        attempt = attempts.filter(pk=other.attempt_id).first() if other.attempt_id else None
        other.delete(using=database)
        _merge_into(row, told, attempt, database)
    return row


def _insert_row(
    patient_id: str,
    place: PlaceEvidence,
    attempt: PatientConnectionAttempt | None,
    database: str,
) -> PatientConnection:
    row = PatientConnection(
        workspace=find_workspace(), patient_id=patient_id, place_id=place.place_id, attempt=attempt
    )
    _set_columns(row, place, list(place.links.values()))
    row.save(using=database, force_insert=True)
    ConnectionLink.objects.using(database).bulk_create(
        _copy_link(state, ConnectionLink(connection=row, patient_connection_id=link_id))
        for link_id, state in place.links.items()
    )
    return row


def _merge_into(
    row: PatientConnection,
    place: PlaceEvidence,
    attempt: PatientConnectionAttempt | None,
    database: str,
) -> None:
    links = {link.patient_connection_id: link for link in row.links.db_manager(database).all()}
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
    # Whichever came first: the newest.
    if attempt is not None and place.links and attempt.pk > (row.attempt_id or 0):
        row.attempt = attempt
    _set_columns(row, place, list(states.values()))
    changed = [name for name, value in before.items() if getattr(row, name) != value]
    if changed:
        row.changed_at = timezone.now()
        row.save(using=database, update_fields=[*changed, "changed_at"])


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
