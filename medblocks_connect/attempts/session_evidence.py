"""Evidence from Medblocks' own session, the truth about an attempt. Writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from django.utils import timezone as django_timezone

from medblocks_connect.api import (
    FhirSource,
    MedblocksClient,
    MedblocksError,
    PatientSession,
    SessionConnection,
    UnexpectedReplyError,
)
from medblocks_connect.attempts.connection_state import ACTIVE, LinkState, tell_link
from medblocks_connect.attempts.evidence import Evidence, Kind, PlaceEvidence, Source
from medblocks_connect.attempts.outcome import (
    FAILED,
    Outcome,
    Rank,
    conclude_from_session,
    find_connected,
    find_connections,
    to_failure,
    was_active,
)
from medblocks_connect.conf import conf
from medblocks_connect.facilities.lookup import (
    find_known_facilities,
    find_known_facility,
    get_facilities,
    get_facility,
)
from medblocks_connect.models import (
    AttemptEvent,
    PatientConnectionAttempt,
    is_url,
    name_place,
)
from medblocks_connect.timezones import to_stored_time, to_utc

_NAME_TIMEOUT = 2.0  # seconds: a patient waits for the page


def read_session(
    attempt: PatientConnectionAttempt,
    session: PatientSession,
    source: AttemptEvent.Source,
    *,
    as_of: datetime | None = None,
    client: MedblocksClient | None = None,
) -> Evidence:
    """Return Medblocks' session as evidence about ``attempt``.

    ``as_of`` is when it was so, aware; None for now. ``client`` asks for the facility's name; None
    for that of patients' requests. Raises ``UnexpectedReplyError`` for a session of another
    patient.
    """
    if session.patient_id != attempt.patient_id:
        raise UnexpectedReplyError("The session is another patient's.")
    now = datetime.now(timezone.utc)
    session = _complete_facility_id(attempt, session)
    outcome = conclude_from_session(
        session,
        attempt.connection_id,
        now,
        end_of_session(attempt),
        is_hosted=attempt.is_hosted,
    )
    evidence = Evidence(
        source=source,
        kind=_event_kind_of_session(outcome),
        outcome=outcome,
        request_id=session.request_id,
        occurred_at=_find_moment(session, outcome),
        facts=_read_facts(attempt, session, outcome, source, client),
    )
    # No word is newer than its coming, whatever the clocks say.
    return _add_places(evidence, attempt, session, min(as_of or now, now))


def _find_moment(session: PatientSession, outcome: Outcome) -> datetime | None:
    """Return when the failure or the loss that decides happened, where the session says so."""
    if outcome.failure is not None:
        return outcome.failure.failure_at
    lost = outcome.connection
    if lost is None or not lost.is_lost:
        return None
    own = (row for row in session.connections if row.id == lost.patient_connection_id)
    return next((row.failure_at for row in own), None)


def _read_facts(
    attempt: PatientConnectionAttempt,
    session: PatientSession,
    outcome: Outcome,
    source: AttemptEvent.Source,
    client: MedblocksClient | None,
) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "expires_at": to_stored_time(session.expires_at),
        **read_place(attempt, session),
    }
    if outcome.rank >= Rank.EXPIRED:
        facts["answered_at"] = django_timezone.now()
    if outcome.rank is Rank.SUCCEEDED:
        facts.update(_get_facility_columns(attempt, session, source, client))
    return facts


def _add_places(
    evidence: Evidence,
    attempt: PatientConnectionAttempt,
    session: PatientSession,
    told_at: datetime,
) -> Evidence:
    """Return ``evidence`` with what the session tells of each of its places at ``told_at``."""
    facts = evidence.facts
    others = _find_other_places(attempt, session, facts.get("place_id", attempt.place_id))
    # While nothing is connected, the failure that decides is one of them: it is told once.
    decisive = next((row for row in others if to_failure(row) == evidence.outcome.failure), None)
    facilities = _find_facilities(others, evidence.source)
    if decisive is not None:
        evidence = replace(evidence, **_name_line(decisive, facilities))
    return replace(
        evidence,
        places=tuple(_tell_places(attempt, session, facts, others, facilities, told_at)),
        lines=tuple(
            _tell_line(row, facilities, evidence.source, session.request_id)
            for row in others
            if row is not decisive
        ),
    )


def read_place(attempt: PatientConnectionAttempt, session: PatientSession) -> dict[str, str]:
    """Return Medblocks' own id of the place, as a column, where the attempt has but its URL."""
    told = session.connection_id
    return {"place_id": told} if is_url(attempt.place_id) and told and not is_url(told) else {}


def _find_other_places(
    attempt: PatientConnectionAttempt, session: PatientSession, place_id: str
) -> list[SessionConnection]:
    """Return the connections of further facilities that the patient chose in the same session.

    Those of a status that was never seen before say nothing yet.
    """
    if attempt.connection_id and not attempt.is_hosted:
        return []
    return [
        row
        for row in session.connections
        if name_place(row.connection_id) != place_id and (row.status == FAILED or was_active(row))
    ]


