"""``medblocks_prune``: deletes evidence older than the age given; without an age, nothing."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from calendar import monthrange
from datetime import datetime, timedelta
from typing import Any, Final

from django.core.management.base import CommandError
from django.utils import timezone

from medblocks_connect.attempts.retention import MAX_BATCH_SIZE, count_old_rows
from medblocks_connect.management.max_seconds import add_max_seconds, read_seconds
from medblocks_connect.management.stoppable_command import StoppableCommand
from medblocks_connect.operations import prune

_AGE: Final = re.compile(r"([1-9][0-9]{0,3})([ymd])")
_OLDEST_YEAR: Final = 1970


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
        add_max_seconds(parser)
        parser.add_argument("--dry-run", action="store_true", help="count, and delete nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        """Delete batch by batch: nobody waits for one long transaction."""
        size = _read_size(options["batch_size"])
        if options["older_than"] is None:
            self.stdout.write("Nothing is deleted unless --older-than says how old is too old.")
            return
        cutoff = _read_cutoff(options["older_than"])
        connected_too = options["connected_too"]
        self.stdout.write(f"Older than {cutoff:%Y-%m-%d %H:%M}:")
        if options["dry_run"]:
            for kind, count in count_old_rows(cutoff, connected_too=connected_too).items():
                self.stdout.write(f"  {count} {kind} would be deleted")
            return
        done = prune(
            cutoff,
            connected_too=connected_too,
            batch_size=size,
            max_seconds=read_seconds(options["max_seconds"]),
            on_progress=self._report,
        )
        for kind, count in done.deleted.items():
            self.stdout.write(f"  {count} {kind} deleted")
        if not done.is_finished:
            self.stdout.write("  The time is over: the rest waits for the next run")

    def _report(self, kind: str, deleted: int) -> None:
        self.stdout.write(f"  {deleted} {kind} deleted so far")
        self.stdout.flush()


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
    if not text.isdecimal() or not 1 <= int(text) <= MAX_BATCH_SIZE:
        raise CommandError(f"--batch-size must be a whole number from 1 to {MAX_BATCH_SIZE}")
    return int(text)
