"""Operations: what the commands do, as functions for a host's own workers and schedules.

Each may be called on as many machines as you like. Each begins nothing new after ``max_seconds``,
and lets go at once when its process is told to stop: by SIGTERM, by SIGINT or by a time limit such
as Celery's ``SoftTimeLimitExceeded``, which is raised again once nothing is held. That works in a
process' main thread, where Python calls the handlers of signals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from medblocks_connect.api import MedblocksError
from medblocks_connect.api.clock import TimeLimit
from medblocks_connect.attempts.operation_runs import Name, note_run
from medblocks_connect.attempts.outbox import send_due_signals, send_given_up_signals
from medblocks_connect.attempts.place_ids import adopt_place_ids
from medblocks_connect.attempts.reconcile import (
    Reconciliation,
    choose_stop,
    reconcile_attempts,
)
from medblocks_connect.attempts.retention import Pruning, delete_old_rows
from medblocks_connect.attempts.stop_signals import StopRequestedError, stop_on_signals
from medblocks_connect.conf import conf
from medblocks_connect.erasure import RepeatedErasures
from medblocks_connect.erasure import repeat_erasures as erase_again
from medblocks_connect.facilities.sync import sync_catalog
from medblocks_connect.medblocks_client import get_command_client
from medblocks_connect.models import CatalogSync
from medblocks_connect.patient_connections.polling import Polling, poll_patients
from medblocks_connect.webhook_endpoint.endpoint_state import (
    FORBIDDEN,
    EndpointState,
    look_at_endpoint,
    read_endpoint_state,
)
from medblocks_connect.webhook_endpoint.missed_events import FetchedEvents, fetch_events

__all__ = [
    "MissedEvents",
    "Polling",
    "Pruning",
    "Reconciliation",
    "RepeatedErasures",
    "SentSignals",
    "fetch_missed_events",
    "poll_connections",
    "prune",
    "reconcile",
    "repeat_erasures",
    "send_signals",
    "sync_facilities",
]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


POLL_INTERVAL: Final = timedelta(days=1)
"""How long a patient with a standing connection goes unasked where no webhook would tell."""

POLL_INTERVAL_BESIDE_WEBHOOKS: Final = timedelta(days=7)


@dataclass(frozen=True)
class MissedEvents:
    """The account of a look: our webhook endpoint, and the events that it missed.

    ``events`` is None where none were asked for. ``is_newly_forbidden``: since the last look the
    API key may not read endpoints. ``stopped`` says why Medblocks did not tell all, ``""`` where it
    did; ``is_unanswered`` that it was asked and gave no usable answer.
    """

    endpoint: EndpointState
    events: FetchedEvents | None = None
    is_newly_forbidden: bool = False
    is_unanswered: bool = False
    stopped: str = ""

    @property
    def is_finished(self) -> bool:
        """Return whether nothing is to be done again, and Medblocks still sends webhooks."""
        has_failed = self.events is not None and self.events.failed > 0
        return not (self.endpoint.is_stopped or self.is_unanswered or has_failed)


@dataclass(frozen=True)
class SentSignals:
    """The account of a run: the signals that were sent, and those that failed again."""

    sent: int
    failed: int


def _stoppable(operation: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    @wraps(operation)
    def run(*args: Parameters.args, **options: Parameters.kwargs) -> Result:
        try:
            with stop_on_signals():
                return operation(*args, **options)
        except StopRequestedError as stop:
            stop.raise_cause()

    return run


@_stoppable
def reconcile(
    *,
    limit: int = 1000,
    max_seconds: float | None = None,
    on_progress: Callable[[Reconciliation], None] = lambda _done: None,
) -> Reconciliation:
    """Settle what has no confirmed outcome, retry deliveries, send the signals that are owed.

    At most ``limit`` of each. ``on_progress`` is called after each attempt. Raises what the
    database raises where not even a failure can be noted.
    """
    done = reconcile_attempts(limit=limit, max_seconds=max_seconds, on_progress=on_progress)
    note_run(Name.RECONCILE)
    return done


@_stoppable
def fetch_missed_events(*, max_seconds: float | None = None) -> MissedEvents:
    """Look at our webhook endpoint, and fetch what Medblocks could not deliver to it.

    Both at most once an hour, whoever calls, and neither without ``WEBHOOK_SECRETS``. Raises what
    the database raises.
    """
    if not conf.webhook_secrets:
        return MissedEvents(EndpointState())
    limit = TimeLimit(max_seconds)
    before = endpoint = read_endpoint_state()
    try:
        endpoint = look_at_endpoint(get_command_client())
        is_newly_forbidden = endpoint.status == FORBIDDEN != before.status
        if not endpoint.endpoint_id or endpoint.status == FORBIDDEN:
            return MissedEvents(endpoint, is_newly_forbidden=is_newly_forbidden)
        events = fetch_events(get_command_client(), endpoint.endpoint_id, limit)
    except MedblocksError as error:
        return MissedEvents(endpoint, is_unanswered=True, stopped=choose_stop(error))
    return MissedEvents(
        endpoint, events, events.is_newly_forbidden, stopped="time" if events.is_out_of_time else ""
    )


@_stoppable
def poll_connections(*, limit: int | None = None, max_seconds: float | None = None) -> Polling:
    """Ask about patients with standing connections, and record what was lost; the longest unasked.

    At most ``limit`` of them, ``POLL_PER_RUN`` without it. Each is asked about every day, or every
    seven days while our webhook endpoint is active. Raises what the database raises.
    """
    is_told = read_endpoint_state().is_active
    done = poll_patients(
        POLL_INTERVAL_BESIDE_WEBHOOKS if is_told else POLL_INTERVAL,
        conf.poll_per_run if limit is None else limit,
        TimeLimit(max_seconds),
    )
    note_run(Name.POLL_CONNECTIONS)
    return done


@_stoppable
def send_signals(
    *, limit: int = 1000, given_up: bool = False, max_seconds: float | None = None
) -> SentSignals:
    """Send up to ``limit`` signals that are owed; asks Medblocks nothing.

    ``given_up``: those alone that failed so often that nobody sends them any more.
    """
    send = send_given_up_signals if given_up else send_due_signals
    sent, failed = send(limit, TimeLimit(max_seconds))
    return SentSignals(sent, failed)


@_stoppable
def repeat_erasures(*, max_seconds: float | None = None) -> RepeatedErasures:
    """Go on with erasures that were cut short, and erase again what came back from a backup.

    What patients did since they were erased is left alone. Raises what the database raises.
    """
    return erase_again(max_seconds=max_seconds)


@_stoppable
def prune(
    older_than: datetime,
    *,
    connected_too: bool = False,
    batch_size: int = 1000,
    max_seconds: float | None = None,
    on_progress: Callable[[str, int], None] = lambda _kind, _deleted: None,
) -> Pruning:
    """Delete evidence older than ``older_than``, ``batch_size`` rows in a transaction.

    The last success of each patient at each place is kept while its access holds, unless
    ``connected_too``. ``on_progress`` is told the kind of rows and how many are deleted.
    """
    return delete_old_rows(
        older_than,
        connected_too=connected_too,
        batch_size=batch_size,
        max_seconds=max_seconds,
        on_progress=on_progress,
    )


@_stoppable
def sync_facilities(
    *,
    pause: float = 0.2,
    restart: bool = False,
    accept_shrink: bool = False,
    max_seconds: float | None = None,
    on_progress: Callable[[int], None] = lambda _fetched: None,
) -> CatalogSync:
    """Bring Medblocks' whole catalog here; return the sync, unfinished where time ran out.

    ``pause`` is the seconds between two calls; ``restart`` begins anew; ``accept_shrink`` takes a
    catalog that lost more than half; ``on_progress`` is told how many facilities are fetched.
    Raises ``SyncError`` and ``MedblocksError``.
    """
    sync = sync_catalog(
        restart=restart,
        accept_shrink=accept_shrink,
        pause=pause,
        max_seconds=max_seconds,
        report=on_progress,
    )
    if sync.finished_at is not None:
        adopt_place_ids()
    return sync
