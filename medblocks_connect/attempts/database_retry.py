"""Retry of refused writes: the only place that says how often and how long one is repeated."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from django.db import OperationalError, connections

Result = TypeVar("Result")

_SECONDS: Final = 1.0

# What SQLite says, the classes of PostgreSQL's codes and MySQL's codes of a database that takes no
# writes now: it is full, has no room for a connection, is read-only, or its disk fails.
_SQLITE_TAKES_NONE: Final = ("readonly", "is full", "disk I/O", "unable to open")
_SQLSTATES_TAKE_NONE: Final = ("08", "53", "58")
_MYSQL_TAKES_NONE: Final = (1021, 1114, 1290, 1836)


def is_repeatable(error: OperationalError) -> bool:
    """Return whether a write that was refused by ``error`` may be taken a moment later."""
    sqlstate = getattr(error.__cause__, "sqlstate", None) or ""
    first = error.args[0] if error.args else ""
    return not (
        sqlstate.startswith(_SQLSTATES_TAKE_NONE)
        or first in _MYSQL_TAKES_NONE
        or any(text in str(first) for text in _SQLITE_TAKES_NONE)
    )


class RetryLimit:
    """The limit of one write's repetitions; its time begins when it is made.

    A deadlock tells its victim at once, and nothing of it was written: it is worth another try for
    a second. A lock that was waited for in vain, SQLite's for 5 seconds, is not waited for again,
    unless ``refusals`` says how many are too many, however long they take.
    """

    def __init__(self, *, refusals: int | None = None) -> None:
        self._until = time.monotonic() + _SECONDS
        self._refusals_left = refusals

    def is_reached(self, database: str) -> bool:
        """Count a refusal: is it an error now? Inside a caller's transaction it is theirs."""
        if connections[database].in_atomic_block:
            return True
        if self._refusals_left is None:
            return time.monotonic() > self._until
        self._refusals_left -= 1
        return self._refusals_left <= 0


def retry_on_deadlock(write: Callable[[], Result], database: str) -> Result:
    """Return what ``write``, one statement, returns; again where it was a deadlock's victim."""
    limit = RetryLimit()
    while True:
        try:
            return write()
        except OperationalError as error:  # noqa: PERF203 - the loop is for nothing else
            if not is_repeatable(error) or limit.is_reached(database):
                raise
