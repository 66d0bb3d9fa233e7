"""The list of a patient's connections: Medblocks' own, or our attempts' where it is away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

from django.utils import timezone

from medblocks_connect.api import MedblocksError, NotFoundError, PatientConnection
from medblocks_connect.attempts.outcome import LOST_STATUSES
from medblocks_connect.facilities.lookup import get_facility
from medblocks_connect.models import AttemptEvent, PatientConnectionAttempt
from medblocks_connect.patient_connections.snapshot import ConnectionsSnapshot, get_snapshot
from medblocks_connect.patients import Patient
from medblocks_connect.timezones import to_stored_time

PlaceState: TypeAlias = Literal["connected", "lost", "disconnected", "checking"]

RECORDS_ARRIVE_WITHIN: Final = timedelta(days=7)
"""How long after connecting a page still says that the records are on their way."""

_MAX_ATTEMPTS: Final = 200
# Connections made elsewhere in the same workspace: their names are worth a short wait, all told.
_MAX_NAMES_ASKED: Final = 5
_NAME_SECONDS: Final = 2.0


@dataclass(frozen=True)
class ConnectedPlace:
    """One of a patient's connections, as the pages tell it. Times are as the host stores them."""

    state: PlaceState
    connection_id: str  # the facility's, to connect again
    patient_connection_id: str = ""  # conn_…, to disconnect
    name: str = ""  # "" where nobody told it
    since: datetime | None = None
    ended: datetime | None = None
    records_at: datetime | None = None
    attempt: PatientConnectionAttempt | None = field(default=None, repr=False)

    @property
    def awaits_records(self) -> bool:
        """Return whether it is so new that its records may still be on their way."""
        if self.state != "connected" or self.records_at or self.since is None:
            return False
        return self.since > timezone.now() - RECORDS_ARRIVE_WITHIN


@dataclass(frozen=True)
class PatientConnections:
    """A patient's connections; ``is_current`` is false where Medblocks could not be asked.

    ``as_of`` is then when Medblocks told them; None where only our own attempts do.
    """

    places: tuple[ConnectedPlace, ...]
    is_current: bool
    as_of: datetime | None = None


@dataclass(frozen=True)
class _Connection:
    """A connection, from Medblocks or from one of our attempts."""

    id: str
    connection_id: str
    status: str
    since: datetime | None
    ended: datetime | None


def list_connections(patient: Patient) -> PatientConnections:
    """Return the connections of ``patient``, those that work first. Never raises for Medblocks."""
    attempts = _read_attempts(patient)
    snapshot = get_snapshot(patient, attempts)
    if snapshot is None:
        connections = [_from_attempt(attempt) for attempt in attempts if _is_success(attempt)]
    elif snapshot.is_current:
        connections = [_from_medblocks(connection) for connection in snapshot.connections]
    else:
        connections = list(_update_snapshot(snapshot, attempts))
    history = _AttemptHistory(attempts)
    places = [history.describe(connection) for connection in _select_shown(connections)]
    connected = {place.connection_id for place in places if place.state == "connected"}
    places += history.list_checking(connected)
    order = ("connected", "checking", "lost", "disconnected")
    return PatientConnections(
        tuple(sorted(places, key=lambda place: order.index(place.state))),
        is_current=snapshot is not None and snapshot.is_current,
        as_of=snapshot.taken_at if snapshot else None,
    )


def find_connection(patient: Patient, patient_connection_id: str) -> ConnectedPlace | None:
    """Return the connection ``conn_…`` of ``patient``; somebody else's is None."""
    for place in list_connections(patient).places:
        if patient_connection_id and place.patient_connection_id == patient_connection_id:
            return place
    return None


def _read_attempts(patient: Patient) -> list[PatientConnectionAttempt]:
    own = PatientConnectionAttempt.objects.of_patient(patient.patient_id).in_workspace()
    return list(own[:_MAX_ATTEMPTS])


def _is_success(attempt: PatientConnectionAttempt) -> bool:
    return attempt.status == PatientConnectionAttempt.Status.SUCCEEDED


def _from_medblocks(row: PatientConnection) -> _Connection:
    ended = row.failure_at or row.updated_at if row.status in LOST_STATUSES else None
    times = to_stored_time(row.created_at), to_stored_time(ended)
    return _Connection(row.id, row.connection_id, row.status, *times)


def _from_attempt(attempt: PatientConnectionAttempt) -> _Connection:
    return _Connection(
        attempt.patient_connection_id,
        attempt.connection_id,
        attempt.connection_status or ("expired" if attempt.lost_at else "active"),
        attempt.finished_at,
        attempt.lost_at,
    )


