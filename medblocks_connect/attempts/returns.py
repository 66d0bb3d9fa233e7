"""A patient comes back from the portal: their claim is noted, then Medblocks is asked."""

from __future__ import annotations

from django.db import router
from django.utils import timezone

from medblocks_connect.api import Returned, ReturnedFailure, ReturnedSuccess
from medblocks_connect.attempts.outcome import conclude_from_return
from medblocks_connect.attempts.settle import Evidence, Kind, Source, settle
from medblocks_connect.attempts.verification import confirm_attempt
from medblocks_connect.models import AttemptEvent, PatientConnectionAttempt
from medblocks_connect.patients import Patient


def find_attempt(patient: Patient, **lookup: str) -> PatientConnectionAttempt | None:
    """Return the one attempt of ``patient`` that ``lookup`` names, or None.

    Somebody else's attempt is None, exactly like one that does not exist.
    """
    # PostgreSQL raises for a NUL in a comparison; nothing that is kept has one.
    if any("\x00" in value for value in lookup.values()):
        return None
    # Where it is written: a replica that lags behind would show what was so before the return.
    database = router.db_for_write(PatientConnectionAttempt)
    attempt = PatientConnectionAttempt.objects.using(database).filter(**lookup).first()
    # Compared here and not in the query: MySQL takes "ab " for "ab".
    if attempt is None or attempt.patient_id != patient.patient_id:
        return None
    return attempt


def come_back(patient: Patient, returned: Returned) -> PatientConnectionAttempt | None:
    """Note what the return URL claims, ask Medblocks, and return the attempt.

    None where this session was not started by this patient: then nothing is written.
    """
    attempt = find_attempt(patient, patient_session_id=returned.patient_session_id)
    if attempt is None:
        return None
    settle(
        attempt,
        Evidence(
            source=Source.RETURN,
            kind=_kind(returned),
            outcome=conclude_from_return(returned),
            facts={"returned_at": timezone.now()},
        ),
    )
    confirm_attempt(attempt)
    return attempt


def _kind(returned: Returned) -> AttemptEvent.Kind:
    if isinstance(returned, ReturnedSuccess):
        return Kind.CLAIMED_SUCCESS
    return Kind.CLAIMED_FAILURE if isinstance(returned, ReturnedFailure) else Kind.CAME_BACK
