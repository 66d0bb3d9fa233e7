"""What Medblocks knows of an attempt: asking it, and how often that is polite."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any

from django.db import OperationalError
from django.db.models import Q
from django.utils import timezone as django_timezone

from medblocks_connect.api import MedblocksError, PatientSession, UnexpectedReplyError
from medblocks_connect.attempts.outcome import Outcome, Rank, conclude_from_session
from medblocks_connect.attempts.settle import Evidence, Kind, Source, settle
from medblocks_connect.clock import storable
from medblocks_connect.facilities import find_known_facility, get_facility
from medblocks_connect.medblocks import get_client
from medblocks_connect.models import AttemptEvent, PatientConnectionAttempt

POLITE_INTERVAL = timedelta(seconds=3)
"""How long a patient's waiting page leaves Medblocks alone between two questions."""

_NAME_TIMEOUT = 2.0  # seconds: a patient waits for the page


def confirm_attempt(attempt: PatientConnectionAttempt) -> bool:
    """Ask Medblocks about ``attempt`` and settle what it says; whether it answered.

    Never raises for Medblocks' sake: an attempt that cannot be confirmed now stays as it is, for
    the next question, the webhook or ``medblocks_reconcile``.
    """
    if not attempt.patient_session_id:
        return False
    if attempt.settled_at is None:
        # Only for the pages that wait: losing this note to a lock costs one more question.
        with suppress(OperationalError):
            now = django_timezone.now()
            PatientConnectionAttempt.objects.filter(pk=attempt.pk).update(asked_at=now)
    return _ask(attempt)


def _ask(attempt: PatientConnectionAttempt) -> bool:
    try:
        session = get_client().patient_sessions.retrieve(attempt.patient_session_id)
        evidence = read_session(attempt, session, Source.MEDBLOCKS)
    except MedblocksError:
        return False
    settle(attempt, evidence)
    return True


def confirm_attempt_politely(attempt: PatientConnectionAttempt) -> None:
    """Ask as :func:`confirm_attempt` does, unless somebody just did."""
    now = django_timezone.now()
    long_enough = Q(asked_at__isnull=True) | Q(asked_at__lt=now - POLITE_INTERVAL)
    # The UPDATE is the claim: of several pages that wait for one attempt, one asks.
    if not attempt.patient_session_id:
        return
    if PatientConnectionAttempt.objects.filter(long_enough, pk=attempt.pk).update(asked_at=now):
        _ask(attempt)


def read_session(
    attempt: PatientConnectionAttempt, session: PatientSession, source: AttemptEvent.Source
) -> Evidence:
    """Return Medblocks' session as evidence about ``attempt``.

    Raises ``UnexpectedReplyError`` for a session of another patient.
    """
    if session.patient_id != attempt.patient_id:
        raise UnexpectedReplyError("The session is another patient's.")
    outcome = conclude_from_session(session, attempt.connection_id, datetime.now(timezone.utc))
    facts: dict[str, Any] = {"expires_at": storable(session.expires_at)}
    if attempt.returned_at is not None:
        facts["answered_at"] = django_timezone.now()
    if not attempt.connection_name and outcome.rank is Rank.SUCCEEDED:
        # Chosen at Medblocks' own page, or started when the catalog could not tell the name.
        facts.update(_describe_facility(session, outcome, may_ask=source is not Source.WEBHOOK))
    return Evidence(
        source=source,
        kind=_kind(outcome),
        outcome=outcome,
        request_id=session.request_id,
        occurred_at=outcome.failure.failure_at if outcome.failure else None,
        facts=facts,
    )


def _describe_facility(
    session: PatientSession, outcome: Outcome, *, may_ask: bool
) -> dict[str, str]:
    """Return the columns that name the facility which the session connected."""
    connected = next(
        each.connection_id
        for each in session.connections
        if outcome.link
        and (each.status, each.id) == (outcome.link.status, outcome.link.patient_connection_id)
    )
    facility = find_known_facility(connected)
    if facility is None and may_ask:
        try:
            facility = get_facility(connected, timeout=_NAME_TIMEOUT)
        except MedblocksError:
            facility = None  # the name is worth a moment, but not the outcome
    if facility is None:
        return {"connection_id": connected}
    return {
        "connection_id": connected,
        "connection_name": facility.name,
        "connection_type": facility.type,
    }


def _kind(outcome: Outcome) -> AttemptEvent.Kind:
    if outcome.rank is Rank.SUCCEEDED:
        return Kind.LOST if outcome.link and outcome.link.is_lost else Kind.CONNECTED
    return {Rank.FAILED: Kind.FAILED, Rank.EXPIRED: Kind.EXPIRED}.get(outcome.rank, Kind.STILL_OPEN)
