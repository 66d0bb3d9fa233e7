"""A clock that a test sets: Django's, the app's, its client's and ``time.time`` read it."""

from __future__ import annotations

import inspect
import sys
import time
from datetime import datetime, timedelta, timezone

import django.utils.timezone

import medblocks_connect.api.clock
import medblocks_connect.management.commands.medblocks_reconcile
import medblocks_connect.urls

BEGIN = datetime(2026, 11, 2, 9, 0, tzinfo=timezone.utc)
STEP = timedelta(minutes=15)
"""Longer than what is told about a patient is kept in the cache, and than two clocks may differ."""


class _AnyDatetime(type):
    """Let a real datetime be an instance of the class that stands in for it."""

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime)


class Clock:
    """The time, which stands still until it is moved on to the next step."""

    def __init__(self) -> None:
        self.step = 0

    @property
    def now(self) -> datetime:
        return BEGIN + self.step * STEP

    def move_on(self) -> None:
        self.step += 1

    def install(self, monkeypatch) -> None:
        """Let everybody read this clock."""
        clock = self

        class HeldDatetime(datetime, metaclass=_AnyDatetime):
            @classmethod
            def now(cls, tz=None):
                moment = clock.now
                return moment.astimezone(tz) if tz else moment.replace(tzinfo=None)

        def tell_seconds() -> float:
            return clock.now.timestamp()

        monkeypatch.setattr(time, "time", tell_seconds)
        monkeypatch.setattr(medblocks_connect.api.clock, "monotonic", tell_seconds)
        for module in [django.utils.timezone, *_list_modules_that_ask()]:
            monkeypatch.setattr(module, "datetime", HeldDatetime)


def _list_modules_that_ask() -> list[object]:
    ours = [module for name, module in sys.modules.items() if name.startswith("medblocks_connect")]
    return [
        module
        for module in ours
        if getattr(module, "datetime", None) is datetime
        and "datetime.now(" in inspect.getsource(module)
    ]
