"""Validation of settings before any request: a base URL to build on, a text for a header.

What cannot be sent would fail at each call, with the key and the patient's id in hand.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import requests


def is_token(value: str) -> bool:
    """Return whether ``value`` is a non-empty text of visible ASCII characters.

    A line break or a space in a header's value could end it early.
    """
    return bool(value) and all("!" <= character <= "~" for character in value)


def check_base_url(base_url: str) -> str:
    """Return ``base_url`` without a slash at its end; raises ``ValueError`` if it is none."""
    if not _is_base_url(base_url):
        raise ValueError("base_url must be like https://app.medblocks.com.")
    return base_url.rstrip("/")


def _is_base_url(base_url: str) -> bool:
    try:
        parts = urlsplit(base_url)
        host, _port = parts.hostname, parts.port
        # The last word is with what builds each request: it refuses more hosts than Python does.
        requests.Request("GET", base_url).prepare()
    except (ValueError, requests.RequestException):
        return False
    # requests would turn user:password@ into an Authorization header of its own.
    extras = "@" in parts.netloc or "?" in base_url or "#" in base_url or "\\" in base_url
    return parts.scheme in ("http", "https") and bool(host) and is_token(base_url) and not extras
