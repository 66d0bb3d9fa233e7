"""How numbers become pictures: shapes in the coordinates of an SVG that is drawn on the server.

The numbers are text with a decimal point, whatever the reader's language: they are coordinates.
A picture holds shapes alone and is stretched to its place; its words are beside it in the page,
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
                bars.append(Bar(_n(x), _n(top), _n(width), _n(height), outcome, title))
    return bars


def share(part: float, whole: float) -> str:
    """Return how long the bar of ``part`` is, 0 to 100."""
    return _n(100 * min(part / whole, 1)) if whole else "0"


def _n(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")
