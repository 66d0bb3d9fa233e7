"""What Medblocks' own session says about an attempt, as evidence. Writes nothing."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from django.utils import timezone as django_timezone

from medblocks_connect.api import MedblocksError, PatientSession, UnexpectedReplyError
from medblocks_connect.attempts.outcome import Outcome, Rank, conclude_from_session
from medblocks_connect.attempts.settle import Evidence, Kind, Source
from medblocks_connect.conf import conf
from medblocks_connect.facilities.lookup import find_known_facility, get_facility
from medblocks_connect.models import AttemptEvent, PatientConnectionAttempt
from medblocks_connect.timezones import aware, storable

_NAME_TIMEOUT = 2.0  # seconds: a patient waits for the page


def read_session(
    attempt: PatientConnectionAttempt, session: PatientSession, source: AttemptEvent.Source
) -> Evidence:
    """Return Medblocks' session as evidence about ``attempt``.

    Raises ``UnexpectedReplyError`` for a session of another patient.
    """
    if session.patient_id != attempt.patient_id:
        raise UnexpectedReplyError("The session is another patient's.")
    now = datetime.now(timezone.utc)
    outcome = conclude_from_session(
        _name_asked_facility(attempt, session), attempt.connection_id, now, end_of_session(attempt)
    )
    facts: dict[str, Any] = {"expires_at": storable(session.expires_at)}
    if outcome.rank >= Rank.EXPIRED:
        facts["answered_at"] = django_timezone.now()
    if outcome.rank is Rank.SUCCEEDED:
        facts.update(_describe_facility(attempt, session, outcome, source))
    return Evidence(
        source=source,
        kind=_kind(outcome),
        outcome=outcome,
        request_id=session.request_id,
        occurred_at=outcome.failure.failure_at if outcome.failure else None,
        facts=facts,
    )


def end_of_session(attempt: PatientConnectionAttempt) -> datetime:
    """Return when the session of ``attempt`` ends, as far as is known here; aware."""
    if attempt.expires_at is not None:
        return aware(attempt.expires_at)
    return aware(attempt.created_at) + timedelta(seconds=conf.session_expires_in)


def _name_asked_facility(
    attempt: PatientConnectionAttempt, session: PatientSession
) -> PatientSession:
    """Return ``session`` with our own word for its facility, where it cannot be told without.

    Started with a FHIR base URL, it may repeat that or name nothing, while its connections have
    the catalog's ids: of several, ours is the one that the catalog knows by that URL.
    """
    asked = attempt.connection_id
    is_named = session.connection_id.rstrip("/") not in ("", asked.rstrip("/"))
    several = len({each.connection_id for each in session.connections}) > 1
    if "://" not in asked or is_named or not several:
        return session
    known = find_known_facility(asked)
    return replace(session, connection_id=known.id) if known else session


def _describe_facility(
    attempt: PatientConnectionAttempt,
    session: PatientSession,
    outcome: Outcome,
    source: AttemptEvent.Source,
) -> dict[str, str]:
    """Return the columns of the facility which the session connected."""
    connected = next(
        each.connection_id
        for each in session.connections
        if outcome.link
        and (each.status, each.id) == (outcome.link.status, outcome.link.patient_connection_id)
    )
    told = {"connection_id": connected}
    if connected != (attempt.connection_id or connected):
        # Started with its FHIR base URL; what Medblocks tells later names its own id.
        told["facility_id"] = connected
    # A webhook's answer is due within seconds: reconciliation names the place.
    if attempt.connection_name or source is Source.WEBHOOK:
        return told
    with suppress(MedblocksError):  # the name is worth a moment, but not the outcome
        told |= name_facility(connected)
    return told


def name_facility(connection_id: str) -> dict[str, str]:
    """Return the columns that name a facility; raises ``MedblocksError`` where nobody can now."""
    facility = get_facility(connection_id, timeout=_NAME_TIMEOUT)
    return {"connection_name": facility.name, "connection_type": facility.type}


def _kind(outcome: Outcome) -> AttemptEvent.Kind:
    if outcome.rank is Rank.SUCCEEDED:
        return Kind.LOST if outcome.link and outcome.link.is_lost else Kind.CONNECTED
    return {Rank.FAILED: Kind.FAILED, Rank.EXPIRED: Kind.EXPIRED}.get(outcome.rank, Kind.STILL_OPEN)
