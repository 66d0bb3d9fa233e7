"""``medblocks_reconcile``: settles the attempts that have no confirmed outcome; cron runs it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from medblocks_connect.api.clock import monotonic
from medblocks_connect.attempts.reconcile import Reconciliation, count_unsettled
from medblocks_connect.management.max_seconds import add_max_seconds, read_seconds
from medblocks_connect.management.stoppable_command import StoppableCommand
from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.operations import RepeatedErasures, reconcile, repeat_erasures

_STOPPED = {
    "rate_limited": "Medblocks asked us to slow down; the rest waits for the next run",
    "refused": "Medblocks refused the API key; the rest waits until that is mended",
    "time": "The time is over; the rest waits for the next run",
    "away": "Medblocks did not answer; the rest waits for the next run",
}


class Command(StoppableCommand):
    """Settle every attempt that has no confirmed outcome, by asking Medblocks."""

    help = (
        "Asks Medblocks about every attempt without a confirmed outcome and settles it; expires "
        "what has lapsed; processes webhook deliveries that failed or came too early; sends "
        "signals that are still owed; goes on with erasures of patients that were cut short, and "
        "erases again what a backup brought back. Run it from cron every few minutes, on as many "
        "machines as you like. Exit code 1: something has to be done again, as Medblocks could not "
        "be asked about an attempt, an attempt could not be settled, or a delivery, a signal or an "
        "erasure failed again. The one line that it prints says which."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take how much one run may do."""
        parser.add_argument(
            "--limit",
            type=int,
            default=1000,
            help="the most attempts to ask Medblocks about in this run (default: 1000)",
        )
        add_max_seconds(parser)

    def handle(self, *args: Any, limit: int, verbosity: int, **options: Any) -> None:
        """Reconcile, show progress on a terminal, and end with one line for cron's mail."""
        if limit < 1:
            raise CommandError("--limit takes a number, 1 or more.")
        shows_progress = verbosity > 0 and self.stderr.isatty()
        total = min(count_unsettled(), limit) if shows_progress else 0

        def show(done: Reconciliation) -> None:
            if shows_progress:
                self.stderr.write(f"\r{done.asked} of {total} asked", ending="")
                self.stderr.flush()

        seconds = read_seconds(options["max_seconds"])
        # First: nobody is to be asked about an attempt of a patient who was erased.
        began = monotonic()
        erasures = repeat_erasures(max_seconds=seconds)
        seconds = None if seconds is None else max(0.0, seconds + began - monotonic())
        done = reconcile(limit=limit, max_seconds=seconds, on_progress=show)
        if shows_progress and done.asked:
            self.stderr.write("")
        line = _format_summary(done, erasures)
        if erasures.failed or not done.is_finished:
            raise CommandError(line, returncode=1)
        if verbosity > 0:
            self.stdout.write(line)


def _format_summary(done: Reconciliation, erasures: RepeatedErasures) -> str:
    labels = dict(PatientConnectionAttempt.Status.choices)
    parts = [f"{count} {labels[status]}" for status, count in sorted(done.statuses.items())]
    if done.adopted:
        parts.append(f"{done.adopted} sessions found again")
    if done.deliveries:
        parts.append(f"{done.deliveries} webhook deliveries processed")
    if done.failed_deliveries:
        parts.append(f"{done.failed_deliveries} webhook deliveries failed again")
    if done.signals:
        parts.append(f"{done.signals} signals sent")
    if done.failed_signals:
        parts.append(f"{done.failed_signals} signals failed again")
    if done.unanswered:
        parts.append(f"{done.unanswered} without a usable answer")
    if done.broken:
        parts.append(f"{done.broken} not settled because of an error here, see the log")
    parts += _format_erasures(erasures)
    line = f"medblocks_reconcile: {done.asked} asked"
    line = f"{line} ({', '.join(parts)})" if parts else line
    return f"{line}. {_STOPPED[done.stopped]}." if done.stopped else f"{line}."


def _format_erasures(erasures: RepeatedErasures) -> list[str]:
    counted = {
        "erasures finished": erasures.finished,
        "erasures not finished": erasures.failed,
        "rows of erased patients deleted again": erasures.rows,
    }
    return [f"{number} {what}" for what, number in counted.items() if number]
