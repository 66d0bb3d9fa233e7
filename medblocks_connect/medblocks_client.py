"""The client that the app talks to Medblocks with: one per distinct settings."""

from __future__ import annotations

from functools import lru_cache

from django.core.exceptions import ImproperlyConfigured

from medblocks_connect.api import MedblocksClient
from medblocks_connect.conf import conf
from medblocks_connect.url_safety import is_safe_base_url

_CLIENTS_MAX = 32  # one per workspace; each keeps a connection or a few, and the idlest is dropped


def get_client() -> MedblocksClient:
    """Return the client for the settings in force now; connections are kept between calls.

    Raises ``ImproperlyConfigured`` where they cannot work (the system checks say so earlier).
    """
    try:
        return _client(
            conf.api_key, conf.base_url, conf.api_version, conf.timeout, conf.max_retries
        )
    except ValueError as error:
        raise ImproperlyConfigured(f"MEDBLOCKS_CONNECT: {error}") from None


@lru_cache(maxsize=_CLIENTS_MAX)
def _client(
    api_key: str, base_url: str, api_version: str, timeout: float, max_retries: int
) -> MedblocksClient:
    if not is_safe_base_url(base_url):  # of a callable: no check has seen it
        raise ValueError("BASE_URL must be an https URL without query.")
    return MedblocksClient(
        api_key,
        base_url=base_url,
        api_version=api_version,
        timeout=timeout,
        max_retries=max_retries,
    )
