"""``medblocks_sync_facilities``: copies Medblocks' catalog, for the local search; cron runs it."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import CommandError

from medblocks_connect.api import MedblocksError
from medblocks_connect.facilities.catalog import find_catalog
from medblocks_connect.facilities.sync import (
    LONGEST_PAUSE,
    SyncError,
    SyncRunningError,
)
from medblocks_connect.management.max_seconds import add_max_seconds, read_seconds
from medblocks_connect.management.stoppable_command import StoppableCommand
from medblocks_connect.operations import sync_facilities

_BAR_WIDTH: Final = 30


class Command(StoppableCommand):
    """Bring Medblocks' whole catalog of facilities here."""

    help = (
        "Brings Medblocks' whole catalog of facilities here, all of it or nothing; patients then "
        "search without asking Medblocks, and misspelt names are found. Run it from cron once a "
        "day. A run that was cut short is gone on with by the next one."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take how polite and how careful to be."""
        parser.add_argument(
            "--pause",
            type=float,
            default=0.2,
            help="seconds between two calls to Medblocks, each for 100 facilities (default: 0.2)",
        )
        parser.add_argument(
            "--restart",
            action="store_true",
            help="begin anew instead of going on where one stopped",
        )
        parser.add_argument(
            "--accept-shrink",
            action="store_true",
            help="take the catalog although it lost more than half of its facilities",
        )
        add_max_seconds(parser)

    def handle(
        self,
        *args: Any,
        pause: float,
        restart: bool,
        accept_shrink: bool,
        verbosity: int,
        **options: Any,
    ) -> None:
        """Sync, show progress on a terminal, and end with one line for cron's mail."""
        if not 0 <= pause <= LONGEST_PAUSE:
            raise CommandError(f"--pause takes seconds, 0 to {LONGEST_PAUSE:.0f}.")
        former = find_catalog()
        self._expected = former.fetched if former else 0
        self._shows_progress = verbosity > 0 and self.stderr.isatty()
        try:
            sync = sync_facilities(
                restart=restart,
                accept_shrink=accept_shrink,
                pause=pause,
                max_seconds=read_seconds(options["max_seconds"]),
                on_progress=self._report,
            )
        except SyncRunningError as met:  # no error: the catalog is on its way here
            if verbosity > 0:
                self.stdout.write(f"Nothing done: {met} Its catalog is the one that counts.")
            return
        except (SyncError, MedblocksError) as error:
            raise CommandError(f"The catalog was not synced: {error}") from None
        finally:
            if self._shows_progress:
                self.stderr.write("")
        if verbosity > 0 and sync.finished_at is None:
            self.stdout.write(f"{sync.fetched} facilities fetched; the next run goes on there.")
        elif verbosity > 0:
            self.stdout.write(
                f"{sync.fetched} facilities: {sync.added} new, {sync.changed} changed, "
                f"{sync.withdrawn} withdrawn."
            )

    def _report(self, fetched: int) -> None:
        if not self._shows_progress:
            return
        # Medblocks does not say how many there are: the last catalog's number is a good guess.
        if self._expected:
            share = min(fetched / self._expected, 1.0)
            bar = ("#" * round(share * _BAR_WIDTH)).ljust(_BAR_WIDTH, ".")
            line = f"[{bar}] {fetched} of about {self._expected}"
        else:
            line = f"{fetched} facilities"
        self.stderr.write(f"\r{line}", ending="")
        self.stderr.flush()
