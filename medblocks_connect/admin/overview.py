"""The overview page: outcomes per day, how far patients get, failing facilities, and waits.

Every chart has its numbers in a table beside it, for whoever cannot see it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import formats
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from medblocks_connect.admin import formatting
from medblocks_connect.admin.charts import HEIGHT, WIDTH, draw_days, scale_bar
from medblocks_connect.admin.links import attempt_list_url
from medblocks_connect.admin.statistics import (
    OUTCOMES,
    WAIT_LIMITS,
    Day,
    FacilityStatistics,
    Steps,
    Waits,
    count_days,
    count_facilities,
    measure_waits,
    today,
)
from medblocks_connect.admin.webhook_notice import find_webhook_notice
from medblocks_connect.admin.workspaces import has_other_workspaces
from medblocks_connect.conf import find_workspace
from medblocks_connect.medblocks_client import find_gate_state
from medblocks_connect.models import PatientConnectionAttempt

if TYPE_CHECKING:
    from medblocks_connect.admin.read_only import ReadOnlyAdmin

RANGES: Final = (7, 30, 90)

_MAX_FACILITIES: Final = 10
_LABELS: Final = {
    "connected": gettext_lazy("Connected"),
    "failed": gettext_lazy("Failed"),
    "unfinished": gettext_lazy("Never finished"),
    "open": gettext_lazy("Still open"),
}


@dataclass(frozen=True)
class BarLine:
    """One line of a table with a bar in it."""

    label: str
    number: int
    note: str
    bar: str


@dataclass(frozen=True)
class FacilityLine:
    """One line of the facilities that fail."""

    url: str
    name: str
    failed: int
    total: int
    rate: str
    bar: str
    code: SafeString
    last_connected: datetime | None


def show_overview(model_admin: ReadOnlyAdmin, request: HttpRequest) -> HttpResponse:
    """Show the last 7, 30 or 90 days."""
    days_wanted = request.GET.get("days", "")
    days_shown = int(days_wanted) if days_wanted in map(str, RANGES) else 30
    last = today()
    first = last - timedelta(days=days_shown - 1)
    days, steps = count_days(first, last)
    titles = [_name_day(day) for day in days]
    waits = measure_waits(first, last)
    # Named where there is another one, of which nothing is counted here.
    workspace = find_workspace() if has_other_workspaces(PatientConnectionAttempt) else ""
    context: dict[str, Any] = {
        **model_admin.admin_site.each_context(request),
        "title": _("Overview"),
        "opts": model_admin.opts,
        "media": model_admin.media,
        "ranges": [(number, number == days_shown) for number in RANGES],
        "first": first,
        "last": last,
        "width": WIDTH,
        "height": HEIGHT,
        "labels": [(outcome, _LABELS[outcome]) for outcome in OUTCOMES],
        "bars": draw_days(days, titles),
        "highest": max(day.total for day in days),
        "days": [(day, [day.counts[outcome] for outcome in OUTCOMES]) for day in reversed(days)],
        "total": steps.started,
        "workspace": workspace,
        "gate": find_gate_state(),
        "webhooks": find_webhook_notice(request),
        "steps": _list_steps(steps),
        "facilities": [
            _describe_facility(facility, f"{first:%Y-%m-%d}", workspace)
            for facility in count_facilities(first, last, _MAX_FACILITIES)
        ],
        "waits": _list_waits(waits),
        "middle_wait": formatting.format_duration(waits.middle) if waits.middle is not None else "",
        "waits_capped": waits.is_capped,
    }
    return TemplateResponse(request, "admin/medblocks_connect/overview.html", context)


def _name_day(day: Day) -> str:
    counts = [
        f"{_LABELS[outcome]}: {day.counts[outcome]}" for outcome in OUTCOMES if day.counts[outcome]
    ]
    return f"{formats.date_format(day.day)} \u00b7 {', '.join(counts)}"


def _list_steps(steps: Steps) -> list[BarLine]:
    lines = [
        (_("Started"), steps.started),
        (_("Reached the portal"), steps.reached_portal),
        (_("Came back, or settled without"), steps.came_back_or_settled),
        (_("Connected"), steps.connected),
    ]
    return [
        BarLine(label, number, _percent(number, steps.started), scale_bar(number, steps.started))
        for label, number in lines
    ]


def _describe_facility(facility: FacilityStatistics, since: str, workspace: str) -> FacilityLine:
    return FacilityLine(
        url=attempt_list_url(
            place_id__exact=facility.place_id,
            status__exact="failed",
            since=since,
            **({"workspace__exact": workspace} if workspace else {}),
        ),
        name=formatting.shorten(
            facility.name or facility.place_id or _("chosen at Medblocks"), formatting.SHORT
        ),
        failed=facility.failed,
        total=facility.total,
        rate=_percent(facility.failed, facility.total),
        bar=scale_bar(facility.failed, facility.total),
        code=formatting.show_error(facility.code),
        last_connected=facility.last_connected,
    )


def _list_waits(waits: Waits) -> list[BarLine]:
    minutes = [int(limit.total_seconds() // 60) for limit in WAIT_LIMITS]
    first = ngettext("under %d minute", "under %d minutes", minutes[0]) % minutes[0]
    labels = [
        first,
        *(
            _("%(from)d to %(to)d minutes") % {"from": start, "to": end}
            for start, end in pairwise(minutes)
        ),
        _("%d minutes and more") % minutes[-1],
    ]
    whole, most = sum(waits.groups), max(waits.groups)
    return [
        BarLine(label, number, _percent(number, whole), scale_bar(number, most))
        for label, number in zip(labels, waits.groups, strict=True)
    ]


def _percent(part: int, whole: int) -> str:
    return f"{round(100 * part / whole)} %" if whole else formatting.NOTHING
