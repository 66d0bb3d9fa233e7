"""A patient's own attempts: the one that a request names, and whether a failure is the second."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from medblocks_connect.error_messages import PATIENTS_CHOICES
from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.patients import Patient

_RECENT: Final = timedelta(days=30)
_Status = PatientConnectionAttempt.Status


def find_attempt(patient: Patient, **lookup: str) -> PatientConnectionAttempt | None:
    """Return the one attempt of ``patient`` that ``lookup`` names, or None.

    Somebody else's attempt is None, exactly like one that does not exist.
    """
    # PostgreSQL raises for a NUL in a comparison; nothing that is kept has one.
    if any("\x00" in value for value in lookup.values()):
        return None
    own = PatientConnectionAttempt.objects.where_written().of_patient(patient.patient_id)
    return own.filter(**lookup).first()


def has_failed_twice(attempt: PatientConnectionAttempt) -> bool:
    """Return whether the patient failed at this facility before, in the last 30 days.

    A success in between begins anew; the patient's own "no" is no failure.
    """
    if not _is_failure(attempt):
        return False
    own = PatientConnectionAttempt.objects.of_patient(attempt.patient_id).in_workspace()
    earlier = own.filter(
        connection_id=attempt.connection_id,
        created_at__gte=attempt.created_at - _RECENT,
        id__lt=attempt.pk,
        status__in=(_Status.FAILED, _Status.EXPIRED, _Status.SUCCEEDED),
    ).exclude(error__in=PATIENTS_CHOICES)
    latest = earlier.order_by("-id").first()
    return latest is not None and _is_failure(latest)


def _is_failure(attempt: PatientConnectionAttempt) -> bool:
    if attempt.error in PATIENTS_CHOICES:
        return False
    return attempt.status in {_Status.FAILED, _Status.EXPIRED}
