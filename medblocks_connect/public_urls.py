"""Which URL of somebody else's may be given to a patient's browser."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_public_https(url: str) -> bool:
    """Whether ``url`` may be given to a browser: https, a named public host, nothing odd.

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
    if any(each in url for each in " \\\"'<>"):
        return False
    return "." in host and not _is_inner(host)


def _is_inner(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        inner = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".localdomain")
        # A last label of digits is an address in disguise (WHATWG URL, "ends in a number").
        return host.endswith(inner) or host.rpartition(".")[2][:1].isdigit()
    return True
