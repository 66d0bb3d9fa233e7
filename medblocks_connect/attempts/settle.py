"""Settling: evidence becomes the attempt's outcome here, and the state of the patient's places.

Reads first, then begins its transaction with a conditional UPDATE: a transaction that reads and
then writes fails on SQLite under load. Whoever loses the race reads and merges again. Every new
piece of evidence is appended to the timeline, and the signals that the change owes are written
down with it; they follow the commit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import reduce
from typing import Any

from django.db import OperationalError, router, transaction
from django.dispatch import Signal
from django.utils import timezone

from medblocks_connect import signals
from medblocks_connect.attempts.connection_rows import (
    find_link,
    read_link,
    record_places,
    would_change,
)
from medblocks_connect.attempts.connection_state import ACTIVE, merge_links
from medblocks_connect.attempts.database_retry import RetryLimit
from medblocks_connect.attempts.evidence import Evidence, PlaceEvidence
from medblocks_connect.attempts.outbox import owe_signals, send_after_commit
from medblocks_connect.attempts.outcome import (
    Failure,
    Outcome,
    OutcomeConnection,
    Rank,
    Status,
    merge,
)
from medblocks_connect.attempts.place_ids import rename_for_patient
from medblocks_connect.models import (
    AttemptEvent,
    PatientConnection,
    PatientConnectionAttempt,
    is_url,
    name_place,
)
from medblocks_connect.timezones import to_stored_time, to_utc

_MAX_REFUSALS = 3
"""How often the database may refuse to write before that is an error."""

MAX_CLAIMS_TOLD = 20
"""How many claims of return URLs stand on a timeline; further ones are counted."""

_DETAIL_MAX_LENGTH = 200  # characters, as the timeline has them
_FINAL_STATUSES = {Status.EXPIRED, Status.FAILED, Status.SUCCEEDED}
_STATUS_SIGNALS: Mapping[Status, Signal] = {
    Status.STARTED: signals.attempt_started,
    Status.EXPIRED: signals.attempt_expired,
    Status.SUCCEEDED: signals.attempt_succeeded,
}


@dataclass(frozen=True)
class AttemptChange:
    """A change to an attempt by one piece of evidence, and the signals that are due after it.

    Each signal has what its receivers are given beside the attempt.
    """

    attempt: PatientConnectionAttempt
    columns: Mapping[str, Any]
    events: Sequence[AttemptEvent]
    places: Sequence[PlaceEvidence]
    signals: Mapping[Signal, Mapping[str, Any]]


def settle(attempt: PatientConnectionAttempt, evidence: Evidence) -> None:
    """Merge ``evidence`` into ``attempt``, in the database and in the object given.

    Signals follow the commit. Raises what the database raises; then nothing of it was written.
    """
    database = router.db_for_write(PatientConnectionAttempt, instance=attempt)
    limit = RetryLimit(refusals=_MAX_REFUSALS)
    while not _is_recorded(attempt, evidence, database):
        try:
            if _settle_once(attempt, evidence, database):
                return
        except OperationalError:
            # SQLite's wait for its lock ran out, or this was a deadlock's victim. Nothing was
            # written, unless a caller's transaction, which is theirs to repeat, is now broken.
            if limit.is_reached(database):
                raise
        attempt.refresh_from_db(using=database)


def _settle_once(attempt: PatientConnectionAttempt, evidence: Evidence, database: str) -> bool:
    change = plan_change(attempt, evidence)
    with transaction.atomic(using=database):
        lost = write_change(change, database)
        if lost is None:
            return False
        owed = owe_signals(change.signals, database, attempt=attempt)
        loss: Mapping[Signal, Any] = {signals.connection_lost: {"actor": evidence.actor}}
        for _ in lost:
            owed += owe_signals(loss, database, attempt=attempt)
        send_after_commit(owed, database)
    return True


def _is_recorded(attempt: PatientConnectionAttempt, evidence: Evidence, database: str) -> bool:
    """Return whether ``evidence`` is on the timeline and changes nothing: no lock is needed."""
    if _changed_columns(attempt, evidence):
        return False
    fingerprints = {event.fingerprint for event in _build_events(attempt, evidence, {})}
    events = AttemptEvent.objects.using(database)
    known = events.filter(attempt=attempt, fingerprint__in=fingerprints).count()
    if known < len(fingerprints):
        return False
    return not would_change(attempt.patient_id, evidence.places, database)


def plan_change(attempt: PatientConnectionAttempt, evidence: Evidence) -> AttemptChange:
    """Return what ``evidence`` changes about ``attempt``; nothing is written."""
    changes = _changed_columns(attempt, evidence)
    events = _build_events(attempt, evidence, changes)
    if evidence.is_claim:
        # Everybody can write a return URL of theirs anew, a thousand times.
        changes["claim_count"] = attempt.claim_count + 1
        events = events if attempt.claim_count < MAX_CLAIMS_TOLD else []
    places = [_name_place_anew(attempt, place) for place in evidence.places]
    due = _due_signals(attempt, changes, evidence.actor)
    return AttemptChange(attempt, changes, events, places, due)


def _name_place_anew(attempt: PatientConnectionAttempt, place: PlaceEvidence) -> PlaceEvidence:
    """Return ``place`` under the id that its URL got since the evidence was read."""
    was_own = place.place_id == name_place(attempt.connection_id)
    if was_own and is_url(place.place_id) and attempt.place_id and not is_url(attempt.place_id):
        return replace(place, place_id=attempt.place_id)
    return place


def write_change(change: AttemptChange, database: str) -> list[PatientConnection] | None:
    """Write ``change`` inside the caller's transaction, and to its attempt's object.

    Return the further places of the attempt whose access is lost by it: ``connection_lost`` is due
    for each. None where somebody else changed the attempt meanwhile: nothing was written, and the
    caller leaves the transaction, refreshes the attempt and plans anew.
    """
    attempt = change.attempt
    former_place = attempt.place_id
    if change.columns:
        unchanged = PatientConnectionAttempt.objects.using(database).filter(
            pk=attempt.pk, revision=attempt.revision
        )
        if not unchanged.update(**change.columns, revision=attempt.revision + 1):
            return None
        # Before the commit, so that the signals' receivers see the attempt as it is then.
        attempt.revision += 1
        for name, value in change.columns.items():
            setattr(attempt, name, value)
    AttemptEvent.objects.using(database).bulk_create(change.events, ignore_conflicts=True)
    if is_url(former_place) and attempt.place_id != former_place:
        rename_for_patient(attempt.patient_id, former_place, attempt.place_id, database)
    lost = record_places(attempt.patient_id, change.places, attempt, database).lost
    return [row for row in lost if row.attempt_id == attempt.pk]


def read_outcome(attempt: PatientConnectionAttempt) -> Outcome:
    """Read back the outcome that ``attempt``'s columns hold."""
    rank = Rank[attempt.status.upper()]
    if attempt.unconfirmed and rank is Rank.FAILED:
        rank = Rank.FAILED_CLAIMED
    described = attempt.error_description
    claimed_error, claimed_words = attempt.claimed_error, attempt.claimed_error_description
    if rank is Rank.FAILED_CLAIMED:  # the same, but for a row that a host made itself
        claimed_error, claimed_words = attempt.error, described
    # A failure without words of its own shows the claim's; they are read back as the claim's.
    own_words = "" if described == claimed_words else described
    return Outcome(
        rank=rank,
        failure=Failure(
            attempt.error,
            own_words,
            to_utc(attempt.failure_at) if attempt.failure_at else None,
        )
        if rank is Rank.FAILED
        else None,
        claimed_success=attempt.claimed_success,
        claimed_failure=Failure(claimed_error, claimed_words) if claimed_error else None,
        connection=OutcomeConnection(attempt.connection_status, attempt.patient_connection_id)
        if attempt.connection_status
        else None,
        settled=attempt.settled_at is not None,
    )


