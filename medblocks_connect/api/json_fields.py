"""Reading of fields in Medblocks' JSON: strict about the type, tolerant of what is not there.

A wrong type means that the answer is not what the API promises. Unknown fields, unknown words and
unreadable times never stop anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from medblocks_connect.api.errors import UnexpectedReplyError
from medblocks_connect.api.text import clean_text

Item = TypeVar("Item")

MAX_NAME_LENGTH = 255
MAX_CODE_LENGTH = 100
MAX_TYPE_LENGTH = 50
MAX_ID_LENGTH = 500  # a facility's, which may be a URL, and a patient's
MAX_SHORT_ID_LENGTH = 255  # a session's (ps_…) and a connection's (conn_…)
MAX_STATUS_LENGTH = 50
MAX_URL_LENGTH = 2048
MAX_METADATA_TEXT_LENGTH = 5000
_MAX_METADATA_DEPTH = 20

_TIME = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2})"
    r"(?::([0-9]{2})(?:[.,]([0-9]+))?)? ?(?:([Zz])|([+-])([0-9]{2}):?([0-9]{2})?)?"
)
# Far outside any database's limits and any time zone's shift near them.
_YEARS = range(1900, 3000)
_COUNTS_END = 2**53  # JSON's numbers are exact below, in every language and database


class Fields:
    """The fields of one JSON object; ``noun`` names it in an error, for example ``"patient"``."""

    def __init__(self, payload: object, noun: str) -> None:
        if not isinstance(payload, dict):
            raise UnexpectedReplyError(f"The {noun} is not an object.")
        self._fields: dict[str, Any] = payload
        self._noun = noun

    def field_error(self, name: str, problem: str) -> UnexpectedReplyError:
        """Return the error for a field; it names the field and never its value."""
        return UnexpectedReplyError(f"The {self._noun}'s {name} {problem}.")

    def _string(self, name: str) -> str:
        value = self._fields.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            raise self.field_error(name, "is not a string")
        return value

    def text(self, name: str, max_length: int) -> str:
        """Return cleaned text, ``""`` when null or missing."""
        return clean_text(self._string(name), max_length)

    def required_text(self, name: str, max_length: int) -> str:
        """Return cleaned text that must not be empty."""
        text = self.text(name, max_length)
        if not text:
            raise self.field_error(name, "is missing")
        return text

    def optional_id(self, name: str, max_length: int = MAX_ID_LENGTH) -> str:
        """Return an id as it came, ``""`` when null or missing.

        An id that cleaning would change is an error: the changed one would name something else.
        """
        value = self._string(name)
        if clean_text(value, max_length) != value:
            raise self.field_error(name, "is not a usable id")
        return value

    def required_id(self, name: str, max_length: int = MAX_ID_LENGTH) -> str:
        """Return an id that must be there."""
        value = self.optional_id(name, max_length)
        if not value:
            raise self.field_error(name, "is missing")
        return value

    def url(self, name: str) -> str:
        """Return a URL as it came, or ``""`` if cleaning would change it, as that is no URL."""
        value = self._string(name)
        return value if clean_text(value, MAX_URL_LENGTH) == value else ""

    def moment(self, name: str) -> datetime | None:
        """Return an aware time in UTC, ``None`` when missing or unreadable."""
        return parse_time(self._fields.get(name))

    def count(self, name: str) -> int | None:
        """Return a count, ``None`` when missing or none, as :func:`read_count` reads it."""
        return read_count(self._fields.get(name))

    def flag(self, name: str, *, default: bool | None = None) -> bool:
        """Return a boolean; without ``default`` it must be there."""
        value = self._fields.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, bool):
            raise self.field_error(name, "is not a boolean")
        return value

    def items(self, name: str, read: Callable[[object], Item]) -> tuple[Item, ...]:
        """Return a list with every item read by ``read``, empty when null or missing."""
        value = self._fields.get(name)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise self.field_error(name, "is not a list")
        return tuple(read(item) for item in value)

    def ids(self, name: str) -> tuple[str, ...]:
        """Return a list of ids, empty when null or missing."""
        return self.items(name, lambda item: Fields({name: item}, self._noun).required_id(name))

    def texts(self, name: str, max_length: int) -> tuple[str, ...]:
        """Return a list of cleaned texts, empty when null or missing."""
        return self.items(
            name, lambda item: Fields({name: item}, self._noun).text(name, max_length)
        )

    def metadata(self, name: str) -> Mapping[str, Any]:
        """Return an object with every text in it cleaned, empty when null or missing."""
        value = self._fields.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.field_error(name, "is not an object")
        cleaned: dict[str, Any] = self._clean_metadata(value, name, 0)
        return cleaned

    def required_object(self, name: str) -> Mapping[str, Any]:
        """Return an object as it came, with nothing cleaned: the caller says what it holds."""
        value = self._fields.get(name)
        if not isinstance(value, dict):
            raise self.field_error(name, "is not an object")
        return value

    def _clean_metadata(self, value: Any, name: str, depth: int) -> Any:
        if depth > _MAX_METADATA_DEPTH:
            raise self.field_error(name, "is nested too deeply")
        if isinstance(value, str):
            return clean_text(value, MAX_METADATA_TEXT_LENGTH)
        if isinstance(value, list):
            return [self._clean_metadata(item, name, depth + 1) for item in value]
        if isinstance(value, dict):
            return {
                clean_text(key, MAX_NAME_LENGTH): self._clean_metadata(item, name, depth + 1)
                for key, item in value.items()
            }
        return value


def read_count(value: object) -> int | None:
    """Return a JSON number that counts something as an ``int`` from 0 to 2**53 - 1, else ``None``.

    JSON tells 3 from 3.0 no more than it tells 1e3 from 1000 (JSON Schema 2020-12, "integer"), so
    these are counts; ``true``, -1, 1.5, 10**30 and NaN are none. Never raises: a count is not worth
    losing the answer for.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < _COUNTS_END and value == int(value) else None


def parse_time(value: object) -> datetime | None:
    """Return an ISO 8601 time as an aware UTC ``datetime``, or ``None`` if it is not one.

    Any number of fractional digits is read, a time without an offset counts as UTC, and a leap
    second as the second before it. Never raises: a time is not worth losing the answer for.
    """
    match = _TIME.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or int(match[1]) not in _YEARS:
        return None
    offset = timedelta(hours=int(match[10] or 0), minutes=int(match[11] or 0))
    try:
        local = datetime(
            int(match[1]),
            int(match[2]),
            int(match[3]),
            int(match[4]),
            int(match[5]),
            min(int(match[6] or 0), 59),
            int((match[7] or "0")[:6].ljust(6, "0")),
            tzinfo=timezone(-offset if match[9] == "-" else offset),
        )
    except ValueError:
        return None
    return local.astimezone(timezone.utc)
