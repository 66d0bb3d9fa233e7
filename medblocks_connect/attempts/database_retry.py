"""How long a write is repeated that the database refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from django.db import OperationalError, transaction

Result = TypeVar("Result")

_SECONDS: Final = 1.0


class Patience:
    """Begins when it is made.

    A deadlock tells its victim at once, and nothing of it was written: it is worth another try. A
    lock that was waited for in vain, SQLite's for 5 seconds, is not waited for again.
    """

    def __init__(self) -> None:
        self._until = time.monotonic() + _SECONDS

    def is_over(self, database: str) -> bool:
        """Whether a refusal is an error now; inside a caller's transaction it is theirs."""
        is_late = time.monotonic() > self._until
        return is_late or transaction.get_connection(database).in_atomic_block


def insist(write: Callable[[], Result], database: str) -> Result:
    """Return what ``write``, one statement, returns; again where it was a deadlock's victim."""
    patience = Patience()
    while True:
        try:
            return write()
        except OperationalError:  # noqa: PERF203 - the loop is for nothing else
            if patience.is_over(database):
                raise