def _changed_columns(attempt: PatientConnectionAttempt, evidence: Evidence) -> dict[str, Any]:
    outcome = merge(read_outcome(attempt), evidence.outcome)
    lost = _find_known_loss(attempt, evidence)
    if lost is not None:
        outcome = merge(outcome, Outcome(connection=lost.connection))
    columns = _outcome_columns(outcome)
    facts = dict(evidence.facts)
    if outcome.status in _FINAL_STATUSES:
        facts["finished_at"] = timezone.now()
    if outcome.settled:
        facts["settled_at"] = timezone.now()
    if outcome.connection and outcome.connection.is_lost:
        lost_at = lost.lost_at if lost else evidence.occurred_at
        facts["lost_at"] = to_stored_time(lost_at) or timezone.now()
    if is_url(attempt.place_id) and facts.get("place_id"):
        columns["place_id"] = facts["place_id"]  # Medblocks' own id of it
    columns.update({name: value for name, value in facts.items() if not getattr(attempt, name)})
    return {name: value for name, value in columns.items() if getattr(attempt, name) != value}


@dataclass(frozen=True)
class _KnownLoss:
    """That the link which an attempt is told to have made has ended since."""

    connection: OutcomeConnection
    lost_at: datetime | None


def _find_known_loss(attempt: PatientConnectionAttempt, evidence: Evidence) -> _KnownLoss | None:
    """Return the loss of a link that works by ``evidence``, where it came later and is known.

    Medblocks' list, or our own page, may tell it before the attempt hears that it connected. They
    also know when it was, where a session says no more than that it is so.
    """
    told = evidence.outcome.connection
    is_untimed = told is not None and told.is_lost and evidence.occurred_at is None
    if told is None or not (told.status == ACTIVE or is_untimed):
        return None
    if told.patient_connection_id == attempt.patient_connection_id:
        return None  # of a link that it has, it hears itself
    link = find_link(told.patient_connection_id)
    if link is None:
        return None
    states = [
        read_link(link),
        *(place.links.get(link.patient_connection_id) for place in evidence.places),
    ]
    state = reduce(merge_links, filter(None, states))
    if not state.is_lost:
        return None
    return _KnownLoss(OutcomeConnection(state.status, told.patient_connection_id), state.lost_at)


