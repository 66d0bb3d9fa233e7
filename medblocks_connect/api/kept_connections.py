"""Kept connections: each thread's own, in each process, by the route that the caller names.

What ``requests``' session does of its own accord (``.netrc``, proxies and certificates from the
environment, cookies, redirects) is what a call with a Bearer key must not do: it is all off.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from typing import Final

import requests

from medblocks_connect.api import clock
from medblocks_connect.api.deadline import Exchange, MeteredAdapter
from medblocks_connect.api.redaction import Secret

IDLE_SECONDS: Final = 30.0
"""A gateway forgets a connection that idles, some after a minute, and resets it at the next byte:
a call that may not be repeated is then lost, so it gets a fresh one where the kept one is older."""


@dataclass(frozen=True)
class Route:
    """The way to Medblocks, as the caller names it: never as the environment does.

    ``proxy`` is an ``http://`` URL, ``""`` for none; ``ca_bundle`` is the path of a PEM file with
    the certificates to trust, ``""`` for the public ones (certifi's).
    """

    proxy: Secret  # its user's password may be in it
    ca_bundle: str

    @property
    def proxies(self) -> dict[str, str]:
        """Return the proxy as ``requests`` takes it."""
        return dict.fromkeys(("http", "https"), self.proxy.reveal()) if self.proxy else {}


class KeptConnections:
    """The connections to one Medblocks. Safe to share between threads and after a fork.

    ``route`` says by which proxy they go, and whose certificates they trust.
    """

    def __init__(self, connect_timeout: float, route: Route) -> None:
        self._connect_timeout = connect_timeout
        self._route = route
        self._local = threading.local()

    def send(
        self, request: requests.PreparedRequest, exchange: Exchange, *, is_repeatable: bool
    ) -> requests.Response:
        """Return the answer to ``request``, its body unread; raises what the network raises.

        ``is_repeatable`` says whether the caller sends it again where no answer comes.
        """
        seconds = exchange.seconds_left()
        return self._get_session(is_repeatable=is_repeatable).send(
            request,
            stream=True,
            timeout=(min(self._connect_timeout, seconds), seconds),
            verify=self._route.ca_bundle or True,
            cert=None,
            proxies=self._route.proxies,
            allow_redirects=False,
        )

    def _get_session(self, *, is_repeatable: bool) -> _Session:
        # Two threads, or a parent and its child, on one connection would read each other's
        # answers.
        owner, now = os.getpid(), clock.monotonic()
        session: _Session | None = getattr(self._local, "session", None)
        if session is None or self._local.owner != owner:
            session = _Session()
        elif not is_repeatable and now - self._local.used_at > IDLE_SECONDS:
            session.close()  # which closes its connections; it opens new ones
        self._local.session, self._local.owner, self._local.used_at = session, owner, now
        return session


class _Session(requests.Session):
    """A session that keeps connections, and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=()))
        self.mount("https://", MeteredAdapter())
        self.mount("http://", MeteredAdapter())

    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002
        """Return None: of a redirect, ``send`` would read the whole body, however large."""
        return
