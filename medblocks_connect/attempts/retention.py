"""Retention: evidence that is older than a host wants to keep is deleted, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.db import IntegrityError, OperationalError, router, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from medblocks_connect.api.clock import TimeLimit
from medblocks_connect.attempts.database_retry import RetryLimit
from medblocks_connect.models import (
    ActionCount,
    FacilityRequest,
    MissingFacility,
    PatientConnection,
    PatientConnectionAttempt,
    WebhookDelivery,
)

MAX_BATCH_SIZE: Final = 10_000
_MOST_REFUSALS: Final = 5


@dataclass
class Pruning:
    """The account of a run: the rows deleted of each kind, and whether time ran out before all."""

    deleted: dict[str, int] = field(default_factory=dict)
    is_finished: bool = True


def delete_old_rows(
    cutoff: datetime,
    *,
    connected_too: bool = False,
    batch_size: int = 1000,
    max_seconds: float | None = None,
    on_progress: Callable[[str, int], None] = lambda _kind, _deleted: None,
) -> Pruning:
    """Delete what is older than ``cutoff``, ``batch_size`` rows in a transaction.

    The last success of each patient at each place is kept while its access holds, unless
    ``connected_too``: it says who is connected now. After ``max_seconds`` no further batch is
    begun. Raises what the database raises.
    """
    done, time_limit = Pruning(), TimeLimit(max_seconds)
    for kind, old, moment, order in _list_old(cutoff, connected_too=connected_too):
        done.deleted[kind] = 0
        for keys in _batches(old, order, batch_size):
            if time_limit.is_over():
                done.is_finished = False
                return done
            done.deleted[kind] += _delete_patiently(old, moment, keys)
            on_progress(kind, done.deleted[kind])
    return done


def delete_rows(rows: QuerySet[Any], moment: str, batch_size: int = 1000) -> int:
    """Delete ``rows``, and what hangs on them, in batches; return how many of them there were.

    ``moment`` is a column of theirs with a time. Raises what the database raises.
    """
    return sum(_delete_patiently(rows, moment, keys) for keys in _batches(rows, "id", batch_size))


def count_old_rows(cutoff: datetime, *, connected_too: bool = False) -> dict[str, int]:
    """Return how many rows of each kind :func:`delete_old_rows` would delete."""
    return {
        kind: old.order_by().count()
        for kind, old, _moment, _order in _list_old(cutoff, connected_too=connected_too)
    }


def _list_old(
    cutoff: datetime, *, connected_too: bool
) -> Iterator[tuple[str, QuerySet[Any], str, str]]:
    """Yield the old rows by their kind, with the column of their age, in an index's order."""
    attempts = _prunable_attempts(connected_too=connected_too)
    connections = _prunable_connections(connected_too=connected_too)
    for kind, rows, moment, order in (
        ("attempts", attempts, "created_at", "created_at"),
        ("connections", connections, "changed_at", "id"),
        ("webhook deliveries", WebhookDelivery.objects.all(), "received_at", "id"),
        ("facility requests", FacilityRequest.objects.all(), "created_at", "id"),
        ("missing facilities", MissingFacility.objects.all(), "last_at", "id"),
        ("throttle counters", ActionCount.objects.all(), "ends_at", "id"),
    ):
        # Where they are written: a replica may lag behind.
        written: QuerySet[Any] = rows.using(router.db_for_write(rows.model))
        yield kind, written.filter(**{f"{moment}__lt": cutoff}), moment, order


def _delete_patiently(old: QuerySet[Any], moment: str, keys: list[Any]) -> int:
    """Delete those of ``old`` with ``keys``; again where somebody else was in the way."""
    limit = RetryLimit(refusals=_MOST_REFUSALS)
    while True:
        try:
            return _delete_batch(old, moment, keys)
        # A deadlock's victim, a lock that was waited for in vain, or a new event of one of them.
        except (IntegrityError, OperationalError):  # noqa: PERF203 - the loop is for nothing else
            if limit.is_reached(old.db):
                raise


def _delete_batch(old: QuerySet[Any], moment: str, keys: list[Any]) -> int:
    with transaction.atomic(using=old.db):
        # A write first: Django reads what is to go along, and so may a host's receivers, and a
        # transaction that reads and then writes fails on SQLite under load.
        old.filter(pk=keys[0]).update(**{moment: F(moment)})
        # With its timeline; a delivery that is newer stays, and loses its attempt.
        _, deleted = old.filter(pk__in=keys).delete()
    return deleted.get(old.model._meta.label, 0)  # noqa: SLF001 - Django documents it


def _prunable_attempts(*, connected_too: bool) -> QuerySet[PatientConnectionAttempt]:
    attempts = PatientConnectionAttempt.objects.all()
    if connected_too:
        return attempts
    held = PatientConnection.objects.that_stand().filter(attempt=OuterRef("pk"))
    return attempts.filter(~Exists(held))


def _prunable_connections(*, connected_too: bool) -> QuerySet[PatientConnection]:
    connections = PatientConnection.objects.all()
    if connected_too:
        return connections
    return connections.exclude(state=PatientConnection.State.CONNECTED)


def _batches(rows: QuerySet[Any], order: str, size: int) -> Iterator[list[Any]]:
    """Yield the keys of ``rows`` in batches; what is kept is passed over once."""
    ordered = rows.order_by(order, "pk")
    batch = list(ordered.values_list(order, "pk")[:size])
    while batch:
        yield [key for _, key in batch]
        since, last = batch[-1]
        # The first condition is what the index is entered with; the second sorts out the moment.
        further = ordered.filter(**{f"{order}__gte": since}).filter(
            Q(**{f"{order}__gt": since}) | Q(pk__gt=last)
        )
        batch = list(further.values_list(order, "pk")[:size])