def _outcome_columns(outcome: Outcome) -> dict[str, Any]:
    claimed, failure, connection = outcome.claimed_failure, outcome.failure, outcome.connection
    return {
        "status": outcome.status,
        "unconfirmed": outcome.unconfirmed,
        "error": outcome.error,
        "error_description": outcome.error_description,
        "failure_at": to_stored_time(failure.failure_at) if failure else None,
        "claimed_success": outcome.claimed_success,
        "claimed_error": claimed.error if claimed else "",
        "claimed_error_description": claimed.error_description if claimed else "",
        "claim_disagrees": outcome.claim_disagrees,
        "patient_connection_id": connection.patient_connection_id if connection else "",
        "connection_status": connection.status if connection else "",
    }


def _build_events(
    attempt: PatientConnectionAttempt, evidence: Evidence, changes: Mapping[str, Any]
) -> list[AttemptEvent]:
    return [_build_event(attempt, line, changes) for line in (evidence, *evidence.lines)]


def _build_event(
    attempt: PatientConnectionAttempt, evidence: Evidence, changes: Mapping[str, Any]
) -> AttemptEvent:
    outcome = evidence.outcome
    failure = outcome.failure or outcome.claimed_failure or Failure("")
    event = AttemptEvent(
        attempt=attempt,
        source=evidence.source,
        kind=evidence.kind,
        actor=evidence.actor,
        status=changes.get("status", attempt.status),
        error=evidence.error or failure.error,
        detail=": ".join(filter(None, (evidence.facility, evidence.detail)))[:_DETAIL_MAX_LENGTH],
        error_description=failure.error_description,
        request_id=evidence.request_id,
        connection_status=outcome.connection.status
        if outcome.connection
        else evidence.connection_status,
        occurred_at=to_stored_time(evidence.occurred_at),
    )
    # The request id is no part of it: the same answer to a second question is told once.
    identity: tuple[str, ...] = (
        event.source,
        event.kind,
        event.error,
        event.error_description,
        event.connection_status,
        evidence.detail,  # without the facility's name, which may be told later
        evidence.occurred_at.isoformat() if evidence.occurred_at else "",
    )
    if event.actor:  # what the patient and somebody else say are two pieces of evidence
        identity = (*identity, event.actor)
    if evidence.place_id:
        identity = (*identity, "at", evidence.place_id)
    event.fingerprint = hashlib.sha256(repr(identity).encode()).hexdigest()
    return event


def _due_signals(
    attempt: PatientConnectionAttempt, changes: Mapping[str, Any], actor: str
) -> dict[Signal, Mapping[str, Any]]:
    due: dict[Signal, Mapping[str, Any]] = {}
    if changes.get("status") in _STATUS_SIGNALS:
        due[_STATUS_SIGNALS[changes["status"]]] = {}
    if _has_failed(attempt, changes) and not _has_failed(attempt, {}):
        due[signals.attempt_failed] = {}
    if changes.get("lost_at"):
        due[signals.connection_lost] = {"actor": actor}
    return due


def _has_failed(attempt: PatientConnectionAttempt, changes: Mapping[str, Any]) -> bool:
    """Return whether it failed and no return URL's claim alone says so.

    A claim may come before Medblocks' word, which may be that it is connected: who listens would
    hear of a failure first and of a success later. Once Medblocks has no more to say, it stands.
    """
    status, unconfirmed, settled_at = (
        changes.get(name, getattr(attempt, name))
        for name in ("status", "unconfirmed", "settled_at")
    )
    return status == Status.FAILED and (not unconfirmed or settled_at is not None)
