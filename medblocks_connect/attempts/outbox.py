"""The outbox: signals are written down with their change, and sent until every receiver is through.

The row is the promise: it is written in the change's own transaction, and deleted once nobody has
to hear of it any more. So a signal comes at least once, whatever dies in between; where one fails
it comes again, also to the receivers that were through, and then in no order. ``due_at`` is both
the time of the next try and the hold of the process that is sending it.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, Final

from django.db import connections, router, transaction
from django.db.models import Q, QuerySet
from django.dispatch import Signal
from django.utils import timezone

from medblocks_connect import signals
from medblocks_connect.api.clock import NO_LIMIT, TimeLimit
from medblocks_connect.attempts.database_retry import retry_on_deadlock
from medblocks_connect.conf import conf
from medblocks_connect.models import (
    PatientConnectionAttempt,
    PendingSignal,
    WebhookDelivery,
    filter_workspace,
)

logger = logging.getLogger("medblocks_connect.signals")

MAX_TRIES: Final = 15
"""After so many tries, about three weeks, what failed is left to staff."""

HOLD: Final = timedelta(minutes=2)
"""How long a process has a signal to itself; then it is taken for dead."""

_TRIES_AT_ONCE: Final = 2
"""How often it is tried without waiting; then after 4 minutes, 8, 16 …"""

_SIGNALS: Final = {
    name: signal for name, signal in vars(signals).items() if isinstance(signal, signals.Signal)
}
_NAMES: Final[Mapping[Signal, str]] = {signal: name for name, signal in _SIGNALS.items()}


def owe_signals(
    due: Mapping[Signal, Mapping[str, Any]],
    database: str,
    *,
    attempt: PatientConnectionAttempt | None = None,
    delivery: WebhookDelivery | None = None,
) -> list[PendingSignal]:
    """Write down the ``due`` signals that somebody listens to, in the transaction of their cause.

    Each has what its receivers are given beside ``attempt``, None where it is about none. Return
    those that the caller is to send once that transaction is committed.
    """
    listened = {
        signal: arguments
        for signal, arguments in due.items()
        if signal.has_listeners(PatientConnectionAttempt)
    }
    if not listened:
        return []
    is_deferred = conf.defer_signals
    due_at = timezone.now() if is_deferred else timezone.now() + HOLD
    owed = [
        PendingSignal(
            attempt=attempt,
            delivery=delivery,
            name=_NAMES[signal],
            arguments=json.dumps(arguments),
            due_at=due_at,
        )
        for signal, arguments in listened.items()
    ]
    for row in owed:
        row.save(using=database, force_insert=True)
    return [] if is_deferred else owed


def send_after_commit(owed: Sequence[PendingSignal], database: str) -> None:
    """Send what :func:`owe_signals` returned as soon as it is committed."""
    if owed:
        transaction.on_commit(partial(send_signals, owed), using=database)


def send_signals(owed: Sequence[PendingSignal], seconds: float | None = None) -> None:
    """Call the receivers of ``owed``, in this thread; but for the first, none after ``seconds``.

    Never raises: whatever breaks, the rows are there, and the change that caused them stands.
    """
    until = None if seconds is None else time.monotonic() + seconds
    try:
        for number, row in enumerate(owed):
            if number and until is not None and time.monotonic() > until:
                _leave_to_others(owed[number:])
                return
            # Its hold may have run out, as before a long transaction's commit.
            if row.due_at > timezone.now():
                row.tries += 1
                _send(row)
            elif _take(row):
                _send(row)
    except Exception as error:  # noqa: BLE001 - a patient's page must not turn into an error
        # The error's kind and not its text, which may hold anything.
        logger.error("Signals are left for later: %s", type(error).__name__)


def send_due_signals(limit: int, time_limit: TimeLimit = NO_LIMIT) -> tuple[int, int]:
    """Send up to ``limit`` signals that are due; return how many were sent, and how many failed.

    Raises what the database raises.
    """
    due = filter_workspace(_find_signals()).filter(due_at__lte=timezone.now(), tries__lt=MAX_TRIES)
    return _send_each(due, limit, time_limit)


def send_given_up_signals(limit: int, time_limit: TimeLimit = NO_LIMIT) -> tuple[int, int]:
    """Send up to ``limit`` signals that failed so often that nobody sends them any more."""
    free = filter_workspace(_find_signals()).filter(_is_free())
    return _send_each(free.filter(tries__gte=MAX_TRIES), limit, time_limit)


def send_signals_of(delivery: WebhookDelivery) -> tuple[int, int]:
    """Send what ``delivery`` caused and was not sent yet, due or not, however often it failed."""
    return _send_each(_find_signals().filter(_is_free(), delivery=delivery))


def _is_free() -> Q:
    """Signals that no process is sending: such a one has not failed since it was taken."""
    return Q(due_at__lte=timezone.now()) | ~Q(failure="")


def _find_signals() -> QuerySet[PendingSignal]:
    """Return the signals as they are where they are written; a replica may lag behind."""
    database = router.db_for_write(PendingSignal)
    return PendingSignal.objects.using(database).order_by("due_at", "id")


def _send_each(
    rows: QuerySet[PendingSignal], limit: int | None = None, time_limit: TimeLimit = NO_LIMIT
) -> tuple[int, int]:
    sent = []
    # A list of keys: an open cursor would keep other writers out of SQLite until its end.
    for key in list(rows.values_list("pk", flat=True)[:limit]):
        if time_limit.is_over():
            break
        row = rows.select_related("attempt").filter(pk=key).first()
        if row is not None and _take(row):
            sent.append(_send(row))
    return sent.count(True), sent.count(False)


def _take(row: PendingSignal) -> bool:
    """Return whether this process may send ``row`` now, and no other meanwhile. Counts the try."""
    due_at = timezone.now() + HOLD
    as_read = _find_signals().filter(pk=row.pk, due_at=row.due_at)
    changed = _update(as_read, due_at=due_at, tries=row.tries + 1, failure="")
    row.due_at, row.tries = due_at, row.tries + 1
    return bool(changed)


def _send(row: PendingSignal) -> bool:
    """Call the receivers of ``row``; whether all were through."""
    try:
        failure = _call_receivers(row)
    except BaseException:  # the process is to stop: who comes next need not wait for the hold
        _update(_find_signals().filter(pk=row.pk), due_at=timezone.now())
        raise
    if not failure:
        retry_on_deadlock(partial(_delete, row), router.db_for_write(PendingSignal))
        return True
    minutes = 0 if row.tries < _TRIES_AT_ONCE else 2 ** min(row.tries, MAX_TRIES)
    due_at = timezone.now() + timedelta(minutes=minutes)
    stored = _find_signals().filter(pk=row.pk)
    _update(stored, tries=row.tries, failure=failure[:200], due_at=due_at)
    return False


def _delete(row: PendingSignal) -> None:
    # Plain SQL: every signal ends here, and the ORM would take a transaction and longer to build
    # the statement than to run it.
    with connections[router.db_for_write(PendingSignal)].cursor() as cursor:
        cursor.execute("DELETE FROM medblocks_connect_pendingsignal WHERE id = %s", [row.pk])


def _call_receivers(row: PendingSignal) -> str:
    """Return the kind of error that a receiver raised, ``""`` where none did."""
    signal = _SIGNALS.get(row.name)
    if signal is None:  # of a newer release, before this one was installed again
        return "UnknownSignal"
    answers = signal.send_robust(
        sender=PatientConnectionAttempt, attempt=row.attempt, **json.loads(row.arguments)
    )
    raised = [type(answer).__name__ for _, answer in answers if isinstance(answer, Exception)]
    return raised[0] if raised else ""


def _leave_to_others(rows: Sequence[PendingSignal]) -> None:
    held = _find_signals().filter(pk__in=[row.pk for row in rows], tries=0)
    _update(held, due_at=timezone.now())


def _update(rows: QuerySet[PendingSignal], **columns: Any) -> int:
    return retry_on_deadlock(partial(rows.update, **columns), router.db_for_write(PendingSignal))
