"""URL safety: the checks before a browser is sent to a URL or shown one."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from medblocks_connect.api.validation import check_base_url

_URL_MAX_LENGTH: Final = 2048  # characters
_CONTACT_PREFIXES: Final = ("https://", "mailto:", "tel:", "/")


def is_safe_redirect(url: str) -> bool:
    """Return whether a browser may be sent to ``url``: https, or http to this machine."""
    if not 0 < len(url) <= _URL_MAX_LENGTH or not url.isascii() or not url.isprintable():
        return False
    if any(character in url for character in ' \\"<>'):
        return False
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.password is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


def is_safe_base_url(url: str) -> bool:
    """Return whether the key, or a patient, may be sent below ``url``: https, or this machine."""
    try:
        parts = urlsplit(check_base_url(url))
    except ValueError:
        return False
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def is_loopback(host: str) -> bool:
    """Return whether ``host`` is this very machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_public_https(url: str) -> bool:
    """Return whether ``url`` may be shown to a browser: https, and a named public host.

    An address or a name inside somebody's network is refused: a page must not make the patient's
    browser knock there.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        _port = parts.port
    except ValueError:
        return False
    if parts.scheme != "https" or not url.isascii() or not url.isprintable() or "@" in parts.netloc:
        return False
    if any(character in url for character in " \\\"'<>"):
        return False
    return not is_internal_host(host)


def is_internal_host(host: str) -> bool:
    """Return whether ``host`` is an address, or a name inside a machine or a network."""
    if "." not in host:
        return True
    try:
        ip_address(host)
    except ValueError:
        inner = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".localdomain")
        # A last label of digits is an address in disguise (WHATWG URL, "ends in a number").
        return host.endswith(inner) or host.rpartition(".")[2][:1].isdigit()
    return True


def is_contact_url(url: str) -> bool:
    """Return whether a page may show ``url`` as the way to help: https, mailto, tel, a path."""
    return url.startswith(_CONTACT_PREFIXES)
