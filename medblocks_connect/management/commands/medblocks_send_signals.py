"""``medblocks_send_signals``: sends the signals that are owed and due; cron or a worker runs it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from medblocks_connect.management.max_seconds import add_max_seconds, read_seconds
from medblocks_connect.management.stoppable_command import StoppableCommand
from medblocks_connect.operations import send_signals


class Command(StoppableCommand):
    """Send the signals of the workspace that were not sent yet."""

    help = (
        "Sends the signals that were left for later: by DEFER_SIGNALS, by a process that died, by "
        "a receiver that raised. medblocks_reconcile does it too; this asks Medblocks nothing. Run "
        "it as often and on as many machines as you like. Exit code 1: a receiver raised again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take how much one run may do."""
        parser.add_argument(
            "--limit",
            type=int,
            default=1000,
            help="the most signals to send in this run (default: 1000)",
        )
        add_max_seconds(parser)
        parser.add_argument(
            "--given-up",
            action="store_true",
            help="send those alone that failed so often that nobody sends them any more",
        )

    def handle(
        self, *args: Any, limit: int, given_up: bool, verbosity: int, **options: Any
    ) -> None:
        """Send, and end with one line for cron's mail."""
        if limit < 1:
            raise CommandError("--limit takes a number, 1 or more.")
        seconds = read_seconds(options["max_seconds"])
        done = send_signals(limit=limit, given_up=given_up, max_seconds=seconds)
        line = f"medblocks_send_signals: {done.sent} sent"
        if done.failed:
            raise CommandError(f"{line}, {done.failed} failed again.", returncode=1)
        if verbosity > 0:
            self.stdout.write(f"{line}.")
