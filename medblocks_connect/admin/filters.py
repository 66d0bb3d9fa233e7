"""How staff narrow the list of attempts down. Every filter here is served by an index.

Choices that depend on what is in the table are taken from the newest rows that the other filters
leave (:mod:`medblocks_connect.admin.facets`): asking the whole table would take seconds.
"""

# ruff: noqa: ARG002, D102 - Django gives its hooks more than these need, and says what they do

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db import connections
from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_date
from django.utils.translation import gettext, pgettext
from django.utils.translation import gettext_lazy as _

from medblocks_connect.admin.formatting import shorten
from medblocks_connect.admin.statistics import start_of_day, today
from medblocks_connect.error_messages import name_record_system
from medblocks_connect.models import PatientConnectionAttempt, WebhookDelivery

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList

Attempts = QuerySet[PatientConnectionAttempt]
Deliveries = QuerySet[WebhookDelivery]


class _ParameterFilter(admin.ListFilter):
    """A filter with one parameter in the address."""

    parameter_name: str
    takes_nothing: ClassVar[bool] = False  # whether the empty value is one to ask for

    def __init__(
        self,
        request: HttpRequest,
        params: dict[str, Any],
        model: type[PatientConnectionAttempt],
        model_admin: Any,
    ) -> None:
        super().__init__(request, params, model, model_admin)
        self.request = request
        given = params.pop(self.parameter_name, None)
        # PostgreSQL takes no NUL, not even in a question.
        value = given[-1].replace("\0", "") if given else None
        self.value: str | None = value if value or self.takes_nothing else None

    def expected_parameters(self) -> list[str | None]:
        return [self.parameter_name]

    def has_output(self) -> bool:
        return True

    def choice(
        self, changelist: ChangeList, value: str | None, words: object, count: str = ""
    ) -> dict[str, Any]:
        """Return one line of the filter, as Django's template shows it."""
        return {
            "selected": self.value == value,
            "query_string": changelist.get_query_string({self.parameter_name: value}),
            "display": f"{words} ({count})" if count else words,
        }

    def all(self, changelist: ChangeList) -> dict[str, Any]:
        """Return the line that switches the filter off."""
        return self.choice(changelist, None, gettext("All"))


class StatusFilter(_ParameterFilter):
    """Where the attempts stand."""

    title = _("status")
    parameter_name = "status__exact"

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        yield self.all(changelist)
        for value, label in PatientConnectionAttempt.Status.choices:
            yield self.choice(changelist, value, label)

    def queryset(self, request: HttpRequest, queryset: Attempts) -> Attempts:
        return queryset.filter(status=self.value) if self.value else queryset


class _FacetFilter(_ParameterFilter):
    """A filter whose choices are what there is, the most frequent first."""

    template = "admin/medblocks_connect/facet_filter.html"
    column: str
    most: ClassVar[int | None] = None  # choices on offer
    hint = ""  # the way to the others, where there are any

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        yield self.all(changelist)
        facets = changelist.facets  # type: ignore[attr-defined]  # our own list
        counted = [each for each in facets.count(self.column) if each.value or self.takes_nothing]
        offered = counted[: self.most]
        self.hint = self.way_to_others() if len(offered) < len(counted) else ""
        if self.value is not None and self.value not in [each.value for each in offered]:
            yield self.choice(changelist, self.value, shorten(self.words(self.value), 60))
        for each in offered:
            words = self.words(each.value, each.name)
            yield self.choice(changelist, each.value, shorten(words, 60), each.count)

    def queryset(self, request: HttpRequest, queryset: Attempts) -> Attempts:
        return queryset if self.value is None else queryset.filter(**{self.column: self.value})

    def way_to_others(self) -> str:
        """Return how to find what is not on offer."""
        return ""

    def words(self, value: str, name: str = "") -> str:
        """Return ``value`` as staff know it."""
        return name or value


class ErrorFilter(_FacetFilter):
    """By code."""

    title = _("error code")
    parameter_name = "error__exact"
    column = "error"


class FacilityFilter(_FacetFilter):
    """By facility, also by none: where the patient was to choose at Medblocks."""

    title = _("facility")
    parameter_name = "connection_id__exact"
    column = "connection_id"
    takes_nothing = True
    most = 20

    def words(self, value: str, name: str = "") -> str:
        return name or value or pgettext("in place of a facility's name", "chosen at Medblocks")

    def way_to_others(self) -> str:
        return gettext("Others: search for a part of the name.")


class RecordSystemFilter(_FacetFilter):
    """By kind of record system."""

    title = _("record system")
    parameter_name = "connection_type__exact"
    column = "connection_type"

    def words(self, value: str, name: str = "") -> str:
        return name_record_system(value)


