"""The clock of the client, in one place so that a test can hold the clock and need not sleep."""

from __future__ import annotations

import time
from typing import Final


def monotonic() -> float:
    """Return seconds on a clock that never goes back; deadlines are measured on it."""
    return time.monotonic()


def now() -> float:
    """Return the wall clock in seconds since 1970; only a ``Retry-After`` date needs it."""
    return time.time()


def sleep(seconds: float) -> None:
    """Wait ``seconds`` between two tries."""
    time.sleep(seconds)


class TimeLimit:
    """The time that a piece of work may take, from when this is made; None for no limit."""

    def __init__(self, seconds: float | None = None) -> None:
        self._until = None if seconds is None else monotonic() + seconds

    def is_over(self) -> bool:
        """Return whether nothing new should be begun."""
        return self._until is not None and monotonic() >= self._until

    def seconds_left(self) -> float | None:
        """Return the seconds that are left, 0 once it is over; None for no limit."""
        return None if self._until is None else max(0.0, self._until - monotonic())

    def fits(self, seconds: float) -> bool:
        """Return whether ``seconds`` more are left."""
        return self._until is None or monotonic() + seconds < self._until


NO_LIMIT: Final = TimeLimit()
