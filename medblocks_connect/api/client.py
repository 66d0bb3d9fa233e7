"""The client of Medblocks' API: one key, and the calls by what they are about.

Every call sends nothing beyond what Medblocks' API version 2026-04-25 names, takes ``timeout``, the
seconds for the whole call, and raises ``MedblocksError``; a mistake of the programmer is a
``ValueError`` before anything is sent.
"""

from __future__ import annotations

import math
import os

from medblocks_connect.api.errors import without_frames
from medblocks_connect.api.facility_calls import Connections
from medblocks_connect.api.gate import Gate
from medblocks_connect.api.kept_connections import Route
from medblocks_connect.api.patient_calls import Patients
from medblocks_connect.api.redaction import Secret
from medblocks_connect.api.resources import Health
from medblocks_connect.api.retries import RetryPolicy
from medblocks_connect.api.session_calls import PatientSessions
from medblocks_connect.api.transport import Call, Transport, check_timeout
from medblocks_connect.api.validation import (
    check_base_url,
    check_ca_bundle,
    check_proxy,
    is_token,
)
from medblocks_connect.api.webhook_calls import Events, WebhookEndpoints


class MedblocksClient:
    """Medblocks' API with one key.

    ``timeout`` is the seconds for a whole call, retries included; ``connect_timeout`` those to
    reach Medblocks once; ``max_retries`` how often a call is tried again where that is safe, and
    ``max_retry_wait`` the longest wait before that: where Medblocks asks for a longer one, the call
    fails. With a ``gate``, calls fail with ``MedblocksBusyError`` where it lets none through.
    ``proxy`` is the ``http://`` URL of a proxy that all calls go through, with its user and
    password where it asks for them; ``ca_bundle`` the path of a PEM file with the certificates that
    are trusted in place of the public ones. What the environment says of either is ignored.
    Share one client freely between threads. Raises ``ValueError`` for a setting that cannot work.
    """

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str = "https://app.medblocks.com",
        api_version: str = "2026-04-25",
        timeout: float = 10.0,
        connect_timeout: float = 3.0,
        max_retries: int = 2,
        max_retry_wait: float = math.inf,
        gate: Gate | None = None,
        proxy: str = "",
        ca_bundle: str | os.PathLike[str] = "",
    ) -> None:
        if not is_token(api_key):
            raise ValueError("api_key must be a non-empty text of visible ASCII characters.")
        if api_version and not is_token(api_version):
            raise ValueError("api_version must be visible ASCII characters.")
        if max_retries < 0:
            raise ValueError("max_retries must not be negative.")
        self._base_url = check_base_url(base_url)
        self._api_key = Secret(api_key)
        self._transport = Transport(
            self._api_key,
            self._base_url,
            api_version,
            timeout=check_timeout(timeout),
            connect_timeout=check_timeout(connect_timeout),
            retries=RetryPolicy(max_retries, max_retry_wait),
            gate=gate,
            route=_check_route(proxy, ca_bundle),
        )
        self.gate = gate
        self.connections = Connections(self._transport)
        self.patient_sessions = PatientSessions(self._transport)
        self.patients = Patients(self._transport)
        self.webhook_endpoints = WebhookEndpoints(self._transport)
        self.events = Events(self._transport)

    def __repr__(self) -> str:
        return f"MedblocksClient(api_key={self._api_key!r}, base_url={self._base_url!r})"

    @without_frames
    def health(self, *, timeout: float | None = None) -> Health:
        """Return whether Medblocks is up. Sends no key."""
        call = Call("GET", "/health", authenticated=False, timeout=timeout)
        return self._transport.call(call, Health.from_json)


def _check_route(proxy: str, ca_bundle: str | os.PathLike[str]) -> Route:
    return Route(Secret(check_proxy(Secret(proxy).reveal())), check_ca_bundle(ca_bundle))
