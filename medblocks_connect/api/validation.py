"""Validation of settings before any request: URLs to build on, a text for a header, a CA file.

What cannot be sent would fail at each call, with the key and the patient's id in hand.
"""

from __future__ import annotations

import os
import ssl
from typing import Final
from urllib.parse import SplitResult, urlsplit

import requests
from requests.adapters import HTTPAdapter

MAX_LABEL_LENGTH: Final = 60
"""Characters of the label of the hosted page's button (the contract, PatientSessionInitInput)."""


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


def check_proxy(proxy: str) -> str:
    """Return ``proxy``; raises ``ValueError``, which does not quote it, if it is no proxy's URL.

    Plain ``http://`` alone: to Medblocks it is TLS inside of the proxy's tunnel from end to end.
    """
    if proxy and not _is_proxy(proxy):
        raise ValueError("proxy must be like http://proxy.example:3128.")
    return proxy


def _is_proxy(proxy: str) -> bool:
    parts = _split_url(proxy)
    if parts is None or parts.scheme != "http" or parts.path.strip("/"):
        return False
    try:
        HTTPAdapter().proxy_headers(proxy)  # with the user and password, where they are
    except (ValueError, requests.RequestException):
        return False
    return True


def check_ca_bundle(path: str | os.PathLike[str]) -> str:
    """Return ``path`` as text; raises ``ValueError`` unless it is a file of PEM certificates."""
    text = os.fspath(path)
    if text:
        try:
            ssl.create_default_context(cafile=text)
        except (OSError, ValueError):
            raise ValueError("ca_bundle must be a file of certificates in PEM form.") from None
    return text


def _is_base_url(base_url: str) -> bool:
    parts = _split_url(base_url)
    # requests would turn user:password@ into an Authorization header of its own.
    return parts is not None and parts.scheme in ("http", "https") and "@" not in parts.netloc


def _split_url(url: str) -> SplitResult | None:
    """Return the parts of a URL that can be sent to and built on, without a query; else None."""
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
        # The last word is with what builds each request: it refuses more hosts than Python does.
        requests.Request("GET", url).prepare()
    except (ValueError, requests.RequestException):
        return None
    extras = "?" in url or "#" in url or "\\" in url
    return parts if host and is_token(url) and not extras else None
