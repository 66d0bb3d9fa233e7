"""The list of a patient's places: where they are connected, were, or are being checked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal, TypeAlias

from django.utils import timezone

from medblocks_connect.api import MedblocksError, NotFoundError
from medblocks_connect.facilities.lookup import get_facility
from medblocks_connect.models import ConnectionLink, PatientConnection, PatientConnectionAttempt
from medblocks_connect.patient_connections.snapshot import refresh_connections
from medblocks_connect.patients import Patient

PlaceState: TypeAlias = Literal["connected", "lost", "disconnected", "checking"]

RECORDS_ARRIVE_WITHIN: Final = timedelta(days=7)
"""How long after connecting a page still says that the records are on their way."""

_ORDER: Final[tuple[PlaceState, ...]] = ("connected", "checking", "lost", "disconnected")
_MAX_ATTEMPTS: Final = 200
# Connections made elsewhere in the same workspace: their names are worth a short wait, all told.
_MAX_NAMES_ASKED: Final = 5
_NAME_SECONDS: Final = 2.0


@dataclass(frozen=True)
class ConnectedPlace:
    """A patient at a place, as the pages tell it. Times are as the host stores them."""

    state: PlaceState
    place_id: str
    connection_id: str  # the facility's, to connect again
    patient_connection_id: str = ""  # conn_…, to disconnect
    name: str = ""  # "" where nobody told it
    since: datetime | None = None
    ended: datetime | None = None
    records_at: datetime | None = None
    records_failed_at: datetime | None = None  # None where they came after all
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

    ``as_of`` is then when Medblocks told them; None where it never did.
    """

    places: tuple[ConnectedPlace, ...]
    is_current: bool
    as_of: datetime | None = None


def list_connections(patient: Patient) -> PatientConnections:
    """Return the connections of ``patient``, those that work first. Never raises for Medblocks."""
    is_current, rows = refresh_connections(patient)
    _name_rows(rows)
    connected = {row.place_id for row in rows if row.is_connected}
    checking = {attempt.place_id: attempt for attempt in _find_checking(patient, connected)}
    places = [_describe_checking(attempt) for attempt in checking.values()]
    places += [_describe(row, links) for row, links in rows.items() if row.place_id not in checking]
    asked = [row.asked_at for row in rows if row.asked_at]
    return PatientConnections(
        tuple(sorted(places, key=lambda place: _ORDER.index(place.state))),
        is_current=is_current,
        as_of=min(asked) if asked and not is_current else None,
    )


def find_connection(patient: Patient, patient_connection_id: str) -> ConnectedPlace | None:
    """Return the place with the connection ``conn_…`` of ``patient``; somebody else's is None."""
    if not patient_connection_id:
        return None
    _, rows = refresh_connections(patient)
    for row, links in rows.items():
        if any(link.patient_connection_id == patient_connection_id for link in links):
            _name_rows([row])
            return _describe(row, links)
    return None


def _describe(row: PatientConnection, links: Sequence[ConnectionLink]) -> ConnectedPlace:
    working = [link for link in links if link.status == "active"]
    return ConnectedPlace(
        state=row.state,  # type: ignore[arg-type]  # the same words
        place_id=row.place_id,
        connection_id=row.connection_id,
        patient_connection_id=next(
            (link.patient_connection_id for link in [*reversed(working), *reversed(links)]), ""
        ),
        name=row.connection_name,
        since=row.since,
        ended=row.lost_at,
        records_at=row.records_at,
        records_failed_at=row.records_failed_at if row.lacks_records else None,
    )


def _describe_checking(attempt: PatientConnectionAttempt) -> ConnectedPlace:
    return ConnectedPlace(
        "checking",
        attempt.place_id,
        attempt.connection_id,
        name=attempt.connection_name,
        attempt=attempt,
    )


def _find_checking(patient: Patient, connected: set[str]) -> list[PatientConnectionAttempt]:
    """Return the newest attempt of each place, not connected yet, that is being checked."""
    returned = PatientConnectionAttempt.Status.RETURNED
    attempts = PatientConnectionAttempt.objects.where_written()
    own = attempts.of_patient(patient.patient_id).in_workspace()
    newest: dict[str, PatientConnectionAttempt] = {}
    for attempt in own[:_MAX_ATTEMPTS]:
        newest.setdefault(attempt.place_id, attempt)
    return [
        attempt
        for place_id, attempt in newest.items()
        if attempt.status == returned and place_id not in connected
    ]


def _name_rows(rows: Iterable[PatientConnection]) -> None:
    """Ask for the names of those that were connected elsewhere, and keep them."""
    for row in [row for row in rows if not row.connection_name][:_MAX_NAMES_ASKED]:
        try:
            facility = get_facility(row.connection_id, timeout=_NAME_SECONDS)
        except NotFoundError:
            continue
        except MedblocksError:  # the others would wait in vain as well
            return
        row.connection_name, row.connection_type = facility.name, facility.type
        # No save(), which fails where the row has become another's meanwhile.
        PatientConnection.objects.filter(pk=row.pk, connection_name="").update(
            connection_name=facility.name, connection_type=facility.type
        )