class DeliveryStateFilter(_ParameterFilter):
    """What became of the webhook deliveries."""

    title = _("state")
    parameter_name = "state__exact"

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        yield self.all(changelist)
        for value, label in WebhookDelivery.State.choices:
            yield self.choice(changelist, value, label)

    def queryset(self, request: HttpRequest, queryset: Deliveries) -> Deliveries:
        return queryset.filter(state=self.value) if self.value else queryset


class DeliveryTypeFilter(_ParameterFilter):
    """What the webhook deliveries are about: the types that Medblocks documents."""

    title = _("type")
    parameter_name = "event_type__exact"
    _TYPES = (
        "patient_session.completed",
        "connection.token_refresh_failed",
        "records.sync.completed",
        "records.sync.failed",
    )

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        yield self.all(changelist)
        for value in self._TYPES:
            yield self.choice(changelist, value, value)

    def queryset(self, request: HttpRequest, queryset: Deliveries) -> Deliveries:
        return queryset.filter(event_type=self.value) if self.value else queryset


class ConcernFilter(_ParameterFilter):
    """What is worth a look though no status says it."""

    title = _("worth a look")
    parameter_name = "concern"

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        yield self.all(changelist)
        yield self.choice(changelist, "unconfirmed", gettext("Claimed, not confirmed"))
        yield self.choice(changelist, "disagrees", gettext("Claim and fact disagree"))
        yield self.choice(changelist, "away", gettext("Never came back"))
        yield self.choice(changelist, "lost", gettext("Access lost since"))

    def queryset(self, request: HttpRequest, queryset: Attempts) -> Attempts:
        # "IN (true)", because Django writes "= true" as a bare column, which no index of SQLite's
        # serves.
        if self.value == "unconfirmed":
            return queryset.filter(unconfirmed__in=[True])
        if self.value == "disagrees":
            return queryset.filter(claim_disagrees__in=[True])
        if self.value == "away":
            return _filter_never_returned(queryset)
        if self.value == "lost":
            return queryset.filter(lost_at__isnull=False)
        return queryset


def _filter_never_returned(queryset: Attempts) -> Attempts:
    """Keep those whose session has ended, by Medblocks' word or by the clock, and who are away."""
    status = PatientConnectionAttempt.Status
    is_over = Q(state=status.EXPIRED) | Q(state=status.STARTED, expires_at__lt=timezone.now())
    # Of two statuses SQLite would gather all rows and sort them, and these are many: an expression
    # keeps it to the index on the time, which has the newest at once. PostgreSQL knows how many
    # there are, but not of an expression.
    is_sqlite = connections[queryset.db].vendor == "sqlite"
    state = Coalesce("status", Value("")) if is_sqlite else F("status")
    return queryset.alias(state=state).filter(is_over, returned_at__isnull=True)


class DateFilter(admin.ListFilter):
    """When the attempts were made: some usual ranges, or any two days."""

    title = _("date")
    column = "created_at"
    template = "admin/medblocks_connect/date_filter.html"

    def __init__(
        self,
        request: HttpRequest,
        params: dict[str, Any],
        model: type[PatientConnectionAttempt],
        model_admin: Any,
    ) -> None:
        super().__init__(request, params, model, model_admin)
        self.since = _day((params.pop("since", None) or [""])[-1])
        self.until = _day((params.pop("until", None) or [""])[-1])

    def expected_parameters(self) -> list[str | None]:
        return ["since", "until"]

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        day = today()
        yesterday = day - timedelta(days=1)
        ranges: list[tuple[str, date | None, date | None]] = [
            (gettext("Any date"), None, None),
            (gettext("Today"), day, None),
            (gettext("Yesterday"), yesterday, yesterday),
            (gettext("Past 7 days"), day - timedelta(days=6), None),
            (gettext("Past 30 days"), day - timedelta(days=29), None),
        ]
        for words, since, until in ranges:
            yield {
                "selected": (self.since, self.until) == (since, until),
                "query_string": changelist.get_query_string({"since": since, "until": until}),
                "display": words,
                "filter": self,
                "others": _hidden(changelist, {"since", "until"}),
            }

    def queryset(self, request: HttpRequest, queryset: Attempts) -> Attempts:
        if self.since:
            queryset = queryset.filter(**{f"{self.column}__gte": start_of_day(self.since)})
        if self.until:
            end = start_of_day(self.until + timedelta(days=1))
            queryset = queryset.filter(**{f"{self.column}__lt": end})
        return queryset


class LastAttemptDateFilter(DateFilter):
    """When the patients tried last."""

    title = _("last attempt")


class LossDateFilter(DateFilter):
    """When the connections were lost."""

    title = _("loss")
    column = "lost_at"


def _day(text: str) -> date | None:
    try:
        day = parse_date(text)
    except ValueError:
        return None
    # The next day must exist too.
    return day if day and 1970 <= day.year < 9000 else None


def _hidden(changelist: ChangeList, without: set[str]) -> list[tuple[str, str]]:
    return [(key, value) for key, value in changelist.params.items() if key not in without]
