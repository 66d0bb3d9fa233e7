"""How long attempts are kept: for ever, unless somebody says how old is too old."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError
from calendar import monthrange
from datetime import datetime, timedelta
from typing import Any, Final

from django.core.management.base import BaseCommand
from django.db import router, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from medblocks_connect.models import PatientConnectionAttempt, WebhookDelivery

_AGE: Final = re.compile(r"([1-9][0-9]{0,3})([ymd])")
_HOLDS: Final = Q(status=PatientConnectionAttempt.Status.SUCCEEDED, lost_at__isnull=True)
_OLDEST_YEAR: Final = 1970


class Command(BaseCommand):
    """Delete attempts, their timelines and webhook deliveries that are older than asked for."""

    help = (
        "Deletes attempts and webhook deliveries older than --older-than. Without it, nothing. "
        "An attempt whose connection still holds is kept, however old it is: it says who is "
        "connected now."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument(
            "--older-than",
            type=_cutoff,
            metavar="AGE",
            help="such as 6y, 18m or 90d (years, months, days); nothing is deleted without it",
        )
        parser.add_argument(
            "--batch-size", type=_size, default=1000, help="rows per transaction (default 1000)"
        )
        parser.add_argument(
            "--connected-too",
            action="store_true",
            help="delete old attempts whose connection still holds as well",
        )
        parser.add_argument("--dry-run", action="store_true", help="count, and delete nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete batch by batch: nobody waits for one long transaction."""
        cutoff: datetime | None = options["older_than"]
        if cutoff is None:
            self.stdout.write("Nothing is deleted unless --older-than says how old is too old.")
            return
        attempts = PatientConnectionAttempt.objects.filter(created_at__lt=cutoff)
        if not options["connected_too"]:
            attempts = attempts.exclude(_HOLDS)
        deliveries = WebhookDelivery.objects.filter(received_at__lt=cutoff)
        size, dry_run = options["batch_size"], options["dry_run"]
        self.stdout.write(f"Older than {cutoff:%Y-%m-%d %H:%M}:")
        self._prune("attempts", attempts.order_by("created_at"), size, dry_run=dry_run)
        self._prune("webhook deliveries", deliveries.order_by("id"), size, dry_run=dry_run)

    def _prune(self, name: str, rows: QuerySet[Any], size: int, *, dry_run: bool) -> None:
        if dry_run:
            self.stdout.write(f"  {rows.order_by().count()} {name} would be deleted")
            return
        deleted = 0
        for batch in iter(lambda: list(rows.values_list("pk", flat=True)[:size]), []):
            with transaction.atomic(using=router.db_for_write(rows.model)):
                # With its timeline; a delivery that is newer stays, and loses its attempt.
                rows.model.objects.filter(pk__in=batch).delete()
            deleted += len(batch)
            self.stdout.write(f"  {deleted} {name} deleted so far")
            self.stdout.flush()
        self.stdout.write(f"  {deleted} {name} deleted")


def _cutoff(age: str) -> datetime:
    found = _AGE.fullmatch(age)
    if found is None:
        raise ArgumentTypeError(f"{age!r} is no age such as 6y, 18m or 90d")
    number, unit = int(found[1]), found[2]
    now = timezone.now()
    try:
        return (
            now - timedelta(days=number)
            if unit == "d"
            else _months_before(now, number * (12 if unit == "y" else 1))
        )
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{age!r} is longer than there are dates") from None


def _months_before(now: datetime, months: int) -> datetime:
    year, month = divmod(now.year * 12 + now.month - 1 - months, 12)
    if year < _OLDEST_YEAR:
        raise ValueError(year)
    last_day = monthrange(year, month + 1)[1]
    return now.replace(year=year, month=month + 1, day=min(now.day, last_day))


def _size(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 10_000:
        raise ArgumentTypeError("must be a whole number from 1 to 10000")
    return int(text)
