"""``medblocks_prune``: deletes evidence older than the age given; without an age, nothing."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from calendar import monthrange
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from django.core.management.base import CommandError
from django.db import IntegrityError, OperationalError, router, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from medblocks_connect.attempts.database_retry import RetryLimit
from medblocks_connect.management.stop_signals import StoppableCommand
from medblocks_connect.models import (
    ActionCount,
    FacilityRequest,
    MissingFacility,
    PatientConnection,
    PatientConnectionAttempt,
    WebhookDelivery,
)

_AGE: Final = re.compile(r"([1-9][0-9]{0,3})([ymd])")
_OLDEST_YEAR: Final = 1970
_LARGEST_BATCH: Final = 10_000
_MOST_REFUSALS: Final = 5


class Command(StoppableCommand):
    """Delete attempts, their timelines, deliveries and requests that are older than asked for."""

    help = (
        "Deletes attempts, webhook deliveries, what patients told of missing facilities and "
        "throttle counters, older than --older-than. Without it, nothing. The last success of each "
        "patient at each place is kept, however old, while its access holds: it says who is "
        "connected now."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options; handle() reads them, since call_command() may give them as they are."""
        parser.add_argument(
            "--older-than",
            metavar="AGE",
            help="such as 6y, 18m or 90d (years, months, days); nothing is deleted without it",
        )
        parser.add_argument(
            "--batch-size", default=1000, help="rows per transaction (default 1000)"
        )
        parser.add_argument(
            "--connected-too",
            action="store_true",
            help="delete old attempts whose connection still holds as well",
        )
        parser.add_argument("--dry-run", action="store_true", help="count, and delete nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete batch by batch: nobody waits for one long transaction."""
        size = _read_size(options["batch_size"])
        if options["older_than"] is None:
            self.stdout.write("Nothing is deleted unless --older-than says how old is too old.")
            return
        cutoff = _read_cutoff(options["older_than"])
        self.stdout.write(f"Older than {cutoff:%Y-%m-%d %H:%M}:")
        attempts = _prunable_attempts(connected_too=options["connected_too"])
        connections = _prunable_connections(connected_too=options["connected_too"])
        # In the order that an index has.
        for name, rows, moment, order in (
            ("attempts", attempts, "created_at", "created_at"),
            ("connections", connections, "changed_at", "id"),
            ("webhook deliveries", WebhookDelivery.objects.all(), "received_at", "id"),
            ("facility requests", FacilityRequest.objects.all(), "created_at", "id"),
            ("missing facilities", MissingFacility.objects.all(), "last_at", "id"),
            ("throttle counters", ActionCount.objects.all(), "ends_at", "id"),
        ):
            # Where they are written: a replica may lag behind.
            written: QuerySet[Any] = rows.using(router.db_for_write(rows.model))
            old = written.filter(**{f"{moment}__lt": cutoff})
            if options["dry_run"]:
                self.stdout.write(f"  {old.order_by().count()} {name} would be deleted")
            else:
                self._delete(name, old, moment, _batches(old, order, size))

    def _delete(
        self, name: str, old: QuerySet[Any], moment: str, batches: Iterator[list[Any]]
    ) -> None:
        deleted = 0
        for keys in batches:
            deleted += _delete_patiently(old, moment, keys)
            self.stdout.write(f"  {deleted} {name} deleted so far")
            self.stdout.flush()
        self.stdout.write(f"  {deleted} {name} deleted")


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


def _read_cutoff(age: Any) -> datetime:
    match = _AGE.fullmatch(str(age))
    if match is None:
        raise CommandError(f"{age!r} is no age such as 6y, 18m or 90d")
    number, unit = int(match[1]), match[2]
    now = timezone.now()
    try:
        return (
            now - timedelta(days=number)
            if unit == "d"
            else _months_before(now, number * (12 if unit == "y" else 1))
        )
    except (ValueError, OverflowError):
        raise CommandError(f"{age!r} is longer than there are dates") from None


def _months_before(now: datetime, months: int) -> datetime:
    year, month = divmod(now.year * 12 + now.month - 1 - months, 12)
    if year < _OLDEST_YEAR:
        raise ValueError(year)
    last_day = monthrange(year, month + 1)[1]
    return now.replace(year=year, month=month + 1, day=min(now.day, last_day))


def _read_size(size: Any) -> int:
    text = str(size)
    if not text.isdecimal() or not 1 <= int(text) <= _LARGEST_BATCH:
        raise CommandError(f"--batch-size must be a whole number from 1 to {_LARGEST_BATCH}")
    return int(text)
