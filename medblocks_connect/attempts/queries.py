"""A patient's own attempts: the one that a request names, whether they left this site for it,
whether a failure is the second, and how they stand at its place now.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import router
from django.db.models import Q

from medblocks_connect.attempts.connection_state import ACTIVE, DISCONNECTED
from medblocks_connect.error_messages import PATIENTS_CHOICES
from medblocks_connect.models import (
    AttemptEvent,
    ConnectionLink,
    PatientConnection,
    PatientConnectionAttempt,
)
from medblocks_connect.models.attempt import was_never_led_away
from medblocks_connect.patients import Patient

_RECENT: Final = timedelta(days=30)
_Status = PatientConnectionAttempt.Status
_Kind = AttemptEvent.Kind
# As has_failed_twice sees it: the same code at a start that was refused is nobody's choice.
_IS_PATIENTS_CHOICE: Final = Q(error__in=PATIENTS_CHOICES) & (
    Q(patient_session_id__isnull=False) | Q(returned_at__isnull=False)
)


def find_attempt(patient: Patient, **lookup: str) -> PatientConnectionAttempt | None:
    """Return the one attempt of ``patient`` that ``lookup`` names, or None.

    Somebody else's attempt is None, exactly like one that does not exist.
    """
    if any(map(_has_nul, lookup.values())):
        return None
    own = PatientConnectionAttempt.objects.where_written().of_patient(patient.patient_id)
    return own.filter(**lookup).first()


def find_unreturned_attempt(patient_session_id: str) -> PatientConnectionAttempt | None:
    """Return the attempt of that session, whosever it is, whose patient has not come back."""
    if _has_nul(patient_session_id):
        return None
    attempts = PatientConnectionAttempt.objects.where_written()
    return attempts.filter(patient_session_id=patient_session_id, returned_at__isnull=True).first()


def _has_nul(text: str) -> bool:
    """Return whether PostgreSQL would raise for a comparison with it; nothing kept has one."""
    return "\x00" in text


@dataclass(frozen=True)
class Standing:
    """How the patient stands now at the place of an attempt, whatever came of the attempt.

    ``is_later``: by a later attempt than this one. ``was_regained``: the access had ended
    meanwhile. ``is_disconnected``: not lost, but ended by somebody. ``lacks_records``: some did not
    arrive, and have not all come since. Times are as stored.
    """

    is_connected: bool = False
    is_later: bool = False
    was_regained: bool = False
    is_disconnected: bool = False
    lacks_records: bool = False
    records_at: datetime | None = None
    records_failed_at: datetime | None = None


def find_standing(attempt: PatientConnectionAttempt) -> Standing:
    """Return whether the patient of ``attempt`` is connected at its place now."""
    if not attempt.is_in_workspace:
        return Standing()
    connections = PatientConnection.objects.where_written().of_patient(attempt.patient_id)
    connection = connections.filter(place_id=attempt.place_id).first()
    if connection is None:  # a row that a host made itself
        was_disconnected = attempt.connection_status == DISCONNECTED
        return Standing(attempt.is_connected, is_disconnected=was_disconnected)
    if not connection.is_connected:
        state = PatientConnection.State.DISCONNECTED
        return Standing(is_disconnected=connection.state == state)
    is_later = (connection.attempt_id or 0) > attempt.pk
    return Standing(
        is_connected=True,
        is_later=is_later,
        was_regained=_was_regained(attempt, connection),
        lacks_records=connection.lacks_records,
        records_at=connection.records_at,
        records_failed_at=connection.records_failed_at,
    )


def _was_regained(attempt: PatientConnectionAttempt, connection: PatientConnection) -> bool:
    """Return whether access ended after ``attempt``, and no other link worked all the while."""
    if attempt.lost_at is None:
        return False
    links = list(connection.links.using(router.db_for_write(PatientConnection)))
    own = attempt.patient_connection_id
    told = [link.told_lost_at for link in links if link.patient_connection_id == own]
    # The attempt may have heard of it later than the place, by which it has the right time.
    lost_at = min(filter(None, (*told, attempt.lost_at)))
    return not any(_worked_at(link, lost_at) for link in links if link.patient_connection_id != own)


def _worked_at(link: ConnectionLink, moment: datetime) -> bool:
    """Return whether ``link`` works, and has since before ``moment``, as far as is known."""
    was_never_lost = link.told_lost_at is None and link.seen_lost_at is None
    is_older = link.since is not None and link.since <= moment
    return link.status == ACTIVE and was_never_lost and is_older


def was_ended_here(attempt: PatientConnectionAttempt) -> bool:
    """Return whether the access that ``attempt`` had was ended on our own page.

    Its own link was since it began, be the place connected again or not; or the place was, as it
    stands.
    """
    if attempt.lost_at is None or attempt.status != _Status.SUCCEEDED:
        return False
    # In the attempt's own workspace, which need not be the one in force.
    connections = PatientConnection.objects.where_written().filter(
        workspace=attempt.workspace, patient_id=attempt.patient_id, place_id=attempt.place_id
    )
    own_link = Q(
        links__patient_connection_id=attempt.patient_connection_id,
        links__ended_here_at__gt=attempt.created_at,
    )
    return connections.filter(own_link | Q(was_ended_here=True)).exists()


def has_never_left(attempt: PatientConnectionAttempt) -> bool:
    """Return whether nothing says that the patient of ``attempt`` ever left this site for it.

    A start that got no answer led nobody away, and its session, found again by reconciliation, is
    an address that nobody was given. So it counts as never left while that session is open or has
    lapsed. Once it failed or connected at Medblocks somebody was there, however they came.
    """
    if was_never_led_away(attempt):
        return True
    if attempt.returned_at is not None or attempt.status not in {_Status.STARTED, _Status.EXPIRED}:
        return False
    events = attempt.events.using(router.db_for_write(AttemptEvent))
    opened = events.filter(kind__in=(_Kind.STARTED, _Kind.ADOPTED)).values_list("kind", flat=True)
    return set(opened) == {_Kind.ADOPTED}


def has_failed_twice(attempt: PatientConnectionAttempt) -> bool:
    """Return whether the patient failed at this facility before, in the last 30 days.

    A success in between begins anew; the patient's own "no" is no failure.
    """
    if not _is_failure(attempt):
        return False
    own = PatientConnectionAttempt.objects.of_patient(attempt.patient_id)
    earlier = own.filter(
        workspace=attempt.workspace,
        place_id=attempt.place_id,
        created_at__gte=attempt.created_at - _RECENT,
        id__lt=attempt.pk,
        status__in=(_Status.FAILED, _Status.EXPIRED, _Status.SUCCEEDED),
    ).exclude(_IS_PATIENTS_CHOICE)
    latest = earlier.order_by("-id").first()
    return latest is not None and _is_failure(latest)


def _is_failure(attempt: PatientConnectionAttempt) -> bool:
    if attempt.error in PATIENTS_CHOICES and not was_never_led_away(attempt):
        return False
    return attempt.status in {_Status.FAILED, _Status.EXPIRED}
