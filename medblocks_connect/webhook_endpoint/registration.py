"""Registering our endpoint at Medblocks, and what else can be done with it; never twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from medblocks_connect.api import MedblocksClient, WebhookEndpoint, WebhookEndpointWithSecret
from medblocks_connect.attempts.operation_runs import Name, claim_run, make_due
from medblocks_connect.url_safety import is_safe_base_url
from medblocks_connect.webhook_endpoint.endpoint_state import (
    ACTIVE,
    build_webhook_url,
    find_own_endpoint,
    list_endpoints,
    normalize_url,
    note_endpoint,
    read_kept_state,
    read_path,
)

_REGISTER_INTERVAL: Final = timedelta(minutes=1)


class RegistrationError(Exception):
    """Nothing was done; the text says why, and what to do."""


class AlreadyRegisteredError(RegistrationError):
    """The address is registered already, as ``endpoint``."""

    def __init__(self, endpoint: WebhookEndpoint) -> None:
        super().__init__(f"It is registered already, as {endpoint.id} ({endpoint.status}).")
        self.endpoint = endpoint


def choose_webhook_url(named: str = "") -> str:
    """Return the endpoint's address: ``named``, with our view's path where it has none.

    Without it, it is at ``SITE_URL``. Raises ``RegistrationError`` for an address that Medblocks
    could not send to: https, or http on ``localhost`` for the sandbox.
    """
    url = named if read_path(named) else build_webhook_url(named)
    if not url:
        raise RegistrationError(
            "Nothing says where this site is: set MEDBLOCKS_CONNECT['SITE_URL'], such as "
            "https://clinic.example, or give --url with the webhook view's whole address."
        )
    if not is_safe_base_url(url):
        raise RegistrationError(
            "The address must be https and without a query; http is for localhost alone."
        )
    return url


def register_endpoint(client: MedblocksClient, url: str) -> WebhookEndpointWithSecret:
    """Register ``url`` for every type of event, and return it with its secret.

    Raises ``AlreadyRegisteredError``, ``RegistrationError`` where another process is at it or the
    address is none that Medblocks takes, and ``MedblocksError``.
    """
    if not claim_run(Name.REGISTER_ENDPOINT, _REGISTER_INTERVAL):
        raise RegistrationError("Another process registers it just now: look again in a minute.")
    try:
        same = [each for each in list_endpoints(client) if _is_at(each, url)]
        if same:
            raise AlreadyRegisteredError(same[0])
        endpoint = client.webhook_endpoints.create(url=url)
    except ValueError as error:
        raise RegistrationError(str(error)) from None
    finally:
        make_due(Name.REGISTER_ENDPOINT)
    note_endpoint(endpoint, read_kept_state())
    return endpoint


def find_endpoint(client: MedblocksClient, named: str = "", url: str = "") -> WebhookEndpoint:
    """Return the endpoint whose id is ``named``, else the one at ``url``, else ours.

    Raises ``RegistrationError`` where there is none, and ``MedblocksError``.
    """
    endpoints = list_endpoints(client)
    if named or url:
        same = [each for each in endpoints if each.id == named or (url and _is_at(each, url))]
        own = same[0] if same else None
    else:
        own = find_own_endpoint(endpoints, read_kept_state().url)
    if own is None:
        raise RegistrationError("No such endpoint is registered: the list shows which there are.")
    return own


def enable_endpoint(client: MedblocksClient, endpoint_id: str) -> WebhookEndpoint:
    """Let Medblocks send to the endpoint again; the next run fetches what it missed.

    Raises ``MedblocksError``.
    """
    endpoint = client.webhook_endpoints.update(endpoint_id, status=ACTIVE)
    _note_if_own(endpoint)
    make_due(Name.FETCH_MISSED_EVENTS)
    return endpoint


def rotate_secret(client: MedblocksClient, endpoint_id: str) -> WebhookEndpointWithSecret:
    """Give the endpoint another secret, and return it; the old one is dead at once.

    Raises ``MedblocksError``.
    """
    return client.webhook_endpoints.rotate_secret(endpoint_id)


def delete_endpoint(client: MedblocksClient, endpoint_id: str) -> None:
    """Delete the endpoint; the next run looks whether this site still listens.

    Raises ``MedblocksError``.
    """
    client.webhook_endpoints.delete(endpoint_id)
    make_due(Name.LOOK_AT_ENDPOINT)


def _note_if_own(endpoint: WebhookEndpoint) -> None:
    before = read_kept_state()
    if endpoint.id == before.endpoint_id:
        note_endpoint(endpoint, before)
    else:
        make_due(Name.LOOK_AT_ENDPOINT)


def _is_at(endpoint: WebhookEndpoint, url: str) -> bool:
    return normalize_url(endpoint.url) == normalize_url(url)
