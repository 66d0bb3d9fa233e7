"""The option ``--max-seconds`` of the commands that cron or a worker gives a time to."""

from __future__ import annotations

import math
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError


def add_max_seconds(parser: ArgumentParser) -> None:
    """Add the option; call_command() may give its value as a number or as a text."""
    parser.add_argument(
        "--max-seconds",
        default=None,
        help="begin nothing new after so many seconds; the next run does the rest",
    )


def read_seconds(given: Any) -> float | None:
    """Return the seconds, None for no limit. Raises ``CommandError`` for what is no such number."""
    if given is None:
        return None
    try:
        seconds = float(given)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise CommandError("--max-seconds takes seconds, more than 0.")
    return seconds
