"""Which URLs and hosts of somebody else's are public: the others are nobody's to name."""

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
    return not is_inner_host(host)


def is_inner_host(host: str) -> bool:
    """Whether ``host`` is an address, or a name that only a machine or a network of its own has."""
    if "." not in host:
        return True
    try:
        ip_address(host)
    except ValueError:
        inner = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".localdomain")
        # A last label of digits is an address in disguise (WHATWG URL, "ends in a number").
        return host.endswith(inner) or host.rpartition(".")[2][:1].isdigit()
    return True
