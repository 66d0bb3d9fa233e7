"""Disconnecting a patient from a place: Medblocks ends each of its links, then it is settled."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial

from django.db import router, transaction

from medblocks_connect.api import MedblocksError, NoAnswerError, NotFoundError, UnexpectedReplyError
from medblocks_connect.attempts.connection_rows import record_places
from medblocks_connect.attempts.connection_state import ACTIVE, DISCONNECTED, tell_link
from medblocks_connect.attempts.database_retry import retry_on_deadlock
from medblocks_connect.attempts.evidence import Evidence, Kind, PlaceEvidence, Source
from medblocks_connect.attempts.losses import tell_loss
from medblocks_connect.attempts.outcome import Outcome, OutcomeConnection
from medblocks_connect.attempts.settle import settle
from medblocks_connect.medblocks_client import get_client
from medblocks_connect.models import ConnectionLink, PatientConnection, PatientConnectionAttempt
from medblocks_connect.patient_connections.snapshot import forget_snapshot
from medblocks_connect.patients import Patient


@dataclass(frozen=True)
class Disconnection:
    """How many links to a place have ended, and how many may still be there."""

    ended: int
    left: int


def disconnect_patient(patient: Patient, patient_connection_id: str) -> Disconnection:
    """End every link of ``patient`` to the place that ``conn_…`` is a link to, and settle that.

    Medblocks is asked about each, also after one of which it does not say that it has ended: the
    patient wants none of them. To repeat it is safe. Never raises for Medblocks' sake.
    """
    links = _list_links(patient, patient_connection_id)
    ended = 0
    try:
        for link in links:
            with suppress(MedblocksError):
                _end_link(patient, link.patient_connection_id)
                _settle_disconnected(patient, link)
                ended += 1
    finally:
        forget_snapshot(patient)
    return Disconnection(ended, left=len(links) - ended)


def _list_links(patient: Patient, patient_connection_id: str) -> list[ConnectionLink]:
    """Return the links that may work, and the one that is named, of the same place."""
    own = PatientConnection.objects.where_written().of_patient(patient.patient_id)
    named = own.filter(links__patient_connection_id=patient_connection_id)
    row = named.with_links().select_related("attempt").first()
    if row is None:
        return []
    return [
        link
        for link in row.links.all()
        if link.patient_connection_id
        and (link.status == ACTIVE or link.patient_connection_id == patient_connection_id)
    ]


def _end_link(patient: Patient, patient_connection_id: str) -> None:
    try:
        _ask_to_disconnect(patient, patient_connection_id)
    except (NoAnswerError, NotFoundError, UnexpectedReplyError):
        # None of these says whether the connection still works: Medblocks' own list does.
        if not _is_disconnected(patient, patient_connection_id):
            raise


def _ask_to_disconnect(patient: Patient, patient_connection_id: str) -> None:
    client = get_client()
    reply = client.patients.disconnect_connection(patient.patient_id, patient_connection_id)
    if not reply.disconnected:
        raise UnexpectedReplyError("The connection was not disconnected.")


def _is_disconnected(patient: Patient, patient_connection_id: str) -> bool:
    try:
        connections = get_client().patients.retrieve(patient.patient_id).connections
    except NotFoundError:
        return True
    statuses = (row.status for row in connections if row.id == patient_connection_id)
    return all(status == DISCONNECTED for status in statuses)


def _settle_disconnected(patient: Patient, link: ConnectionLink) -> None:
    now = datetime.now(timezone.utc)
    told = tell_link(DISCONNECTED, now, lost_at=now, is_ended_here=True)
    place = PlaceEvidence(
        link.connection.place_id, {link.patient_connection_id: told}, actor=patient.actor
    )
    evidence = Evidence(
        Source.SITE,
        Kind.DISCONNECTED,
        Outcome(connection=OutcomeConnection(DISCONNECTED, link.patient_connection_id)),
        actor=patient.actor,
        places=(place,),
    )
    own = PatientConnectionAttempt.objects.where_written().of_patient(patient.patient_id)
    attempts = list(own.in_workspace().filter(patient_connection_id=link.patient_connection_id))
    of_place = link.connection.attempt
    if of_place is not None and of_place.is_hosted and not attempts:
        attempts = [of_place]  # one of several links of its session
    for attempt in attempts:
        settle(attempt, tell_loss(link, evidence) if attempt == of_place else evidence)
    if not attempts:  # made elsewhere
        database = router.db_for_write(PatientConnection)
        retry_on_deadlock(partial(_record, patient, place, database), database)


def _record(patient: Patient, place: PlaceEvidence, database: str) -> None:
    with transaction.atomic(using=database):
        # A write first: a transaction that reads and then writes fails on SQLite under load.
        rows = PatientConnection.objects.using(database).of_patient(patient.patient_id)
        rows.filter(place_id=place.place_id).update(place_id=place.place_id)
        record_places(patient.patient_id, [place], None, database)
