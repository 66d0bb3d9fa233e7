"""Missed events: what Medblocks could not deliver is read from its list, and treated as delivered.

The list is looked through once an hour, and further in the next run where it is long. Medblocks
does not say in which order it comes: where a page shows that it is the newest first, what former
runs have seen is not asked for again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Final

from medblocks_connect.api import (
    InvalidRequestError,
    MedblocksClient,
    NotFoundError,
    Page,
    PermissionDeniedError,
    UnexpectedReplyError,
    WebhookEvent,
)
from medblocks_connect.api.clock import TimeLimit
from medblocks_connect.attempts.operation_runs import (
    Name,
    claim_run,
    read_moment,
    read_state,
    write_moment,
    write_state,
)
from medblocks_connect.attempts.webhook_deliveries import (
    State,
    find_deliveries,
    receive_delivery,
)
from medblocks_connect.attempts.webhook_events import read_delivery
from medblocks_connect.models import filter_workspace

FETCH_INTERVAL: Final = timedelta(hours=1)
MAX_PAGES: Final = 10
"""The pages that one run reads; the next goes on behind them."""

PAGE_SIZE: Final = 100

MAX_AGE: Final = timedelta(days=90)
"""How old an event may be: for so long ids are to be remembered ("Webhooks" on the API page)."""

_OVERLAP: Final = timedelta(days=1)
"""How far behind the last look a look goes: events do not come in order, and clocks differ."""


@dataclass
class FetchedEvents:
    """The account of a look: events that had not come here, and those that were left out.

    ``fetched`` counts those that were stored, ``failed`` those of them whose processing failed,
    ``too_old`` those of over :data:`MAX_AGE`, ``unreadable`` what is no event.
    """

    fetched: int = 0
    failed: int = 0
    too_old: int = 0
    unreadable: int = 0
    is_newly_forbidden: bool = False  # the API key may not read events
    is_out_of_time: bool = False


@dataclass
class _Walk:
    """The way through an endpoint's list: where it goes on, and until when all was seen of it."""

    endpoint_id: str
    began_at: datetime
    cursor: str = ""
    seen_until: datetime | None = None
    is_forbidden: bool = False  # the API key may not read events: said once

    @classmethod
    def read(cls, endpoint_id: str) -> _Walk:
        """Return the way as it was kept; a new one for another endpoint."""
        now = datetime.now(timezone.utc)
        kept = read_state(Name.FETCH_MISSED_EVENTS)
        if kept.get("endpoint_id") != endpoint_id:
            return cls(endpoint_id, now)
        cursor = str(kept.get("cursor", ""))
        began_at = read_moment(kept.get("began_at")) if cursor else None
        return cls(
            endpoint_id,
            began_at or now,
            cursor,
            read_moment(kept.get("seen_until")),
            is_forbidden=bool(kept.get("is_forbidden")),
        )

    def keep(self) -> None:
        """Keep it for the next run."""
        write_state(
            Name.FETCH_MISSED_EVENTS,
            {
                "endpoint_id": self.endpoint_id,
                "cursor": self.cursor,
                "began_at": write_moment(self.began_at),
                "seen_until": write_moment(self.seen_until),
                "is_forbidden": self.is_forbidden,
            },
        )

    def go_on(self, cursor: str) -> None:
        """Go on behind ``cursor``; without one the end is reached, and all of it seen."""
        self.cursor, self.is_forbidden = cursor, False
        if not cursor:
            self.seen_until = self.began_at
        self.keep()

    def was_seen(self, moment: datetime | None) -> bool:
        """Return whether a former look has had an event of ``moment``."""
        if self.seen_until is None or moment is None:
            return False
        return moment < self.seen_until - _OVERLAP


def fetch_events(client: MedblocksClient, endpoint_id: str, limit: TimeLimit) -> FetchedEvents:
    """Read the undelivered events of the endpoint, where that is due, and give each its effect.

    Raises ``MedblocksError`` and what the database raises; what was fetched before is kept.
    """
    done = FetchedEvents()
    walk = _Walk.read(endpoint_id)
    if limit.is_over():
        done.is_out_of_time = True
        return done
    if not claim_run(Name.FETCH_MISSED_EVENTS, FETCH_INTERVAL) and not walk.cursor:
        return done
    for _ in range(MAX_PAGES):
        if limit.is_over():
            done.is_out_of_time = True
            break
        page = _ask(client, walk, done)
        if page is None:
            break
        done.unreadable += page.unreadable
        _receive_events(page.data, walk, done)
        walk.go_on("" if _is_end(page, walk) else page.next_cursor)
        if not walk.cursor:
            break
    return done


def _ask(client: MedblocksClient, walk: _Walk, done: FetchedEvents) -> Page[WebhookEvent] | None:
    try:
        return client.webhook_endpoints.list_events(
            walk.endpoint_id, delivered=False, limit=PAGE_SIZE, starting_after=walk.cursor
        )
    except PermissionDeniedError:
        done.is_newly_forbidden = not walk.is_forbidden
        walk.is_forbidden = True
        walk.keep()
        return None
    except (InvalidRequestError, NotFoundError):
        if not walk.cursor:
            raise
        walk.cursor = ""  # it is no longer known: the next look begins anew
        walk.keep()
        return None


def _is_end(page: Page[WebhookEvent], walk: _Walk) -> bool:
    """Return whether nothing behind ``page`` is new. Raises where there is more but not where."""
    moments = [event.created_at for event in page.data if event.created_at]
    is_newest_first = len(moments) > 1 and moments[0] > moments[-1]
    oldest_allowed = datetime.now(timezone.utc) - MAX_AGE
    if not page.has_more:
        return True
    if is_newest_first and (walk.was_seen(moments[-1]) or moments[-1] < oldest_allowed):
        return True
    if not page.next_cursor or page.next_cursor == walk.cursor:
        raise UnexpectedReplyError("The list says that there is more but not where.")
    return False


def _receive_events(events: Sequence[WebhookEvent], walk: _Walk, done: FetchedEvents) -> None:
    """Give each of ``events`` that is new its effect, as if it had been delivered."""
    for event in _leave_out_known(list(_choose_new(events, walk, done))):
        delivery = read_delivery(_write_body(event))
        if delivery is None:
            done.unreadable += 1
            continue
        delivery.digest = ""  # the bytes that would be delivered are not known
        receive_delivery(delivery)()
        done.fetched += 1
        done.failed += delivery.state == State.FAILED


def _leave_out_known(events: Sequence[WebhookEvent]) -> list[WebhookEvent]:
    """Return those of ``events`` that did not come here, be they delivered or fetched."""
    if not events:
        return []
    ids = [event.id for event in events]
    rows = filter_workspace(find_deliveries()).filter(event_id__in=ids)
    known = set(rows.values_list("event_id", flat=True))
    return [event for event in events if event.id not in known]


def _choose_new(
    events: Iterable[WebhookEvent], walk: _Walk, done: FetchedEvents
) -> Iterable[WebhookEvent]:
    oldest_allowed = datetime.now(timezone.utc) - MAX_AGE
    for event in events:
        if event.delivered_at is not None or walk.was_seen(event.created_at):
            continue
        if event.created_at is not None and event.created_at < oldest_allowed:
            done.too_old += 1
        else:
            yield event


def _write_body(event: WebhookEvent) -> bytes:
    """Return ``event`` as a delivery has it."""
    body = {
        "id": event.id,
        "object": "event",
        "type": event.type,
        "api_version": event.api_version,
        "created_at": write_moment(event.created_at) or None,
        "data": dict(event.data),
    }
    return json.dumps(body).encode()
