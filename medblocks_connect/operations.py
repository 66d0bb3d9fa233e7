"""Operations: what the commands do, as functions for a host's own workers and schedules.

Each may be called on as many machines as you like. Each begins nothing new after ``max_seconds``,
and lets go at once when its process is told to stop: by SIGTERM, by SIGINT or by a time limit such
as Celery's ``SoftTimeLimitExceeded``, which is raised again once nothing is held. That works in a
process' main thread, where Python calls the handlers of signals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import ParamSpec, TypeVar

from medblocks_connect.api.clock import TimeLimit
from medblocks_connect.attempts.outbox import send_due_signals, send_given_up_signals
from medblocks_connect.attempts.place_ids import adopt_place_ids
from medblocks_connect.attempts.reconcile import Reconciliation, reconcile_attempts
from medblocks_connect.attempts.retention import Pruning, delete_old_rows
from medblocks_connect.attempts.stop_signals import StopRequestedError, stop_on_signals
from medblocks_connect.erasure import RepeatedErasures
from medblocks_connect.erasure import repeat_erasures as erase_again
from medblocks_connect.facilities.sync import sync_catalog
from medblocks_connect.models import CatalogSync

__all__ = [
    "Pruning",
    "Reconciliation",
    "RepeatedErasures",
    "SentSignals",
    "prune",
    "reconcile",
    "repeat_erasures",
    "send_signals",
    "sync_facilities",
]

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


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
    return reconcile_attempts(limit=limit, max_seconds=max_seconds, on_progress=on_progress)


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
