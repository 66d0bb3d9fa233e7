"""The sandbox's settings: the dict ``MEDBLOCKS_SANDBOX``, live, each key optional."""

import ipaddress
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings

SWITCHES = ("FAILED_CONNECTIONS_HAVE_IDS", "DISABLED_ENDPOINTS_RECORD_EVENTS")
KEYS = ("API_KEYS", "WEBHOOK_URL", "WEBHOOK_SECRET", *SWITCHES)


def raw_settings() -> Any:
    """Return ``MEDBLOCKS_SANDBOX`` as the site wrote it, an empty dict where it did not."""
    return getattr(settings, "MEDBLOCKS_SANDBOX", {})


def _value(key: str) -> Any:
    configured = raw_settings()
    return configured.get(key) if isinstance(configured, dict) else None


def api_keys() -> list[str]:
    """Return the API keys that are let in; an empty list lets in every key of the right shape."""
    return list(_value("API_KEYS") or [])


def webhook_url() -> str:
    """Return where webhooks are sent, ``""`` for nowhere."""
    return str(_value("WEBHOOK_URL") or "")


def webhook_secret() -> str:
    """Return the secret (``whsec_…``) that webhooks are signed with."""
    return str(_value("WEBHOOK_SECRET") or "")


def failed_connections_have_ids() -> bool:
    """Return whether a failed connection has a ``conn_…`` id, as one of two documents says."""
    return bool(_value("FAILED_CONNECTIONS_HAVE_IDS"))


def disabled_endpoints_record_events() -> bool:
    """Return whether events are kept for an endpoint while it is disabled; no document says."""
    configured = _value("DISABLED_ENDPOINTS_RECORD_EVENTS")
    return True if configured is None else bool(configured)


def is_loopback_url(url: str) -> bool:
    """Return whether ``url`` is http(s) to this very machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        is_loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
    return is_loopback and parts.scheme in {"http", "https"}
