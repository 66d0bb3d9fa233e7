"""The state of a patient at a place: a pure function of what was told of its links.

A *link* is Medblocks' ``conn_…``; a place may have several. What is told of one arrives late,
twice, in any order, or never, and the same link may be lost and won again. So each word has a time,
as of which it was true, and the latest word stands. :func:`merge_links` is commutative, associative
and idempotent, so every order and every duplicate ends in the same state. Nothing here reads a
clock, a database or the network.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from medblocks_connect.attempts.outcome import LOST_STATUSES
from medblocks_connect.models import PatientConnection

State = PatientConnection.State

ACTIVE: Final = "active"
DISCONNECTED: Final = "disconnected"


@dataclass(frozen=True)
class LinkState:
    """What is known of one link, or what one source alone tells of it. Times are aware.

    ``as_of`` is when ``status``, Medblocks' word, was true. ``since`` is when the link was made,
    ``told_lost_at`` when it was lost, as Medblocks says; ``seen_lost_at`` when it was first seen to
    be lost, where Medblocks does not say. ``ended_here_at`` is when the patient ended it on our
    own page.
    """

    status: str
    as_of: datetime
    active_as_of: datetime | None = None
    ended_here_at: datetime | None = None
    since: datetime | None = None
    told_lost_at: datetime | None = None
    seen_lost_at: datetime | None = None

    @property
    def is_active(self) -> bool:
        """Return whether it works."""
        return self.status == ACTIVE

    @property
    def is_lost(self) -> bool:
        """Return whether it worked and does not any more."""
        return self.status in LOST_STATUSES

    @property
    def was_ended_here(self) -> bool:
        """Return whether it does not work because the patient ended it on our own page."""
        return self.is_lost and _is_after(self.ended_here_at, self.active_as_of)

    @property
    def lost_at(self) -> datetime | None:
        """When it was lost, as far as is known; None where it is not."""
        if not self.is_lost:
            return None
        for moment in (self.told_lost_at, self.seen_lost_at):
            # Of a loss before it was won again, nothing is said any more.
            if moment is not None and _is_after(moment, self.active_as_of):
                return moment
        return self.as_of


@dataclass(frozen=True)
class PlaceState:
    """The state of a patient at a place, concluded from its links."""

    state: State
    status: str
    since: datetime | None
    lost_at: datetime | None
    was_ended_here: bool


def tell_link(
    status: str,
    as_of: datetime,
    *,
    since: datetime | None = None,
    lost_at: datetime | None = None,
    is_ended_here: bool = False,
) -> LinkState:
    """Return what one source alone tells of a link; ``lost_at`` where it says when it was lost."""
    is_lost = status in LOST_STATUSES
    return LinkState(
        status=status,
        as_of=as_of,
        active_as_of=as_of if status == ACTIVE else None,
        ended_here_at=as_of if is_ended_here else None,
        since=since,
        told_lost_at=lost_at if is_lost else None,
        seen_lost_at=as_of if is_lost and lost_at is None else None,
    )


def merge_links(left: LinkState, right: LinkState) -> LinkState:
    """Join what two sources tell of the same link, whichever came first."""
    latest = max(left, right, key=_by_time)
    return LinkState(
        status=latest.status,
        as_of=latest.as_of,
        active_as_of=_latest(left.active_as_of, right.active_as_of),
        ended_here_at=_latest(left.ended_here_at, right.ended_here_at),
        since=_latest(left.since, right.since),
        told_lost_at=_latest(left.told_lost_at, right.told_lost_at),
        seen_lost_at=_earliest(left.seen_lost_at, right.seen_lost_at),
    )


def conclude_place(links: Sequence[LinkState]) -> PlaceState:
    """Conclude the state at a place from its links, of which there is at least one."""
    if active := [link for link in links if link.is_active]:
        since = _earliest(*(link.since for link in active))
        return PlaceState(State.CONNECTED, ACTIVE, since, None, was_ended_here=False)
    latest = max(links, key=_by_end)
    since = _latest(*(link.since for link in links))
    if not latest.is_lost:
        return PlaceState(State.CHECKING, latest.status, since, None, was_ended_here=False)
    is_disconnected = latest.status == DISCONNECTED or latest.was_ended_here
    return PlaceState(
        State.DISCONNECTED if is_disconnected else State.LOST,
        latest.status,
        since,
        latest.lost_at,
        was_ended_here=latest.was_ended_here,
    )


def _by_time(link: LinkState) -> tuple[datetime, int, str]:
    strength = 2 if link.is_lost else 1 if link.is_active else 0
    return link.as_of, strength, link.status


def _by_end(link: LinkState) -> tuple[datetime, bool, bool, datetime, str]:
    ended_at = link.lost_at or link.as_of
    is_disconnected = link.status == DISCONNECTED or link.was_ended_here
    # Whatever is concluded from a link is in here: of two that are equal, either will do.
    since = link.since or link.as_of
    return ended_at, is_disconnected, link.was_ended_here, since, link.status


def _is_after(moment: datetime | None, other: datetime | None) -> bool:
    return moment is not None and (other is None or moment >= other)


def _latest(*moments: datetime | None) -> datetime | None:
    return max(_told(moments), default=None)


def _earliest(*moments: datetime | None) -> datetime | None:
    return min(_told(moments), default=None)


def _told(moments: Iterable[datetime | None]) -> list[datetime]:
    return [moment for moment in moments if moment is not None]
