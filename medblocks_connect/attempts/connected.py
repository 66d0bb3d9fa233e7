"""Where a patient is connected, as far as our own attempts tell: Medblocks is not asked."""

from __future__ import annotations

from collections.abc import Iterable

from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.patients import Patient


def find_connected(patient: Patient, connection_ids: Iterable[str]) -> frozenset[str]:
    """Return those of the facilities that ``patient`` is connected to.

    A retry that failed ends no connection: at each facility the newest success decides.
    """
    won = PatientConnectionAttempt.objects.filter(
        patient_id=patient.patient_id,
        connection_id__in=list(connection_ids),
        status=PatientConnectionAttempt.Status.SUCCEEDED,
    )
    newest = {
        each.connection_id: each.lost_at is None
        for each in won.order_by("id")
        if each.patient_id == patient.patient_id  # MySQL takes "ab " for "ab"
    }
    return frozenset(each for each, stands in newest.items() if stands)