def _find_facilities(
    others: Sequence[SessionConnection], source: AttemptEvent.Source
) -> Mapping[str, FhirSource]:
    """Return what is known of the facilities of ``others``, by the ids that these have of them.

    A webhook's answer is due within seconds: for it, Medblocks is asked nothing.
    """
    ids = {row.connection_id for row in others}
    if not ids:
        return {}
    if source is Source.WEBHOOK:
        return find_known_facilities(ids).facilities
    told = {facility.id: facility for facility in get_facilities(ids)}
    return {**find_known_facilities(ids - set(told)).facilities, **told}


def _tell_places(
    attempt: PatientConnectionAttempt,
    session: PatientSession,
    facts: Mapping[str, Any],
    others: Sequence[SessionConnection],
    facilities: Mapping[str, FhirSource],
    as_of: datetime,
) -> Iterator[PlaceEvidence]:
    chosen = attempt.connection_id or facts.get("connection_id", "")
    own = [row for row in find_connections(session, chosen) if was_active(row)] if chosen else []
    if own:
        yield PlaceEvidence(
            facts.get("place_id") or attempt.place_id,
            {row.id: _tell_link(attempt, row, as_of) for row in own},
            connection_id=chosen,
            connection_name=attempt.connection_name or facts.get("connection_name", ""),
            connection_type=attempt.connection_type or facts.get("connection_type", ""),
        )
    further: dict[str, list[SessionConnection]] = {}
    for row in filter(was_active, others):
        further.setdefault(name_place(row.connection_id), []).append(row)
    for place_id, rows in further.items():
        facility = facilities.get(rows[0].connection_id)
        yield PlaceEvidence(
            place_id,
            {row.id: _tell_link(attempt, row, as_of) for row in rows},
            connection_id=rows[0].connection_id,
            connection_name=facility.name if facility else "",
            connection_type=facility.type if facility else "",
        )


def _tell_link(
    attempt: PatientConnectionAttempt, row: SessionConnection, as_of: datetime
) -> LinkState:
    if row.status == ACTIVE:
        # Whether a session follows what becomes of its connections later is not said: it worked
        # when it was made, or, where connecting again kept it, once the attempt had begun.
        made_at = max(filter(None, (row.created_at, to_utc(attempt.created_at))))
        as_of = min(as_of, made_at)
    return tell_link(row.status, as_of, since=row.created_at, lost_at=row.failure_at)


def _tell_line(
    row: SessionConnection,
    facilities: Mapping[str, FhirSource],
    source: AttemptEvent.Source,
    request_id: str,
) -> Evidence:
    """Return the timeline's line about a further facility of the session; it decides nothing."""
    if row.status == FAILED:
        kind, status, error = Kind.FAILED, "", to_failure(row).error
    else:
        kind = Kind.CONNECTED if row.status == ACTIVE else Kind.LOST
        status, error = row.status, row.failure_code
    return Evidence(
        source=source,
        kind=kind,
        outcome=Outcome(),
        request_id=request_id,
        occurred_at=row.failure_at,
        error=error,
        connection_status=status,
        **_name_line(row, facilities),
    )


def _name_line(row: SessionConnection, facilities: Mapping[str, FhirSource]) -> dict[str, Any]:
    facility = facilities.get(row.connection_id)
    name = facility.name if facility else row.connection_id
    return {"place_id": name_place(row.connection_id), "facility": name}


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
    source: AttemptEvent.Source,
    client: MedblocksClient | None,
) -> dict[str, Any]:
    """Return the columns of the facility which the session connected."""
    facility_id = find_connected(session, attempt.connection_id)[0].connection_id
    columns: dict[str, Any] = {
        "connection_id": facility_id,
        "place_id": _name_place(attempt, facility_id),
        "is_hosted": attempt.is_hosted or not attempt.connection_id,
    }
    # A webhook's answer is due within seconds: reconciliation names the place.
    if attempt.connection_name or source is Source.WEBHOOK:
        return columns
    with suppress(MedblocksError):  # the name is worth a moment, but not the outcome
        columns |= get_name_columns(facility_id, client)
    return columns


def _name_place(attempt: PatientConnectionAttempt, facility_id: str) -> str:
    """Return the place that was connected: by Medblocks' own id of it, where either tells it."""
    told, kept = name_place(facility_id), attempt.place_id
    return kept if kept and not is_url(kept) and is_url(told) else told


def get_name_columns(connection_id: str, client: MedblocksClient | None = None) -> dict[str, str]:
    """Return the columns that name a facility; raises ``MedblocksError`` where nobody can now."""
    facility = get_facility(connection_id, timeout=_NAME_TIMEOUT, client=client)
    return {"connection_name": facility.name, "connection_type": facility.type}


def _event_kind_of_session(outcome: Outcome) -> AttemptEvent.Kind:
    if outcome.rank is Rank.SUCCEEDED:
        return Kind.LOST if outcome.connection and outcome.connection.is_lost else Kind.CONNECTED
    return {Rank.FAILED: Kind.FAILED, Rank.EXPIRED: Kind.EXPIRED}.get(outcome.rank, Kind.STILL_OPEN)
