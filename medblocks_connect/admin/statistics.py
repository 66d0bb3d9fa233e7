"""The numbers of the overview: days, steps, facilities and waits, within a range of days.

Three queries, each entered by the index on the time: rows older than the range are not read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from statistics import median
from typing import Any, Final

from django.db.models import Case, Count, IntegerField, Max, Q, Value, When
from django.utils import timezone

from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.models.attempt import NEVER_LED, AttemptQuerySet

Status = PatientConnectionAttempt.Status

OUTCOMES: Final = ("connected", "failed", "unfinished", "open")

_OUTCOME_OF: Final[Mapping[str, str]] = {
    Status.SUCCEEDED: "connected",
    Status.FAILED: "failed",
    Status.EXPIRED: "unfinished",
}
# A webhook tells of those who never came back. What failed without a session never began.
_CAME_BACK_OR_SETTLED: Final = (
    Q(returned_at__isnull=False)
    | Q(status=Status.SUCCEEDED)
    | (Q(status=Status.FAILED) & ~NEVER_LED)
)
_REACHED_PORTAL: Final = _CAME_BACK_OR_SETTLED | ~NEVER_LED
_MAX_WAITS: Final = 5000

WAIT_LIMITS: Final = tuple(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 30))
"""The limits between the groups of waits; the last group has no end."""


@dataclass
class Day:
    """The number of attempts of a day, by outcome."""

    day: date
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))

    @property
    def total(self) -> int:
        """All attempts of the day."""
        return sum(self.counts.values())


@dataclass
class Steps:
    """The number of attempts that reached each step; whoever took one took those before it."""

    started: int = 0
    reached_portal: int = 0
    came_back_or_settled: int = 0
    connected: int = 0


@dataclass
class FacilityStatistics:
    """A facility's attempts and failures in the range."""

    place_id: str
    name: str = ""
    total: int = 0
    failed: int = 0
    codes: dict[str, int] = field(default_factory=dict)
    last_connected: datetime | None = None

    @property
    def rate(self) -> float:
        """The share of attempts that failed, 0 to 1."""
        return self.failed / self.total

    @property
    def code(self) -> str:
        """The code behind most of the failures; of several, the first in the alphabet."""
        return min(self.codes, key=lambda code: (-self.codes[code], code), default="")


@dataclass
class Waits:
    """The times from start to return: the number in each group, and the median."""

    groups: list[int]
    middle: timedelta | None
    is_capped: bool


def count_days(first: date, last: date) -> tuple[list[Day], Steps]:
    """Count the attempts from ``first`` to ``last``, both included, per day and outcome."""
    days = [Day(first + timedelta(days=number)) for number in range((last - first).days + 1)]
    steps = Steps()
    # Limits and not the database's own dates: MySQL knows no time zones unless somebody loads them.
    limits = [
        When(created_at__gte=start_of_day(day.day), then=Value(index))
        for index, day in reversed(list(enumerate(days)))
    ]
    numbered = _attempts_in(first, last).annotate(
        day=Case(*limits, default=Value(0), output_field=IntegerField())
    )
    counted = numbered.values("day", "status").annotate(
        number=Count("pk"),
        opened=Count("pk", filter=_REACHED_PORTAL),
        ended=Count("pk", filter=_CAME_BACK_OR_SETTLED),
    )
    for row in counted:
        outcome = _OUTCOME_OF.get(row["status"], "open")
        days[row["day"]].counts[outcome] += row["number"]
        steps.started += row["number"]
        steps.reached_portal += row["opened"]
        steps.came_back_or_settled += row["ended"]
        steps.connected += row["number"] if outcome == "connected" else 0
    return days, steps


def count_facilities(first: date, last: date, most: int) -> list[FacilityStatistics]:
    """Return the ``most`` facilities with the most failures, the worst first."""
    counted = (
        _attempts_in(first, last)
        .values("place_id", "status", "error")
        .annotate(number=Count("pk"), name=Max("connection_name"), last=Max("created_at"))
    )
    return _rank_failing(counted, most)


def _rank_failing(counted: Iterable[Any], most: int) -> list[FacilityStatistics]:
    facilities: dict[str, FacilityStatistics] = {}
    for row in counted:
        key = row["place_id"]
        facility = facilities.setdefault(key, FacilityStatistics(key))
        facility.name = max(facility.name, row["name"])
        facility.total += row["number"]
        if row["status"] == Status.FAILED:
            facility.failed += row["number"]
            facility.codes[row["error"]] = facility.codes.get(row["error"], 0) + row["number"]
        elif row["status"] == Status.SUCCEEDED:
            facility.last_connected = row["last"]
    failing = [facility for facility in facilities.values() if facility.failed]
    failing.sort(key=lambda facility: (-facility.failed, -facility.rate, facility.name))
    return failing[:most]


def measure_waits(first: date, last: date) -> Waits:
    """Return how long the newest returns in the range took from their start."""
    returned: Any = _attempts_in(first, last).filter(returned_at__isnull=False)
    times: Sequence[tuple[datetime, datetime]] = list(
        returned.order_by("-created_at").values_list("created_at", "returned_at")[: _MAX_WAITS + 1]
    )
    waits = [max(end - start, timedelta(0)) for start, end in times[:_MAX_WAITS]]
    groups: dict[int, int] = defaultdict(int)
    for wait in waits:
        groups[sum(wait >= limit for limit in WAIT_LIMITS)] += 1
    return Waits(
        [groups[index] for index in range(len(WAIT_LIMITS) + 1)],
        timedelta(seconds=median(wait.total_seconds() for wait in waits)) if waits else None,
        is_capped=len(times) > _MAX_WAITS,
    )


def _attempts_in(first: date, last: date) -> AttemptQuerySet:
    """Return the attempts of the workspace in force in these days; another's connect nobody."""
    attempts = PatientConnectionAttempt.objects.in_workspace().order_by()
    return attempts.filter(
        created_at__gte=start_of_day(first), created_at__lt=start_of_day(last + timedelta(days=1))
    )


def start_of_day(day: date) -> datetime:
    """Return the first moment of ``day``: aware under ``USE_TZ``, else naive."""
    midnight = datetime.combine(day, time.min)
    return midnight if timezone.is_naive(timezone.now()) else timezone.make_aware(midnight)


LONG_AGO: Final = date(1970, 1, 2)
"""A day before all others: "after it" is served by an index where SQLite's "not null" is not."""


def today() -> date:
    """Return the current day in the current time zone."""
    now = timezone.now()
    return now.date() if timezone.is_naive(now) else timezone.localdate(now)
