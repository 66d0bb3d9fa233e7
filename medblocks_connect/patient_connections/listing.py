"""What a patient's connections are: Medblocks' word, or what we saw where it cannot be asked."""

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
from medblocks_connect.timezones import storable

State: TypeAlias = Literal["connected", "lost", "disconnected", "checking"]

RECORDS_ARRIVE_WITHIN: Final = timedelta(days=7)
"""How long after connecting a page still says that the records are on their way."""

_ATTEMPTS_READ: Final = 200
# Connections made elsewhere in the same workspace: their names are worth a short wait, all told.
_NAMES_ASKED: Final = 5
_NAME_SECONDS: Final = 2.0


@dataclass(frozen=True)
class ConnectedPlace:
    """One of a patient's connections, as the pages tell it. Times are as the host stores them."""

    state: State
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
class _Link:
    """A connection, whoever told of it."""

    id: str
    connection_id: str
    status: str
    since: datetime | None
    ended: datetime | None


def list_connections(patient: Patient) -> PatientConnections:
    """Return the connections of ``patient``, those that work first. Never raises for Medblocks."""
    attempts = _attempts_of(patient)
    told = get_snapshot(patient, attempts)
    if told is None:
        links = [_link_seen(each) for each in attempts if _was_won(each)]
    elif told.is_current:
        links = [_link_told(each) for each in told.connections]
    else:
        links = list(_list_since(told, attempts))
    known = _Known(attempts)
    places = [known.describe(link) for link in _worth_showing(links)]
    connected = {each.connection_id for each in places if each.state == "connected"}
    places += known.list_checking(connected)
    order = ("connected", "checking", "lost", "disconnected")
    return PatientConnections(
        tuple(sorted(places, key=lambda each: order.index(each.state))),
        is_current=told is not None and told.is_current,
        as_of=told.taken_at if told else None,
    )


def find_connection(patient: Patient, patient_connection_id: str) -> ConnectedPlace | None:
    """Return the connection ``conn_…`` of ``patient``; somebody else's is None."""
    for each in list_connections(patient).places:
        if patient_connection_id and each.patient_connection_id == patient_connection_id:
            return each
    return None


def _attempts_of(patient: Patient) -> list[PatientConnectionAttempt]:
    return list(PatientConnectionAttempt.objects.of_patient(patient.patient_id)[:_ATTEMPTS_READ])


def _was_won(attempt: PatientConnectionAttempt) -> bool:
    return attempt.status == PatientConnectionAttempt.Status.SUCCEEDED


def _link_told(told: PatientConnection) -> _Link:
    ended = told.failure_at or told.updated_at if told.status in LOST_STATUSES else None
    return _Link(
        told.id, told.connection_id, told.status, storable(told.created_at), storable(ended)
    )


def _link_seen(attempt: PatientConnectionAttempt) -> _Link:
    return _Link(
        attempt.patient_connection_id,
        attempt.connection_id,
        attempt.connection_status or ("expired" if attempt.lost_at else "active"),
        attempt.finished_at,
        attempt.lost_at,
    )


def _list_since(
    told: ConnectionsSnapshot, attempts: Iterable[PatientConnectionAttempt]
) -> Iterator[_Link]:
    """Give what Medblocks told once, less what was settled here since: that first, as we saw it."""
    won = [each for each in attempts if _was_won(each)]
    since = [each for each in won if told.revisions.get(each.pk) != each.revision]
    yield from map(_link_seen, since)
    renewed = {each.patient_connection_id for each in since}
    yield from (_link_told(each) for each in told.connections if each.id not in renewed)


def _worth_showing(links: Iterable[_Link]) -> Iterator[_Link]:
    """Give every active link, and of the others each facility's newest if none is active there."""
    # Connecting again may keep the link: then two of our attempts tell of one.
    once = {each.id or each: each for each in reversed(list(links)) if each.status != "failed"}
    told = list(reversed(once.values()))
    shown = {each.connection_id for each in told if each.status == "active"}
    for link in told:
        if link.status == "active":
            yield link
        elif link.connection_id not in shown:
            shown.add(link.connection_id)
            yield link


class _Known:
    """What our own attempts know of a patient's connections: names, and when records came."""

    def __init__(self, attempts: list[PatientConnectionAttempt]) -> None:
        self._attempts = attempts
        self._names_left = _NAMES_ASKED
        self._names = self._read_names()
        self._records, self._cut = self._read_events()

    def describe(self, link: _Link) -> ConnectedPlace:
        """Put ``link`` as the pages tell it."""
        attempt = next(
            (each for each in self._attempts if link.id and each.patient_connection_id == link.id),
            None,
        )
        # Reconnecting names the facility as it was chosen: it may be known by its address alone.
        facility = attempt.connection_id if attempt else ""
        records_at = self._records.get(facility) or self._records.get(link.connection_id)
        return ConnectedPlace(
            state=self._state(link, attempt),
            connection_id=facility or link.connection_id,
            patient_connection_id=link.id,
            name=self._name(link),
            since=link.since,
            ended=link.ended,
            records_at=records_at,
        )

    def list_checking(self, connected: set[str]) -> list[ConnectedPlace]:
        """Return the newest attempt of each facility, not connected yet, that is being checked."""
        returned = PatientConnectionAttempt.Status.RETURNED
        newest: dict[str, PatientConnectionAttempt] = {}
        for each in self._attempts:
            newest.setdefault(each.connection_id, each)
        return [
            ConnectedPlace("checking", facility, name=each.connection_name, attempt=each)
            for facility, each in newest.items()
            if each.status == returned and facility not in connected
        ]

    def _state(self, link: _Link, attempt: PatientConnectionAttempt | None) -> State:
        if link.status == "active":
            return "connected"
        # Among the ways to lose access the attempt keeps one, which may not be the last.
        was_cut = attempt is not None and attempt.pk in self._cut
        if link.status == "disconnected" or (link.status in LOST_STATUSES and was_cut):
            return "disconnected"
        return "lost" if link.status in LOST_STATUSES else "checking"

    def _read_names(self) -> dict[str, str]:
        named = [each for each in reversed(self._attempts) if each.connection_name]
        names = {each.connection_id: each.connection_name for each in named}
        return names | {
            each.patient_connection_id: each.connection_name
            for each in named
            if each.patient_connection_id
        }

    def _read_events(self) -> tuple[Mapping[str, datetime], set[int]]:
        """Return when records last came, by facility, and which attempts' links were cut."""
        kinds = AttemptEvent.Kind
        won = {each.pk: each.connection_id for each in self._attempts if _was_won(each)}
        told = AttemptEvent.objects.filter(
            attempt__in=won, kind__in=(kinds.RECORDS_SYNCED, kinds.DISCONNECTED)
        )
        records: dict[str, datetime] = {}
        cut: set[int] = set()
        for event in told.order_by("id"):
            if event.kind == kinds.DISCONNECTED:
                cut.add(event.attempt_id)
            else:
                records[won[event.attempt_id]] = event.created_at
        return records, cut

    def _name(self, link: _Link) -> str:
        name = self._names.get(link.id) or self._names.get(link.connection_id)
        if name or self._names_left <= 0:
            return name or ""
        self._names_left -= 1
        try:
            return get_facility(link.connection_id, timeout=_NAME_SECONDS).name
        except NotFoundError:
            return ""
        except MedblocksError:  # the others would wait in vain as well
            self._names_left = 0
            return ""
