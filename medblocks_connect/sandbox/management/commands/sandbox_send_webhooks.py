"""``manage.py sandbox_send_webhooks``: sends again what no receiver has answered with 2xx."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from medblocks_connect.sandbox.models import SandboxEvent
from medblocks_connect.sandbox.webhook_sender import can_send, send_event


class Command(BaseCommand):
    """Send every event that is not delivered yet, oldest first."""

    help = "Send again the sandbox's webhooks that were not answered with 2xx."

    def handle(self, *_args: Any, **_options: Any) -> None:
        """Send and count."""
        if not can_send():
            raise CommandError(
                "Set WEBHOOK_URL (on this machine) and WEBHOOK_SECRET in MEDBLOCKS_SANDBOX first."
            )
        waiting = SandboxEvent.objects.filter(delivered_at=None).order_by("pk")
        answers = [send_event(event) for event in waiting]
        self.stdout.write(f"{sum(answers)} of {len(answers)} events delivered.")
