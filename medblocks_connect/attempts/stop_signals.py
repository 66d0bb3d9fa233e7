"""Stop signals: work that is told to end does so at once, and releases what it held.

SIGINT is a terminal's Ctrl-C, SIGTERM what systemd, Kubernetes and Docker send. Celery's soft time
limit is a handler of SIGUSR1, RQ's time limit one of SIGALRM: each raises an ``Exception`` of its
own, which whatever keeps one broken row from stopping a run would take for such a row. So the
handlers are wrapped while work is done, and what they raise passes as a ``BaseException``.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, NoReturn

_SIGNALS: Final = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGALRM")
    if hasattr(signal, name)  # Windows lacks the last two
)
_BY_DEFAULT: Final = frozenset({signal.SIGINT, signal.SIGTERM})
"""Those that end a process which has no handler for them, and are taken here then."""


class StopRequestedError(BaseException):
    """The process is to stop: by ``number``, a signal's, and by what its own handler raised."""

    def __init__(self, number: int, cause: BaseException | None) -> None:
        super().__init__(number)
        self.number = number
        self.cause = cause

    def raise_cause(self) -> NoReturn:
        """Raise what the process' own handler raised; where it had none, end the process.

        The exit code is then 128 and the signal's number, as a shell has it for a process that a
        signal ended.
        """
        raise self.cause or SystemExit(128 + self.number) from None


class _StopHandler:
    """The handler of all of them, once the process' own handlers are in ``former``."""

    def __init__(self) -> None:
        self.former: dict[int, Any] = {}
        self._is_stopping = False
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler) or (handler is signal.SIG_DFL and number in _BY_DEFAULT):
                self.former[number] = handler

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self._is_stopping:
            return
        cause: BaseException | None = None
        if callable(self.former[number]):
            try:
                self.former[number](number, frame)
            except BaseException as error:  # noqa: BLE001 - raised again by who catches ours
                cause = error
            else:
                return  # a handler that lets the process go on
        self._is_stopping = True
        raise StopRequestedError(number, cause)


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Raise :class:`StopRequestedError` inside for the first signal that asks to stop.

    Further ones are ignored: what was held is being released then. In a thread other than the main
    one nothing is done, since Python calls handlers in that one alone (its documentation of
    ``signal``).
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = _StopHandler()
    try:
        for number in handler.former:
            signal.signal(number, handler)
        yield
    finally:
        for number, former in handler.former.items():
            signal.signal(number, former)
