"""Evidence from Medblocks' own session, the truth about an attempt. Writes nothing."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from django.utils import timezone as django_timezone

from medblocks_connect.api import MedblocksError, PatientSession, UnexpectedReplyError
from medblocks_connect.attempts.evidence import Evidence, Kind, Source
from medblocks_connect.attempts.outcome import Outcome, Rank, conclude_from_session
from medblocks_connect.conf import conf
from medblocks_connect.facilities.lookup import find_known_facility, get_facility
from medblocks_connect.models import AttemptEvent, PatientConnectionAttempt
from medblocks_connect.timezones import to_stored_time, to_utc

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
        _complete_facility_id(attempt, session), attempt.connection_id, now, end_of_session(attempt)
    )
    facts: dict[str, Any] = {"expires_at": to_stored_time(session.expires_at)}
    if outcome.rank >= Rank.EXPIRED:
        facts["answered_at"] = django_timezone.now()
    if outcome.rank is Rank.SUCCEEDED:
        facts.update(_get_facility_columns(attempt, session, outcome, source))
    return Evidence(
        source=source,
        kind=_event_kind_of_session(outcome),
        outcome=outcome,
        request_id=session.request_id,
        occurred_at=outcome.failure.failure_at if outcome.failure else None,
        facts=facts,
    )


def end_of_session(attempt: PatientConnectionAttempt) -> datetime:
    """Return when the session of ``attempt`` ends, as far as is known here; aware."""
    if attempt.expires_at is not None:
        return to_utc(attempt.expires_at)
    return to_utc(attempt.created_at) + timedelta(seconds=conf.session_expires_in)


def _complete_facility_id(
    attempt: PatientConnectionAttempt, session: PatientSession
) -> PatientSession:
    """Return ``session`` with our own word for its facility, where it cannot be told without.

    Started with a FHIR base URL, it may repeat that or name nothing, while its connections have
    the catalog's ids: of several, ours is the one that the catalog knows by that URL.
    """
    url = attempt.connection_id
    is_named = session.connection_id.rstrip("/") not in ("", url.rstrip("/"))
    several = len({connection.connection_id for connection in session.connections}) > 1
    if "://" not in url or is_named or not several:
        return session
    facility = find_known_facility(url)
    return replace(session, connection_id=facility.id) if facility else session


def _get_facility_columns(
    attempt: PatientConnectionAttempt,
    session: PatientSession,
    outcome: Outcome,
    source: AttemptEvent.Source,
) -> dict[str, str]:
    """Return the columns of the facility which the session connected."""
    best = outcome.connection
    facility_id = next(
        each.connection_id
        for each in session.connections
        if best and (each.status, each.id) == (best.status, best.patient_connection_id)
    )
    columns = {"connection_id": facility_id}
    if facility_id != (attempt.connection_id or facility_id):
        # Started with its FHIR base URL; what Medblocks tells later names its own id.
        columns["facility_id"] = facility_id
    # A webhook's answer is due within seconds: reconciliation names the place.
    if attempt.connection_name or source is Source.WEBHOOK:
        return columns
    with suppress(MedblocksError):  # the name is worth a moment, but not the outcome
        columns |= get_name_columns(facility_id)
    return columns


def get_name_columns(connection_id: str) -> dict[str, str]:
    """Return the columns that name a facility; raises ``MedblocksError`` where nobody can now."""
    facility = get_facility(connection_id, timeout=_NAME_TIMEOUT)
    return {"connection_name": facility.name, "connection_type": facility.type}


def _event_kind_of_session(outcome: Outcome) -> AttemptEvent.Kind:
    if outcome.rank is Rank.SUCCEEDED:
        return Kind.LOST if outcome.connection and outcome.connection.is_lost else Kind.CONNECTED
    return {Rank.FAILED: Kind.FAILED, Rank.EXPIRED: Kind.EXPIRED}.get(outcome.rank, Kind.STILL_OPEN)
