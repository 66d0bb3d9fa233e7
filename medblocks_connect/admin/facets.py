"""The values that the filters offer: those in the newest rows of the current range, counted.

One query for all filters, bounded like the list itself (``CAP`` rows): a count over all the years
would read the whole table for a number nobody acts on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from medblocks_connect.admin.read_only import CAP
from medblocks_connect.models import PatientConnectionAttempt

_COLUMNS = ("error", "connection_type", "place_id")


@dataclass(frozen=True)
class Choice:
    """One value of a column; ``count`` is for reading, and ends in "+" where there are more."""

    value: str
    name: str
    count: str


class Facets:
    """The values of the filters' columns, most frequent first."""

    def __init__(self, rows: Iterable[tuple[str, ...]]) -> None:
        self._counters: dict[str, Counter[str]] = {column: Counter() for column in _COLUMNS}
        self._names: dict[str, str] = {}
        counted = 0
        for *values, name in rows:
            counted += 1
            for column, value in zip(_COLUMNS, values, strict=True):
                self._counters[column][value] += 1
            self._names.setdefault(values[-1], name)
        self._more = "+" if counted > CAP else ""

    @classmethod
    def of(cls, rows: QuerySet[PatientConnectionAttempt]) -> Facets:
        """Read the newest of ``rows``, one query."""
        newest: Any = rows.values_list(*_COLUMNS, "connection_name")
        return cls(newest[: CAP + 1])

    def count(self, column: str) -> list[Choice]:
        """Return the values of ``column``, the empty one among them, with their counts."""
        return [
            Choice(value, self._names.get(value, ""), f"{count}{self._more}")
            for value, count in self._counters[column].most_common()
        ]
