"""``manage.py sandbox_send_webhooks``: send the events again that were not answered with 2xx."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from medblocks_connect.sandbox.webhook_registry import find_webhook_endpoints
from medblocks_connect.sandbox.webhook_sender import send_waiting


class Command(BaseCommand):
    """Send every event that waits for its next attempt, oldest first."""

    help = (
        "Send the sandbox's webhooks again that were not answered with 2xx, as if their wait were "
        "over. After nine attempts an event is given up, and its endpoint disabled."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add ``--due``."""
        parser.add_argument(
            "--due", action="store_true", help="only those whose wait is really over"
        )

    def handle(self, *_args: Any, due: bool, **_options: Any) -> None:
        """Send and count."""
        if not find_webhook_endpoints().exists():
            raise CommandError(
                "Set WEBHOOK_URL (on this machine) and WEBHOOK_SECRET in MEDBLOCKS_SANDBOX first, "
                "or register a webhook endpoint."
            )
        answers = send_waiting(due_at=timezone.now() if due else None)
        self.stdout.write(f"{sum(answers)} of {len(answers)} events delivered.")
