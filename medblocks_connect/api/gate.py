"""The gate before Medblocks: which call may wait for it now, and which fails before it is sent.

Two limits, for callers whose threads others need as well. A *waiting room* has a few seats: who
finds none fails at once, so that a Medblocks that hangs holds few threads. A *gate* closes after
failures, so that nobody waits for what fails anyway; while it is closed, one call in five seconds
is let through, and the first that is answered opens it. Both live in this process alone.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final
from weakref import WeakSet

from medblocks_connect.api import clock
from medblocks_connect.api.errors import EHRError, MedblocksBusyError, MedblocksError

FAILURES_IN_A_ROW: Final = 5
CALLS_LOOKED_AT: Final = 20
FAILURES_OF_THEM: Final = 10
CLOSED_SECONDS: Final = 5.0
LONGEST_CLOSED_SECONDS: Final = 10.0
"""However long Medblocks asks to wait: a patient is told to try again in a moment."""

_SHORTEST_FAIR_WAIT: Final = 0.5  # seconds; no answer in less says nothing of Medblocks
_FULL_TOLD_EVERY: Final = 60.0  # seconds

logger = logging.getLogger("medblocks_connect.gate")


@dataclass(frozen=True)
class GateState:
    """A gate at one moment; ``seconds`` are those until the next call is let through."""

    is_closed: bool
    seconds: float
    waiting: int
    seats: int

    @property
    def seconds_shown(self) -> int:
        """Return the seconds as a person counts them."""
        return math.ceil(self.seconds)

    @property
    def is_full(self) -> bool:
        """Return whether as many calls wait for Medblocks as may."""
        return self.waiting >= self.seats


class WaitingRoom:
    """Seats for the calls that wait for one Medblocks at once; gates may share it."""

    def __init__(self, seats: int) -> None:
        if seats < 1:
            raise ValueError("A waiting room needs a seat.")
        self.seats = seats
        self.forget()
        _of_this_process.add(self)

    def forget(self) -> None:
        """Begin anew, with nobody inside."""
        self._lock = threading.Lock()
        self._waiting = 0
        self._told_full_at = -_FULL_TOLD_EVERY

    @property
    def waiting(self) -> int:
        """Return how many calls wait now."""
        return self._waiting

    def enter(self) -> bool:
        """Take a seat; return whether there was one."""
        with self._lock:
            if self._waiting >= self.seats:
                return False
            self._waiting += 1
            return True

    def report_full(self) -> None:
        """Log that somebody found no seat, once a minute."""
        with self._lock:
            now = clock.monotonic()
            if now - self._told_full_at < _FULL_TOLD_EVERY:
                return
            self._told_full_at = now
        logger.warning("%d calls wait for Medblocks, as many as may: more fail at once", self.seats)

    def leave(self) -> None:
        """Give the seat back."""
        with self._lock:
            self._waiting -= 1


class Gate:
    """Lets calls to Medblocks through, or refuses them before anything is sent. Thread-safe.

    It closes for five seconds after five failures in a row, or ten of the last twenty; and for as
    long as a 429 asks for, ten seconds at most. A failure is no answer, a 5xx or a 429; a 5xx of a
    hospital's system behind Medblocks is none, for it says nothing of the other hospitals.
    """

    def __init__(self, waiting_room: WaitingRoom) -> None:
        self._room = waiting_room
        self.forget()
        _of_this_process.add(self)

    def forget(self) -> None:
        """Begin anew, open."""
        self._lock = threading.Lock()
        self._is_closed = False
        self._opens_at = 0.0  # for one call; on clock.monotonic's clock
        # Grows with each closing and opening: what a call from before it says is of the past.
        self._period = 0
        self._start_counting()

    def _start_counting(self) -> None:
        self._failures_in_a_row = 0
        self._are_failures: deque[bool] = deque(maxlen=CALLS_LOOKED_AT)

    @property
    def state(self) -> GateState:
        """Return how it stands now."""
        with self._lock:
            is_closed = self._is_closed
            seconds = self._seconds_left() if is_closed else 0.0
        return GateState(is_closed, seconds, self._room.waiting, self._room.seats)

    @contextmanager
    def admit(self) -> Iterator[Visit]:
        """Let one call through, its repetition included; raises ``MedblocksBusyError``."""
        visit = Visit(self, self._enter())
        try:
            yield visit
        finally:
            self._room.leave()

    def _enter(self) -> int:
        with self._lock:
            seconds = self._seconds_left() if self._is_closed else 0.0
            if seconds <= 0 and self._room.enter():
                if self._is_closed:
                    # Counted from its beginning, whatever becomes of it: one that hangs must
                    # neither keep the others out for as long as it waits, nor put off the next.
                    self._opens_at = clock.monotonic() + CLOSED_SECONDS
                return self._period
        if seconds > 0:
            raise MedblocksBusyError("The gate is closed.", retry_after=seconds)
        self._room.report_full()
        raise MedblocksBusyError("Too many calls wait already.")

    def _seconds_left(self) -> float:
        return max(self._opens_at - clock.monotonic(), 0.0)

    def is_passable(self, period: int) -> bool:
        """Return whether nothing has closed the gate since ``period`` began, nor before."""
        with self._lock:
            return not self._is_closed and period == self._period

    def note_answer(self, period: int) -> None:
        """Count an answer to a call that was let through in ``period``."""
        with self._lock:
            if period != self._period:
                return
            was_closed = self._is_closed
            if was_closed:
                self._is_closed = False
                self._period += 1
                self._start_counting()
            self._failures_in_a_row = 0
            self._are_failures.append(False)
        if was_closed:
            logger.warning("Medblocks answers again: patients' calls are let through")

    def note_failure(self, period: int, failure: MedblocksError) -> None:
        """Count a failure of a call that was let through in ``period``."""
        with self._lock:
            if period != self._period:
                return
            self._failures_in_a_row += 1
            self._are_failures.append(True)
            seconds = self._choose_closed_seconds(failure)
            was_closed = self._is_closed
            if seconds > 0:
                self._opens_at = max(self._opens_at, clock.monotonic() + seconds)
            if seconds > 0 and not was_closed:
                self._is_closed = True
                self._period += 1
        if seconds > 0 and not was_closed:
            # The error's kind and not its code, which is a text from outside.
            kind = f"HTTP {failure.status_code}" if failure.status_code else type(failure).__name__
            logger.warning(
                "Medblocks is left alone for %d s (the last failure: %s): "
                "patients' calls fail at once",
                round(seconds),
                kind,
            )

    def _choose_closed_seconds(self, failure: MedblocksError) -> float:
        """Return for how long ``failure`` closes the gate; 0 where it does not."""
        if failure.is_rate_limited and failure.retry_after != 0:
            return min(failure.retry_after or CLOSED_SECONDS, LONGEST_CLOSED_SECONDS)
        if self._is_closed:  # the next one is let through when it would have been anyway
            return 0.0
        is_run = self._failures_in_a_row >= FAILURES_IN_A_ROW
        is_full = len(self._are_failures) == CALLS_LOOKED_AT
        is_half = is_full and sum(self._are_failures) >= FAILURES_OF_THEM
        return CLOSED_SECONDS if is_run or is_half else 0.0


class Visit:
    """One call's passage through a gate, which hears of each of its tries."""

    def __init__(self, gate: Gate, period: int) -> None:
        self._gate = gate
        self._period = period

    @property
    def may_repeat(self) -> bool:
        """Return whether the call may be tried once more."""
        return self._gate.is_passable(self._period)

    def note_answer(self) -> None:
        """Tell the gate of an answer."""
        self._gate.note_answer(self._period)

    def note_failure(self, failure: MedblocksError, allowed_seconds: float) -> None:
        """Tell the gate of what a try came to that was allowed ``allowed_seconds``."""
        if isinstance(failure, EHRError) or not failure.is_temporary:
            self.note_answer()
        elif allowed_seconds >= _SHORTEST_FAIR_WAIT or not failure.is_unanswered:
            self._gate.note_failure(self._period, failure)


_of_this_process: Final[WeakSet[WaitingRoom | Gate]] = WeakSet()


def _forget_parent() -> None:
    # Threads of the parent wait in none of ours, and may have held a lock.
    for each in _of_this_process:
        each.forget()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_forget_parent)
