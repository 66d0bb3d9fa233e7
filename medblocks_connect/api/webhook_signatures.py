"""Webhook signatures: a webhook is Medblocks' own if a secret that we share signed its very bytes.

The header is ``Medblocks-Signature: t=<unix seconds>,v1=<hex HMAC-SHA256 of "{t}.{body}">``, with
a tolerance of five minutes (Medblocks' webhook documentation).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable

TOLERANCE_SECONDS = 300
_MAX_SIGNATURES = 100
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class InvalidSignatureError(Exception):
    """The webhook is not to be believed. ``reason`` is a fixed word and holds nothing of it.

    One of ``missing``, ``malformed``, ``too_many_signatures``, ``outside_tolerance``,
    ``no_secret``, ``mismatch``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def sign(body: bytes, secret: str, timestamp: int) -> str:
    """Return the header's value for ``body``, signed at ``timestamp`` (Unix seconds)."""
    return f"t={timestamp},v1={_hex_digest(body, secret, str(timestamp))}"


def verify(
    body: bytes,
    header: str,
    secrets: Iterable[str],
    *,
    now: float,
    tolerance: int = TOLERANCE_SECONDS,
) -> None:
    """Return if one of ``secrets`` signed ``body`` at most ``tolerance`` seconds before or after.

    ``now`` is in Unix seconds. Several secrets are for the days of a rotation; an empty one never
    verifies anything. Raises ``InvalidSignatureError``.
    """
    if isinstance(secrets, str):
        # Its characters would each be taken for a secret.
        raise TypeError("secrets must be a list of secrets, not one.")
    timestamp, signatures = _parse_header(header)
    # In whole seconds, as the timestamp is.
    if abs(int(now) - int(timestamp)) > tolerance:
        raise InvalidSignatureError("outside_tolerance")
    usable = [secret for secret in secrets if secret.strip()]
    if not usable:
        raise InvalidSignatureError("no_secret")
    matched = False
    for secret in usable:
        expected = _hex_digest(body, secret, timestamp).encode("ascii")
        for signature in signatures:
            # No early end: the time taken must not tell which secret or part matched.
            matched |= hmac.compare_digest(expected, signature.encode("ascii"))
    if not matched:
        raise InvalidSignatureError("mismatch")


def _parse_header(header: str) -> tuple[str, list[str]]:
    if not header:
        raise InvalidSignatureError("missing")
    if not header.isascii():
        raise InvalidSignatureError("malformed")
    parts = [part.strip().partition("=") for part in header.split(",")]
    timestamps = [value for name, _, value in parts if name == "t"]
    signatures = [value for name, _, value in parts if name == "v1"]
    if len(signatures) > _MAX_SIGNATURES:
        raise InvalidSignatureError("too_many_signatures")
    if len(timestamps) != 1 or not _TIMESTAMP.fullmatch(timestamps[0]) or not signatures:
        raise InvalidSignatureError("malformed")
    return timestamps[0], signatures


def _hex_digest(body: bytes, secret: str, timestamp: str) -> str:
    signed = timestamp.encode("ascii") + b"." + body
    return hmac.new(secret.encode("utf-8"), signed, hashlib.sha256).hexdigest()
