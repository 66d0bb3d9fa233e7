"""Redaction: no text that is kept or shown names the patient or holds a key or a session's URL."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from functools import cached_property
from urllib.parse import quote

from medblocks_connect.api.text import clean_text

REDACTED = "[redacted]"
MAX_MESSAGE_LENGTH = 500
# Room to redact before cutting, so that half a secret cannot survive at the cut.
_MAX_UNREDACTED_LENGTH = 4000
_KEY_PREFIXES = ("mb_sk_live_", "mb_sk_sbx_")
_SECRET = re.compile(r"(?:mb_sk_|whsec_)[A-Za-z0-9_\-]*", re.IGNORECASE)
# A session's url ends so (medblocks-api.md, POST /patient-sessions); whoever holds it can act as
# the patient.
_SESSION_URL = re.compile(r"/c/[0-9a-f]{8,}", re.IGNORECASE)
# A patient id may be "1": inside other words it says nothing, and replacing it everywhere would
# leave no readable message.
_MIN_LENGTH_INSIDE_WORDS = 4


class Secret(str):
    """A key or a webhook secret: printed, formatted or on an error page it shows a mask.

    Of an API key the mask keeps the kind, live or sandbox.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Secret:
        """Take a text, or another secret's."""
        return super().__new__(cls, text.reveal() if isinstance(text, Secret) else text)

    def reveal(self) -> str:
        """Return the text."""
        return str.__str__(self)

    def __str__(self) -> str:
        kind = next((prefix for prefix in _KEY_PREFIXES if self.startswith(prefix)), "")
        return f"{kind}********"

    def __repr__(self) -> str:
        return f"'{self}'"

    def __format__(self, format_spec: str) -> str:
        return format(str(self), format_spec)


class Redactor:
    """Takes the key, sessions' URLs and this call's patient out of a text."""

    def __init__(self, api_key: str, private_values: Iterable[str]) -> None:
        self._api_key = api_key
        self._private_values = private_values

    @cached_property
    def _private_spellings(self) -> list[str]:
        # Not before an error: most calls have none.
        return _list_spellings(self._private_values)

    def redact_secrets(self, text: object, max_length: int) -> str:
        """Return ``text`` cleaned, without keys and sessions' URLs, at most ``max_length`` long."""
        cleaned = clean_text(text, _MAX_UNREDACTED_LENGTH).replace(self._api_key, REDACTED)
        cleaned = _SECRET.sub(REDACTED, cleaned)
        words = [REDACTED if _SESSION_URL.search(word) else word for word in cleaned.split(" ")]
        return clean_text(" ".join(words), max_length)

    def redact(self, text: object, max_length: int = MAX_MESSAGE_LENGTH) -> str:
        """Return what ``redact_secrets`` does, with this call's patient taken out as well."""
        redacted = clean_text(text, _MAX_UNREDACTED_LENGTH)
        for spelling in self._private_spellings:
            redacted = _compile_private(spelling).sub(REDACTED, redacted)
        if self._private_spellings and isinstance(text, str) and len(text) > _MAX_UNREDACTED_LENGTH:
            # The cut may have gone through a private value, whose beginning then ends the text.
            redacted = redacted[: -len(self._private_spellings[0])] + "\u2026"
        return self.redact_secrets(redacted, max_length)


def _list_spellings(values: Iterable[str]) -> list[str]:
    spellings: set[str] = set()
    for value in values:
        for text in {value, clean_text(value, len(value))}:
            # A message may quote the path, where the value is percent-encoded, or the body.
            quoted = (quote(text, safe=safe, errors="replace") for safe in ("", "/"))
            dumped = (json.dumps(text, ensure_ascii=escaped)[1:-1] for escaped in (True, False))
            spellings.update((text, *quoted, *dumped))
    spellings.discard("")
    # Longest first: a value that contains another one goes as a whole.
    return sorted(spellings, key=lambda spelling: (-len(spelling), spelling))


def _compile_private(value: str) -> re.Pattern[str]:
    pattern = re.escape(value)
    if len(value) < _MIN_LENGTH_INSIDE_WORDS:
        pattern = rf"(?<!\w){pattern}(?!\w)"
    return re.compile(pattern, re.IGNORECASE)
