"""Connects the receivers, where the host is to have any."""

from __future__ import annotations

import os
import time
from typing import Any

from django.apps import AppConfig


class HeardConfig(AppConfig):
    name = "benchmarks.load.heard"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        if os.environ.get("LOAD_LISTENS", "yes") == "yes":
            listen()


def listen() -> None:
    """Write a row for each signal, after as many seconds as the host's work is to take."""
    from benchmarks.load.heard.models import HeardSignal
    from medblocks_connect import signals

    seconds = float(os.environ.get("LOAD_RECEIVER_SECONDS", "0"))

    for name in (
        "attempt_started",
        "attempt_succeeded",
        "attempt_failed",
        "attempt_expired",
        "connection_lost",
        "records_synced",
    ):

        def receive(attempt: Any, name: str = name, **_kwargs: Any) -> None:
            time.sleep(seconds)
            HeardSignal.objects.create(name=name, attempt=attempt.public_id)

        getattr(signals, name).connect(receive, weak=False)
