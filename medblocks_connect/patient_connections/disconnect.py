"""Disconnecting a patient: Medblocks ends the connection first, then it is settled here."""

from __future__ import annotations

from medblocks_connect.api import NoAnswerError, NotFoundError, UnexpectedReplyError
from medblocks_connect.attempts.evidence import Evidence, Kind, Source
from medblocks_connect.attempts.outcome import Outcome, OutcomeConnection
from medblocks_connect.attempts.settle import settle
from medblocks_connect.medblocks_client import get_client
from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.patient_connections.snapshot import forget_snapshot
from medblocks_connect.patients import Patient

_DISCONNECTED = "disconnected"


def disconnect_patient(patient: Patient, patient_connection_id: str) -> None:
    """End the connection ``conn_…`` of ``patient``, and settle the attempts that it came of.

    What the cache holds of their connections is forgotten, however it ends. Raises
    ``MedblocksError`` where Medblocks does not say that the connection has ended; then nothing is
    written.
    """
    has_ended = False
    try:
        _end_connection(patient, patient_connection_id)
        has_ended = True
        _settle_disconnected(patient, patient_connection_id)
    finally:
        forget_snapshot(patient, with_last_good=has_ended)


def _end_connection(patient: Patient, patient_connection_id: str) -> None:
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
    return all(status == _DISCONNECTED for status in statuses)


def _settle_disconnected(patient: Patient, patient_connection_id: str) -> None:
    connection = OutcomeConnection(_DISCONNECTED, patient_connection_id)
    evidence = Evidence(
        Source.SITE, Kind.DISCONNECTED, Outcome(connection=connection), actor=patient.actor
    )
    own = PatientConnectionAttempt.objects.of_patient(patient.patient_id).in_workspace()
    for attempt in own.filter(patient_connection_id=patient_connection_id):
        settle(attempt, evidence)
