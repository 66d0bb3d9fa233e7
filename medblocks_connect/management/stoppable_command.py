"""Commands that say so when they are told to end."""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import BaseCommand

from medblocks_connect.attempts.stop_signals import StopRequestedError, stop_on_signals


class StoppableCommand(BaseCommand):
    """A command that stops within a second of a signal; another run may go on at once.

    The exit code is 128 and the signal's number, as a shell has it for a process that a signal
    ended.
    """

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run, until a signal asks to stop. Raises the error of a time limit, for who set it."""
        try:
            with stop_on_signals():
                return super().execute(*args, **options)
        except StopRequestedError as stop:
            name = type(self).__module__.rpartition(".")[2]
            by = signal.Signals(stop.number).name
            self.stderr.write(
                f"{name}: stopped by {by}. Nothing is held; the next run does the rest."
            )
            if isinstance(stop.cause, KeyboardInterrupt):  # no traceback: that line says it
                raise SystemExit(128 + stop.number) from None
            stop.raise_cause()
