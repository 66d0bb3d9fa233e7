"""What came of an attempt: a pure function of the evidence.

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
    ReturnClaim,
    ReturnedFailure,
    ReturnedSuccess,
    SessionConnection,
)
from medblocks_connect.models import PatientConnectionAttempt

Status = PatientConnectionAttempt.Status

NOT_CONNECTED = "not_connected"
"""Our code for a session that is complete and connected nothing."""

LAPSE = timedelta(minutes=10)
"""How far our clock and Medblocks' may differ before a session that is still called open, but
past its ``expires_at``, counts as over."""

GIVE_UP = timedelta(days=30)
"""How long after its end a finished session may have a connection that is neither won nor failed
(a status that was never seen before) until nobody asks about it any more."""

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
    """Why it did not work: Medblocks' code and, where there is one, the portal's words."""

    error: str
    error_description: str = ""
    failure_at: datetime | None = None  # aware


@dataclass(frozen=True)
class Link:
    """The patient's own link to the facility (``conn_…``); ``status`` is Medblocks' word."""

    status: str
    patient_connection_id: str = ""

    @property
    def is_lost(self) -> bool:
        """Return whether access was there and is gone."""
        return self.status in LOST_STATUSES


@dataclass(frozen=True)
class Outcome:
    """What some evidence concludes: a status, why, and the claims and facts behind it."""

    rank: Rank = Rank.CREATED
    failure: Failure | None = None  # Medblocks' own; only where the rank is FAILED
    claimed_success: bool = False
    claimed_failure: Failure | None = None
    link: Link | None = None
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


def merge(one: Outcome, other: Outcome) -> Outcome:
    """Join what two pieces of evidence conclude, whichever came first."""
    rank = max(one.rank, other.rank)
    failures = [each.failure for each in (one, other) if each.failure and rank is Rank.FAILED]
    claims = [each.claimed_failure for each in (one, other) if each.claimed_failure]
    links = [each.link for each in (one, other) if each.link]
    return Outcome(
        rank=rank,
        failure=min(failures, key=_latest_first) if failures else None,
        claimed_success=one.claimed_success or other.claimed_success,
        claimed_failure=min(claims, key=_by_code) if claims else None,
        link=max(links, key=_lost_last) if links else None,
        settled=one.settled or other.settled,
    )


def _latest_first(failure: Failure) -> tuple[timedelta, tuple[str, bool, str]]:
    return _LONG_AGO - (failure.failure_at or _LONG_AGO), _by_code(failure)


def _by_code(failure: Failure) -> tuple[str, bool, str]:
    return failure.error, not failure.error_description, failure.error_description


def _lost_last(link: Link) -> tuple[int, str, str]:
    strength = 3 if link.is_lost else {"active": 2, "failed": 0}.get(link.status, 1)
    return strength, link.status, link.patient_connection_id


def conclude_from_return(returned: ReturnClaim) -> Outcome:
    """Conclude from a return URL that the attempt's own patient carried: claims, never facts."""
    if isinstance(returned, ReturnedFailure):
        failure = Failure(returned.error, returned.error_description)
        return Outcome(Rank.FAILED_CLAIMED, claimed_failure=failure)
    return Outcome(Rank.RETURNED, claimed_success=isinstance(returned, ReturnedSuccess))


def conclude_from_session(
    session: PatientSession, connection_id: str, now: datetime, ends_at: datetime | None = None
) -> Outcome:
    """Conclude from Medblocks' own session, the truth, for the facility ``connection_id``.

    ``connection_id`` is ``""`` where the patient was to choose at Medblocks: then any connection
    of the session counts. ``now`` is aware, as is ``ends_at``: when the session ends where it does
    not say so itself.
    """
    ends_at = session.expires_at or ends_at
    lapsed = ends_at is not None and now > ends_at + LAPSE
    connections = _connections_of_facility(session, connection_id)
    if links := [_link_of(each) for each in connections if _was_won(each)]:
        return Outcome(Rank.SUCCEEDED, link=max(links, key=_lost_last), settled=True)
    if failed := [each for each in connections if each.status == "failed"]:
        failures = [
            Failure(each.failure_code or "unknown_error", "", each.failure_at) for each in failed
        ]
        over = lapsed or session.status in {"complete", "expired"}
        return Outcome(Rank.FAILED, failure=min(failures, key=_latest_first), settled=over)
    if session.status == "complete" and not connections:
        return Outcome(Rank.FAILED, failure=Failure(NOT_CONNECTED), settled=True)
    # A status that was never seen before: kept as it came, and no success.
    link = _link_of(connections[0]) if connections else None
    if session.status == "expired" or (lapsed and (link is None or session.status == "open")):
        return Outcome(Rank.EXPIRED, link=link, settled=True)
    # The patient may have finished: only Medblocks can say what came of it.
    given_up = ends_at is not None and now > ends_at + GIVE_UP
    return Outcome(Rank.STARTED, link=link, settled=given_up)


def _connections_of_facility(
    session: PatientSession, connection_id: str
) -> list[SessionConnection]:
    if not connection_id:
        return list(session.connections)
    # A session started with a raw FHIR base URL answers with the catalog's id for it.
    ours = {_bare(connection_id), _bare(session.connection_id)}
    found = [each for each in session.connections if _bare(each.connection_id) in ours]
    if found or "://" not in connection_id or ours - {_bare(connection_id), ""}:
        return found
    # Or it repeats the URL, or names nothing: then the only facility that it holds is the one.
    is_only_one = len({each.connection_id for each in session.connections}) == 1
    return list(session.connections) if is_only_one else []


def _bare(connection_id: str) -> str:
    """Return an id as it compares: a FHIR base URL is the same with a slash at its end."""
    return connection_id.rstrip("/")


def _was_won(connection: SessionConnection) -> bool:
    return connection.status == "active" or connection.status in LOST_STATUSES


def _link_of(connection: SessionConnection) -> Link:
    return Link(connection.status, connection.id)
