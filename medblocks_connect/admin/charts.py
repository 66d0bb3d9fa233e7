"""The overview's charts: numbers as shapes in the coordinates of an SVG drawn on the server.

The numbers are text with a decimal point, whatever the reader's language: they are coordinates.
A chart holds shapes alone and is stretched to its place; its words are beside it in the page,
where they keep their size on a phone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from medblocks_connect.admin.statistics import OUTCOMES, Day

WIDTH: Final = 1000
HEIGHT: Final = 200

_GAP: Final = 0.2  # of a day's place


@dataclass(frozen=True)
class Bar:
    """One rectangle; ``outcome`` decides its colour, ``title`` shows on hovering."""

    x: str
    y: str
    width: str
    height: str
    outcome: str
    title: str


def draw_days(days: Sequence[Day], titles: Sequence[str]) -> list[Bar]:
    """Stack the outcomes of each day, connected at the bottom."""
    highest = max((day.total for day in days), default=0) or 1
    place = WIDTH / max(len(days), 1)
    bars = []
    for index, (day, title) in enumerate(zip(days, titles, strict=True)):
        top = float(HEIGHT)
        for outcome in OUTCOMES:
            height = day.counts[outcome] / highest * HEIGHT
            top -= height
            if height:
                x, width = (index + _GAP / 2) * place, (1 - _GAP) * place
                bars.append(
                    Bar(_format(x), _format(top), _format(width), _format(height), outcome, title)
                )
    return bars


def scale_bar(part: float, whole: float) -> str:
    """Return the length of the bar of ``part``, 0 to 100."""
    return _format(100 * min(part / whole, 1)) if whole else "0"


def _format(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")
