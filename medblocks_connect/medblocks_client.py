"""The clients that the app talks to Medblocks with: one for patients' requests, one for commands.

A patient's request goes through a gate and repeats a call once: it holds a thread that others need.
A command has all the time that Medblocks asks for.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from medblocks_connect.api import Gate, GateState, MedblocksClient, WaitingRoom
from medblocks_connect.api.redaction import Secret
from medblocks_connect.conf import conf
from medblocks_connect.url_safety import is_loopback, is_safe_base_url

_CLIENTS_MAX = 32  # one per workspace; each keeps a connection or a few, and the idlest is dropped
_MOST_RETRIES: Final = 1  # of a patient's request
_LONGEST_RETRY_WAIT: Final = 0.3  # seconds, of a patient's request


def get_client() -> MedblocksClient:
    """Return the client of patients' requests, and of all that is answered to a browser.

    It is of the settings in force now; connections are kept between calls. Raises
    ``ImproperlyConfigured`` where they cannot work (the system checks say so earlier).
    """
    return _get_client(is_command=False)


def get_command_client() -> MedblocksClient:
    """Return the client of commands, that no patient waits for. Raises as :func:`get_client`."""
    return _get_client(is_command=True)


def find_gate_state() -> GateState | None:
    """Return how the gate of patients' calls stands in this process; None without a client."""
    try:
        gate = get_client().gate
    except ImproperlyConfigured:
        return None
    return gate.state if gate else None


def forget_clients() -> None:
    """Begin anew, with open gates: for tests, each of which has a Medblocks of its own."""
    for cached in (_make_client, _make_command_client, _make_waiting_room):
        cached.cache_clear()


def _get_client(*, is_command: bool) -> MedblocksClient:
    try:
        if is_command:
            return _make_command_client(_read_settings(), conf.max_retries)
        return _make_client(
            _read_settings(), min(conf.max_retries, _MOST_RETRIES), conf.max_waiting
        )
    except ValueError as error:
        raise ImproperlyConfigured(f"MEDBLOCKS_CONNECT: {error}") from None


@dataclass(frozen=True)
class _ClientSettings:
    """What both clients have in common; its ``repr`` masks the key and the proxy's password."""

    api_key: Secret
    base_url: str
    api_version: str
    timeout: float
    proxy: Secret
    ca_bundle: str


def _read_settings() -> _ClientSettings:
    names = (setting.name for setting in fields(_ClientSettings))
    settings = _ClientSettings(**{name: getattr(conf, name) for name in names})
    if not is_safe_base_url(settings.base_url):  # of a callable: no check has seen it
        raise ValueError("BASE_URL must be an https URL without query.")
    if is_loopback(urlsplit(settings.base_url).hostname or ""):
        # No proxy reaches this machine's sandbox, and to it http would show the key.
        return replace(settings, proxy=Secret(""))
    return settings


@lru_cache(maxsize=_CLIENTS_MAX)
def _make_client(settings: _ClientSettings, max_retries: int, max_waiting: int) -> MedblocksClient:
    # The threads that wait are the process's, and all tenants' Medblocks is one: they share its
    # seats. A gate is a key's own: a tenant whose key is limited closes no other tenant's.
    return MedblocksClient(
        **vars(settings),
        max_retries=max_retries,
        max_retry_wait=_LONGEST_RETRY_WAIT,
        gate=Gate(_make_waiting_room(settings.base_url, max_waiting)),
    )


@lru_cache(maxsize=_CLIENTS_MAX)
def _make_waiting_room(base_url: str, max_waiting: int) -> WaitingRoom:  # noqa: ARG001 - its key
    return WaitingRoom(max_waiting)


@lru_cache(maxsize=_CLIENTS_MAX)
def _make_command_client(settings: _ClientSettings, max_retries: int) -> MedblocksClient:
    return MedblocksClient(**vars(settings), max_retries=max_retries)
