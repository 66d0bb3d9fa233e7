"""``medblocks_webhooks``: our webhook endpoint at Medblocks, without Medblocks' dashboard."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import CommandError

from medblocks_connect.api import MedblocksError, NoAnswerError, WebhookEndpointWithSecret
from medblocks_connect.management.stoppable_command import StoppableCommand
from medblocks_connect.medblocks_client import get_command_client
from medblocks_connect.webhook_endpoint.endpoint_state import (
    find_own_endpoint,
    list_endpoints,
    read_kept_state,
)
from medblocks_connect.webhook_endpoint.registration import (
    AlreadyRegisteredError,
    RegistrationError,
    choose_webhook_url,
    delete_endpoint,
    enable_endpoint,
    find_endpoint,
    register_endpoint,
    rotate_secret,
)

_ACTIONS: Final = ("register", "list", "enable", "rotate", "delete")


class Command(StoppableCommand):
    """Register, list, enable, rotate the secret of, or delete the endpoint."""

    help = (
        "Registers this site's webhook endpoint at Medblocks, never twice; lists the workspace's "
        "endpoints; enables ours where Medblocks disabled it after nine failed deliveries; gives "
        "it another secret; deletes it. A secret is shown once, and kept nowhere."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take what to do, and with which endpoint."""
        parser.add_argument("action", choices=_ACTIONS)
        parser.add_argument(
            "--url",
            default="",
            help="the webhook view's address, or the site's scheme and host; SITE_URL without it",
        )
        parser.add_argument(
            "--id",
            default="",
            dest="endpoint_id",
            help="the endpoint to enable, rotate or delete (wh_…); this site's own without it",
        )

    def handle(self, *args: Any, action: str, **options: Any) -> None:
        """Do it, and say what came of it in plain lines."""
        try:
            getattr(self, f"_{action}")(options["url"], options["endpoint_id"])
        except RegistrationError as error:
            raise CommandError(str(error)) from None
        except NoAnswerError:
            raise CommandError(
                "No answer came, so that it may be done or not: see with medblocks_webhooks list. "
                "An endpoint whose secret nobody saw is given another with rotate."
            ) from None
        except MedblocksError as error:
            raise CommandError(f"Medblocks did not do it: {error}") from None

    def _register(self, url: str, _endpoint_id: str) -> None:
        try:
            endpoint = register_endpoint(get_command_client(), choose_webhook_url(url))
        except AlreadyRegisteredError as error:
            self.stdout.write(f"{error} Nothing was done.")
            self.stdout.write(
                "Where its secret is lost, medblocks_webhooks rotate gives it another."
            )
            return
        self.stdout.write(f"Registered {endpoint.id} for {endpoint.url}.")
        self._show_secret(endpoint)

    def _list(self, _url: str, _endpoint_id: str) -> None:
        endpoints = list_endpoints(get_command_client())
        own = find_own_endpoint(endpoints, read_kept_state().url)
        for endpoint in endpoints:
            mark = "  (this site)" if endpoint is own else ""
            self.stdout.write(f"{endpoint.id}  {endpoint.status}  {endpoint.url}{mark}")
        if own is None:
            self.stdout.write("None of this site's is registered, as far as SITE_URL tells.")

    def _enable(self, url: str, endpoint_id: str) -> None:
        client = get_command_client()
        endpoint = enable_endpoint(client, self._find(url, endpoint_id))
        self.stdout.write(
            f"{endpoint.id} is {endpoint.status}. The next medblocks_reconcile fetches what it "
            "missed."
        )

    def _rotate(self, url: str, endpoint_id: str) -> None:
        endpoint = rotate_secret(get_command_client(), self._find(url, endpoint_id))
        self.stdout.write(f"{endpoint.id} has another secret; the old one is dead already.")
        self._show_secret(endpoint)

    def _delete(self, url: str, endpoint_id: str) -> None:
        deleted = self._find(url, endpoint_id)
        delete_endpoint(get_command_client(), deleted)
        self.stdout.write(
            f"Deleted {deleted}. Take its secret out of MEDBLOCKS_CONNECT['WEBHOOK_SECRETS']."
        )

    def _find(self, url: str, endpoint_id: str) -> str:
        address = choose_webhook_url(url) if url else ""
        return find_endpoint(get_command_client(), endpoint_id, address).id

    def _show_secret(self, endpoint: WebhookEndpointWithSecret) -> None:
        self.stdout.write(f"Its secret, shown this once: {endpoint.secret.reveal()}")
        self.stdout.write(
            "Put it into MEDBLOCKS_CONNECT['WEBHOOK_SECRETS'], such as by the environment that "
            "the settings read it from, and restart the site."
        )
