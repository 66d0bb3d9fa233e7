"""``manage.py sandbox_send_webhooks``: send the events again that were not answered with 2xx."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from medblocks_connect.sandbox.models import SandboxEvent
from medblocks_connect.sandbox.webhook_sender import has_receiver, send_event


class Command(BaseCommand):
    """Send every event that is not delivered yet, oldest first."""

    help = "Send again the sandbox's webhooks that were not answered with 2xx."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Send and count."""
        if not has_receiver():
            raise CommandError(
                "Set WEBHOOK_URL (on this machine) and WEBHOOK_SECRET in MEDBLOCKS_SANDBOX first."
            )
        undelivered = SandboxEvent.objects.filter(delivered_at=None).order_by("pk")
        answers = [send_event(event) for event in undelivered]
        self.stdout.write(f"{sum(answers)} of {len(answers)} events delivered.")
