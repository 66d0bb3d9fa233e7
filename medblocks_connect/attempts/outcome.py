"""The outcome of an attempt: a pure function of all the evidence.

Evidence arrives late, twice, in any order, or never. Each piece alone would conclude an
:class:`Outcome`; :func:`merge` joins two. Merging is commutative, associative and idempotent, so
every order and every duplicate ends in the same outcome, and nothing weaker replaces something
stronger. Nothing here reads a clock, a database or the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from enum import IntEnum

from medblocks_connect.api import (
    PatientSession,
    Returned,
    ReturnedFailure,
    ReturnedSuccess,
    SessionConnection,
)
from medblocks_connect.models import PatientConnectionAttempt, name_place

Status = PatientConnectionAttempt.Status

NOT_CONNECTED = "not_connected"
"""Our code for a session that is complete and connected nothing."""

CLOCK_TOLERANCE = timedelta(minutes=10)
"""How far our clock and Medblocks' may differ before a session that is still called open, but
past its ``expires_at``, counts as over."""

UNDECIDED_LIMIT = timedelta(days=30)
"""How long after its end a finished session may have a connection that is neither won nor failed
(a status that was never seen before) until nobody asks about it any more."""

FAILED = "failed"
"""The status of a connection that was never made."""

# A connection that Medblocks shows as one of these was active once, and is not any more.
LOST_STATUSES = frozenset({"refresh_failed", "disconnected", "expired"})
_LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)


class Rank(IntEnum):
    """Evidence from the weakest to the strongest."""

    CREATED = 0
    STARTED = 1
    RETURNED = 2
    EXPIRED = 3
    FAILED_CLAIMED = 4
    FAILED = 5
    SUCCEEDED = 6


_STATUS = {
    Rank.CREATED: Status.CREATED,
    Rank.STARTED: Status.STARTED,
    Rank.RETURNED: Status.RETURNED,
    Rank.EXPIRED: Status.EXPIRED,
    Rank.FAILED_CLAIMED: Status.FAILED,
    Rank.FAILED: Status.FAILED,
    Rank.SUCCEEDED: Status.SUCCEEDED,
}


@dataclass(frozen=True)
class Failure:
    """A failure: Medblocks' code and, where there is one, the portal's words."""

    error: str
    error_description: str = ""
    failure_at: datetime | None = None  # aware


@dataclass(frozen=True)
class OutcomeConnection:
    """The patient's own connection to the facility (``conn_…``), with Medblocks' status of it."""

    status: str
    patient_connection_id: str = ""

    @property
    def is_lost(self) -> bool:
        """Return whether access was there and is gone."""
        return self.status in LOST_STATUSES


@dataclass(frozen=True)
class Outcome:
    """A conclusion from some evidence: a status, its reason, and the claims and facts behind it."""

    rank: Rank = Rank.CREATED
    failure: Failure | None = None  # Medblocks' own; only where the rank is FAILED
    claimed_success: bool = False
    claimed_failure: Failure | None = None
    connection: OutcomeConnection | None = None
    settled: bool = False  # Medblocks has had its last word

    @property
    def status(self) -> Status:
        """The attempt's status."""
        return _STATUS[self.rank]

    @property
    def unconfirmed(self) -> bool:
        """Return whether the status rests on the return URL's claim alone."""
        return self.rank in {Rank.RETURNED, Rank.FAILED_CLAIMED}

    @property
    def error(self) -> str:
        """The code of the failure that decided, or ``""``."""
        decisive = self._decisive_failure
        return decisive.error if decisive else ""

    @property
    def error_description(self) -> str:
        """The failure's words; Medblocks' sessions carry none, so the claim's stand for them."""
        decisive = self._decisive_failure
        if decisive is None:
            return ""
        claimed = self.claimed_failure.error_description if self.claimed_failure else ""
        return decisive.error_description or claimed

    @property
    def claim_disagrees(self) -> bool:
        """Return whether the return URL said one thing and Medblocks another."""
        if self.rank is Rank.SUCCEEDED:
            return self.claimed_failure is not None
        return self.claimed_success and self.rank in {Rank.FAILED, Rank.EXPIRED}

    @property
    def _decisive_failure(self) -> Failure | None:
        if self.rank is Rank.FAILED:
            return self.failure
        return self.claimed_failure if self.rank is Rank.FAILED_CLAIMED else None


def merge(left: Outcome, right: Outcome) -> Outcome:
    """Join what two pieces of evidence conclude, whichever came first."""
    both = (left, right)
    rank = max(left.rank, right.rank)
    failures = [outcome.failure for outcome in both if outcome.failure and rank is Rank.FAILED]
    claims = [outcome.claimed_failure for outcome in both if outcome.claimed_failure]
    connections = [outcome.connection for outcome in both if outcome.connection]
    return Outcome(
        rank=rank,
        failure=min(failures, key=_latest_first) if failures else None,
        claimed_success=left.claimed_success or right.claimed_success,
        claimed_failure=min(claims, key=_by_code) if claims else None,
        connection=max(connections, key=_lost_last) if connections else None,
        settled=left.settled or right.settled,
    )


