"""Return from the portal: what the patient's URL claims is stored, then Medblocks is asked."""

from __future__ import annotations

from django.utils import timezone

from medblocks_connect.api import Returned, ReturnedFailure, ReturnedSuccess
from medblocks_connect.attempts.evidence import Evidence, Kind, Source
from medblocks_connect.attempts.outcome import Outcome, conclude_from_return
from medblocks_connect.attempts.queries import find_attempt, find_unreturned_attempt
from medblocks_connect.attempts.settle import settle
from medblocks_connect.attempts.verification import verify_if_due
from medblocks_connect.models import AttemptEvent, PatientConnectionAttempt
from medblocks_connect.patients import Patient


def record_return(patient: Patient, returned: Returned) -> PatientConnectionAttempt | None:
    """Store what the return URL claims, ask Medblocks where that is due, and return the attempt.

    None where this session was not started by this patient: then nothing of the claim is written.
    """
    attempt = find_attempt(patient, patient_session_id=returned.patient_session_id)
    if attempt is None:
        _note_another_patient(returned)
        return None
    settle(
        attempt,
        Evidence(
            source=Source.RETURN,
            kind=_event_kind_of_return(returned),
            outcome=conclude_from_return(returned),
            actor=patient.actor,
            facts={"returned_at": timezone.now()},
        ),
    )
    verify_if_due(attempt)
    return attempt


def _note_another_patient(returned: Returned) -> None:
    """Note, once, that another patient came back from a portal that only one was sent to.

    Who passes a link to the portal on may have a stranger's records connected as theirs. Only
    Medblocks can prevent it: staff are told, and the outcome stays what it is. Once the attempt's
    own patient is back, theirs is the sign-in that the portal took.
    """
    attempt = find_unreturned_attempt(returned.patient_session_id)
    if attempt is not None:
        facts = {"another_patient_at": timezone.now()}
        note = Evidence(Source.RETURN, Kind.ANOTHER_PATIENT, Outcome(), facts=facts)
        settle(attempt, note)


def _event_kind_of_return(returned: Returned) -> AttemptEvent.Kind:
    if isinstance(returned, ReturnedSuccess):
        return Kind.CLAIMED_SUCCESS
    return Kind.CLAIMED_FAILURE if isinstance(returned, ReturnedFailure) else Kind.CAME_BACK
