"""Disconnecting a patient: Medblocks ends the connection first, then it is settled here."""

from __future__ import annotations

from medblocks_connect.api import NoAnswerError, NotFoundError, UnexpectedReplyError
from medblocks_connect.attempts.outcome import Link, Outcome
from medblocks_connect.attempts.settle import Evidence, Kind, Source, settle
from medblocks_connect.medblocks_client import get_client
from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.patients import Patient

_DISCONNECTED = "disconnected"


def disconnect_patient(patient: Patient, patient_connection_id: str) -> None:
    """Cut the link ``conn_…`` of ``patient``, and settle the attempts that it came of.

    Raises ``MedblocksError`` where Medblocks does not say that the link is cut; then nothing is
    written.
    """
    try:
        _cut(patient, patient_connection_id)
    except (NoAnswerError, NotFoundError, UnexpectedReplyError):
        # None of these says whether the link still works: Medblocks' own list does.
        if not _is_cut(patient, patient_connection_id):
            raise
    _settle(patient, patient_connection_id)


def _cut(patient: Patient, patient_connection_id: str) -> None:
    client = get_client()
    cut = client.patients.disconnect_connection(patient.patient_id, patient_connection_id)
    if not cut.disconnected:
        raise UnexpectedReplyError("The connection was not disconnected.")


def _is_cut(patient: Patient, patient_connection_id: str) -> bool:
    try:
        links = get_client().patients.retrieve(patient.patient_id).connections
    except NotFoundError:
        return True
    same = [each for each in links if each.id == patient_connection_id]
    return all(each.status == _DISCONNECTED for each in same)


def _settle(patient: Patient, patient_connection_id: str) -> None:
    evidence = Evidence(
        Source.SITE, Kind.DISCONNECTED, Outcome(link=Link(_DISCONNECTED, patient_connection_id))
    )
    own = PatientConnectionAttempt.objects.of_patient(patient.patient_id)
    for attempt in own.filter(patient_connection_id=patient_connection_id):
        settle(attempt, evidence)