def _update_snapshot(
    snapshot: ConnectionsSnapshot, attempts: Iterable[PatientConnectionAttempt]
) -> Iterator[_Connection]:
    """Yield what was settled here since the snapshot, then the rest of what it has."""
    successes = filter(_is_success, attempts)
    changed = [each for each in successes if snapshot.revisions.get(each.pk) != each.revision]
    yield from map(_from_attempt, changed)
    renewed = {attempt.patient_connection_id for attempt in changed}
    yield from map(
        _from_medblocks, (each for each in snapshot.connections if each.id not in renewed)
    )


def _select_shown(connections: list[_Connection]) -> Iterator[_Connection]:
    """Yield every active one, and of the others each facility's newest if none is active there."""
    # Connecting again may keep the connection: then two of our attempts tell of one.
    by_id = {each.id or each: each for each in reversed(connections) if each.status != "failed"}
    unique = list(reversed(by_id.values()))
    shown = {connection.connection_id for connection in unique if connection.status == "active"}
    for connection in unique:
        if connection.status == "active":
            yield connection
        elif connection.connection_id not in shown:
            shown.add(connection.connection_id)
            yield connection


class _AttemptHistory:
    """Our own attempts' part of a patient's connections: names, and when records came."""

    def __init__(self, attempts: list[PatientConnectionAttempt]) -> None:
        self._attempts = attempts
        self._names_left = _MAX_NAMES_ASKED
        self._names = self._read_names()
        self._records, self._disconnected = self._read_events()

    def describe(self, connection: _Connection) -> ConnectedPlace:
        """Return ``connection`` as the pages show it."""
        own = (each for each in self._attempts if each.patient_connection_id == connection.id)
        attempt = next(own, None) if connection.id else None
        # Reconnecting names the facility as it was chosen: it may be known by its address alone.
        facility = attempt.connection_id if attempt else ""
        records_at = self._records.get(facility) or self._records.get(connection.connection_id)
        return ConnectedPlace(
            state=self._state(connection, attempt),
            connection_id=facility or connection.connection_id,
            patient_connection_id=connection.id,
            name=self._name(connection),
            since=connection.since,
            ended=connection.ended,
            records_at=records_at,
        )

    def list_checking(self, connected: set[str]) -> list[ConnectedPlace]:
        """Return the newest attempt of each facility, not connected yet, that is being checked."""
        returned = PatientConnectionAttempt.Status.RETURNED
        newest: dict[str, PatientConnectionAttempt] = {}
        for attempt in self._attempts:
            newest.setdefault(attempt.connection_id, attempt)
        return [
            ConnectedPlace("checking", facility, name=attempt.connection_name, attempt=attempt)
            for facility, attempt in newest.items()
            if attempt.status == returned and facility not in connected
        ]

    def _state(
        self, connection: _Connection, attempt: PatientConnectionAttempt | None
    ) -> PlaceState:
        if connection.status == "active":
            return "connected"
        if connection.status not in LOST_STATUSES:
            return "checking"
        # Among the ways to lose access the attempt keeps one, which may not be the last.
        by_patient = attempt is not None and attempt.pk in self._disconnected
        return "disconnected" if by_patient or connection.status == "disconnected" else "lost"

    def _read_names(self) -> dict[str, str]:
        named = [attempt for attempt in reversed(self._attempts) if attempt.connection_name]
        names = {attempt.connection_id: attempt.connection_name for attempt in named}
        return names | {
            attempt.patient_connection_id: attempt.connection_name
            for attempt in named
            if attempt.patient_connection_id
        }

    def _read_events(self) -> tuple[Mapping[str, datetime], set[int]]:
        """Return when records last came, by facility, and the attempts that were disconnected."""
        kinds = AttemptEvent.Kind
        successes = filter(_is_success, self._attempts)
        facilities = {attempt.pk: attempt.connection_id for attempt in successes}
        events = AttemptEvent.objects.filter(
            attempt__in=facilities, kind__in=(kinds.RECORDS_SYNCED, kinds.DISCONNECTED)
        )
        records: dict[str, datetime] = {}
        disconnected: set[int] = set()
        for event in events.order_by("id"):
            if event.kind == kinds.DISCONNECTED:
                disconnected.add(event.attempt_id)
            else:
                records[facilities[event.attempt_id]] = event.created_at
        return records, disconnected

    def _name(self, connection: _Connection) -> str:
        name = self._names.get(connection.id) or self._names.get(connection.connection_id)
        if name or self._names_left <= 0:
            return name or ""
        self._names_left -= 1
        try:
            return get_facility(connection.connection_id, timeout=_NAME_SECONDS).name
        except NotFoundError:
            return ""
        except MedblocksError:  # the others would wait in vain as well
            self._names_left = 0
            return ""
