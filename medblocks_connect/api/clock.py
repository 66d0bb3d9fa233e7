"""The clock of the client, in one place so that a test can hold the clock and need not sleep."""

from __future__ import annotations

import time


def monotonic() -> float:
    """Return seconds on a clock that never goes back; deadlines are measured on it."""
    return time.monotonic()


def now() -> float:
    """Return the wall clock in seconds since 1970; only a ``Retry-After`` date needs it."""
    return time.time()


def sleep(seconds: float) -> None:
    """Wait ``seconds`` between two tries."""
    time.sleep(seconds)