def _latest_first(failure: Failure) -> tuple[timedelta, tuple[str, bool, str]]:
    return _LONG_AGO - (failure.failure_at or _LONG_AGO), _by_code(failure)


def _by_code(failure: Failure) -> tuple[str, bool, str]:
    return failure.error, not failure.error_description, failure.error_description


def _lost_last(connection: OutcomeConnection) -> tuple[int, str, str]:
    strength = 3 if connection.is_lost else {"active": 2, "failed": 0}.get(connection.status, 1)
    return strength, connection.status, connection.patient_connection_id


def conclude_from_return(returned: Returned) -> Outcome:
    """Conclude from a return URL that the attempt's own patient carried: claims, never facts."""
    if isinstance(returned, ReturnedFailure):
        failure = Failure(returned.error, returned.error_description)
        return Outcome(Rank.FAILED_CLAIMED, claimed_failure=failure)
    return Outcome(Rank.RETURNED, claimed_success=isinstance(returned, ReturnedSuccess))


def conclude_from_session(
    session: PatientSession,
    connection_id: str,
    now: datetime,
    ends_at: datetime | None = None,
    *,
    is_hosted: bool = False,
) -> Outcome:
    """Conclude from Medblocks' own session, the truth, for the facility ``connection_id``.

    ``connection_id`` is ``""`` where the patient was to choose at Medblocks and nothing is
    connected yet: then the first that works counts. ``is_hosted`` says that they were to choose
    there: the session goes on until they press Done, and may connect further facilities. ``now`` is
    aware, as is ``ends_at``: when the session ends where it does not say so itself.
    """
    ends_at = session.expires_at or ends_at
    lapsed = ends_at is not None and now > ends_at + CLOCK_TOLERANCE
    over = lapsed or session.status in {"complete", "expired"}
    connections = find_connections(session, connection_id)
    if connected := find_connected(session, connection_id):
        # Of several links to the one place, one that works is enough.
        active = [row for row in connected if row.status == "active"]
        best = max(map(_to_outcome_connection, active or connected), key=_lost_last)
        goes_on = not over and (is_hosted or not connection_id)
        return Outcome(Rank.SUCCEEDED, connection=best, settled=not goes_on)
    if failed := [row for row in connections if row.status == FAILED]:
        failure = min(map(to_failure, failed), key=_latest_first)
        return Outcome(Rank.FAILED, failure=failure, settled=over)
    if session.status == "complete" and not connections:
        return Outcome(Rank.FAILED, failure=Failure(NOT_CONNECTED), settled=True)
    # A status that was never seen before: kept as it came, and no success.
    first = _to_outcome_connection(connections[0]) if connections else None
    if session.status == "expired" or (lapsed and (first is None or session.status == "open")):
        return Outcome(Rank.EXPIRED, connection=first, settled=True)
    # The patient may have finished: only Medblocks can say what came of it.
    given_up = ends_at is not None and now > ends_at + UNDECIDED_LIMIT
    return Outcome(Rank.STARTED, connection=first, settled=given_up)


def find_connected(session: PatientSession, connection_id: str) -> list[SessionConnection]:
    """Return the session's connections of the facility ``connection_id`` that work or worked.

    For ``""``, where the patient chooses at Medblocks, those of the place that was connected first.
    """
    connected = sorted(filter(was_active, find_connections(session, connection_id)), key=_by_age)
    if connection_id:
        return connected
    first = name_place(connected[0].connection_id) if connected else ""
    return [row for row in connected if name_place(row.connection_id) == first]


def _by_age(connection: SessionConnection) -> tuple[bool, datetime, str]:
    made_at = connection.created_at
    return made_at is None, made_at or _LONG_AGO, connection.connection_id


def find_connections(session: PatientSession, connection_id: str) -> list[SessionConnection]:
    """Return those of the session's connections that are of the facility ``connection_id``.

    All of them for ``""``, where the patient chooses at Medblocks.
    """
    if not connection_id:
        return list(session.connections)
    # A session started with a raw FHIR base URL answers with the catalog's id for it.
    ours = {_strip_slash(connection_id), _strip_slash(session.connection_id)}
    matching = [each for each in session.connections if _strip_slash(each.connection_id) in ours]
    if matching or "://" not in connection_id or ours - {_strip_slash(connection_id), ""}:
        return matching
    # Or it repeats the URL, or names nothing: then the only facility that it holds is the one.
    is_only_one = len({each.connection_id for each in session.connections}) == 1
    return list(session.connections) if is_only_one else []


def _strip_slash(connection_id: str) -> str:
    """Return an id as it compares: a FHIR base URL is the same with a slash at its end."""
    return connection_id.rstrip("/")


def was_active(connection: SessionConnection) -> bool:
    """Return whether ``connection`` worked, be it that it does not any more."""
    return connection.status == "active" or connection.status in LOST_STATUSES


def to_failure(connection: SessionConnection) -> Failure:
    """Return what a failed connection says of its failure."""
    return Failure(connection.failure_code or "unknown_error", "", connection.failure_at)


def _to_outcome_connection(connection: SessionConnection) -> OutcomeConnection:
    return OutcomeConnection(connection.status, connection.id)
