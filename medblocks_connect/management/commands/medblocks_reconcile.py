"""``medblocks_reconcile``: settles attempts, and learns what no webhook told; cron runs it."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from typing import Any, Final

from django.core.management.base import CommandError

from medblocks_connect.api.clock import TimeLimit
from medblocks_connect.attempts.reconcile import Reconciliation, count_unsettled
from medblocks_connect.management.max_seconds import add_max_seconds, read_seconds
from medblocks_connect.management.stoppable_command import StoppableCommand
from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.operations import (
    MissedEvents,
    Polling,
    RepeatedErasures,
    fetch_missed_events,
    poll_connections,
    reconcile,
    repeat_erasures,
)
from medblocks_connect.webhook_endpoint.endpoint_state import MISSING, UNKNOWN
from medblocks_connect.webhook_endpoint.missed_events import FetchedEvents

_STOPPED: Final = {
    "rate_limited": "Medblocks asked us to slow down; the rest waits for the next run",
    "refused": "Medblocks refused the API key; the rest waits until that is mended",
    "time": "The time is over; the rest waits for the next run",
    "away": "Medblocks did not answer; the rest waits for the next run",
}
_FORBIDDEN: Final = (
    "The API key may not read webhook endpoints or their events (insufficient_scope), so that "
    "nobody would notice if Medblocks stopped sending webhooks"
)
_UNKNOWN: Final = (
    "Which webhook endpoint is this site's is not known, so that nobody would notice if Medblocks "
    "stopped sending: set SITE_URL"
)


class Command(StoppableCommand):
    """Settle what has no confirmed outcome, fetch missed events, ask about connections."""

    help = (
        "Asks Medblocks about every attempt without a confirmed outcome and settles it; expires "
        "what has lapsed; processes webhook deliveries that failed or came too early; sends "
        "signals that are still owed; goes on with erasures of patients that were cut short, and "
        "erases again what a backup brought back. Then, once an hour, it looks whether Medblocks "
        "still sends webhooks, and fetches those that it could not deliver; and it asks about "
        "patients with standing connections, each once a week, or once a day without webhooks. Run "
        "it from cron every few minutes, on as many machines as you like. Exit code 1: something "
        "has to be done again, as Medblocks could not be asked, an answer could not be recorded, "
        "or a delivery, a signal or an erasure failed again; or Medblocks has stopped sending "
        "webhooks. The one line that it prints says which."
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

        time_limit = TimeLimit(read_seconds(options["max_seconds"]))
        # First: nobody is to be asked about an attempt of a patient who was erased.
        erasures = repeat_erasures(max_seconds=time_limit.seconds_left())
        done = reconcile(limit=limit, max_seconds=time_limit.seconds_left(), on_progress=show)
        if shows_progress and done.asked:
            self.stderr.write("")
        # Whatever kept it from going on would keep what follows, too.
        missed, polled = None, None
        if not done.stopped:
            missed = fetch_missed_events(max_seconds=time_limit.seconds_left())
        if missed is not None and not missed.stopped:
            polled = poll_connections(max_seconds=time_limit.seconds_left())
        line = _format_summary(done, erasures, missed, polled)
        if erasures.failed or not all(
            each is None or each.is_finished for each in (done, missed, polled)
        ):
            raise CommandError(line, returncode=1)
        if verbosity > 0:
            self.stdout.write(line)


def _format_summary(
    done: Reconciliation,
    erasures: RepeatedErasures,
    missed: MissedEvents | None,
    polled: Polling | None,
) -> str:
    parts = [
        *_list_settled(done),
        *_list_erasures(erasures),
        *_list_missed(missed),
        *_list_polled(polled),
    ]
    line = f"medblocks_reconcile: {done.asked} asked"
    line = f"{line} ({', '.join(parts)})" if parts else line
    stops = {each.stopped for each in (done, missed, polled) if each and each.stopped}
    sentences = [line, *map(_STOPPED.__getitem__, sorted(stops)), *_list_warnings(missed)]
    return " ".join(f"{sentence}." for sentence in sentences)


def _list_counts(counted: Mapping[str, int]) -> list[str]:
    """Return what was counted, less what there was none of."""
    return [f"{number} {what}" for what, number in counted.items() if number]


def _list_settled(done: Reconciliation) -> list[str]:
    labels = dict(PatientConnectionAttempt.Status.choices)
    statuses = {str(labels[status]): count for status, count in sorted(done.statuses.items())}
    return _list_counts(
        {
            **statuses,
            "sessions found again": done.adopted,
            "webhook deliveries processed": done.deliveries,
            "webhook deliveries failed again": done.failed_deliveries,
            "signals sent": done.signals,
            "signals failed again": done.failed_signals,
            "without a usable answer": done.unanswered,
            "not settled because of an error here, see the log": done.broken,
        }
    )


def _list_erasures(erasures: RepeatedErasures) -> list[str]:
    return _list_counts(
        {
            "erasures finished": erasures.finished,
            "erasures not finished": erasures.failed,
            "rows of erased patients deleted again": erasures.rows,
        }
    )


def _list_missed(missed: MissedEvents | None) -> list[str]:
    if missed is None:
        return []
    unanswered = ["the webhook endpoint without a usable answer"] if missed.is_unanswered else []
    events = missed.events or FetchedEvents()
    return unanswered + _list_counts(
        {
            "missed events fetched": events.fetched,
            "of them failed": events.failed,
            "missed events too old to fetch": events.too_old,
            "missed events not readable": events.unreadable,
        }
    )


def _list_polled(polled: Polling | None) -> list[str]:
    polled = polled or Polling()
    return _list_counts(
        {
            "patients asked about their connections": polled.asked,
            "of them lost access": polled.lost,
            "of them without a usable answer": polled.unanswered,
            "of them not recorded because of an error here, see the log": polled.broken,
        }
    )


def _list_warnings(missed: MissedEvents | None) -> list[str]:
    if missed is None:
        return []
    warnings = []
    if missed.endpoint.is_stopped:
        since = missed.endpoint.stopped_since
        action = "register" if missed.endpoint.status == MISSING else "enable"
        warnings.append(
            f"Medblocks has stopped telling us since {since:%Y-%m-%d %H:%M} UTC: the webhook "
            f"endpoint is {missed.endpoint.status}; run medblocks_webhooks {action}"
        )
    if missed.is_newly_forbidden:
        warnings.append(_FORBIDDEN)
    if missed.endpoint.status == UNKNOWN:
        warnings.append(_UNKNOWN)
    return warnings
