"""The filters of our lists. Those of attempts, patients and deliveries are served by an index.

Choices that depend on what is in the table are taken from the newest rows that the other filters
leave (:mod:`medblocks_connect.admin.facets`): asking the whole table would take seconds.
"""

# ruff: noqa: ARG002, D102 - Django gives its hooks more than these need, and says what they do
from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from medblocks_connect.admin.statistics import LONG_AGO, start_of_day, today
from medblocks_connect.admin.workspaces import has_other_workspaces, list_workspaces
from medblocks_connect.conf import find_workspace
from medblocks_connect.error_messages import name_record_system
from medblocks_connect.models import PatientConnection, PatientConnectionAttempt, WebhookDelivery
from medblocks_connect.models.attempt import NEVER_LED, OPEN_STATUSES

if TYPE_CHECKING:
    from django.contrib.admin.views.main import ChangeList
    from django_stubs_ext import StrOrPromise

Attempts = QuerySet[PatientConnectionAttempt]
Rows = QuerySet[Any]


class AddressFilter(admin.ListFilter):
    """A filter whose values stand in the address, by the names in ``parameters``."""

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: type[Any], model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        self.request = request
        self.values: dict[str, str] = {
            # PostgreSQL takes no NUL, not even in a question.
            name: params.pop(name)[-1].replace("\0", "")
            for name in map(str, self.expected_parameters())
            if name in params
        }

    def has_output(self) -> bool:
        return True

    @classmethod
    def expected_parameters(cls) -> list[str | None]:
        raise NotImplementedError


def takes_parameter(list_filter: Any, name: str) -> bool:
    """Return whether ``list_filter``, as in a ``ModelAdmin``'s, takes ``name`` of the address."""
    if isinstance(list_filter, type):
        if issubclass(list_filter, AddressFilter):
            return name in list_filter.expected_parameters()
        return name == getattr(list_filter, "parameter_name", None)
    # A host's own, for a column: its list is narrowed by whatever that says of it.
    column = list_filter if isinstance(list_filter, str) else list_filter[0]
    return name == column or name.startswith(f"{column}__")


class ParameterFilter(AddressFilter):
    """A filter with one parameter in the address, by default for the value of one column."""

    parameter_name: str
    column: str
    allows_empty: ClassVar[bool] = False  # whether the empty value is one to filter by

    @property
    def value(self) -> str | None:
        """The value in the address; None for no filter."""
        value = self.values.get(self.parameter_name)
        return value if value or self.allows_empty else None

    @classmethod
    def expected_parameters(cls) -> list[str | None]:
        return [cls.parameter_name]

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        return queryset if self.value is None else queryset.filter(**{self.column: self.value})

    def choice(
        self, changelist: ChangeList, value: str | None, label: object, count: str = ""
    ) -> dict[str, Any]:
        """Return one line of the filter, as Django's template shows it."""
        return {
            "selected": self.value == value,
            "query_string": changelist.get_query_string({self.parameter_name: value}),
            "display": f"{label} ({count})" if count else label,
        }

    def all(self, changelist: ChangeList) -> dict[str, Any]:
        """Return the line that switches the filter off."""
        return self.choice(changelist, None, gettext("All"))


class ChoiceFilter(ParameterFilter):
    """A filter whose choices do not depend on the table: ``offered``, values with their labels."""

    offered: ClassVar[Sequence[tuple[str, StrOrPromise]]]

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        yield self.all(changelist)
        for value, label in self.offered:
            yield self.choice(changelist, value, label)


class StatusFilter(ChoiceFilter):
    """The status of the attempts, as it is shown: what another workspace left open is over."""

    title = _("status")
    parameter_name = "status__exact"
    column = "status"
    offered = PatientConnectionAttempt.Status.choices

    def queryset(self, request: HttpRequest, queryset: Attempts) -> Attempts:
        rows = super().queryset(request, queryset)
        expired = PatientConnectionAttempt.Status.EXPIRED
        depends = self.value in OPEN_STATUSES or self.value == expired
        if not depends or not has_other_workspaces(PatientConnectionAttempt):
            return rows
        ours = Q(workspace=find_workspace())
        if self.value == expired:
            return queryset.filter(Q(status=expired) | Q(~ours, status__in=OPEN_STATUSES))
        return rows.filter(ours)


class DeliveryStateFilter(ChoiceFilter):
    """The state of the webhook deliveries."""

    title = _("state")
    parameter_name = "state__exact"
    column = "state"
    offered = WebhookDelivery.State.choices


class DeliveryTypeFilter(ChoiceFilter):
    """The type of the webhook deliveries, of those that Medblocks documents."""

    title = _("type")
    parameter_name = "event_type__exact"
    column = "event_type"
    offered = tuple(
        (event_type, event_type)
        for event_type in (
            "patient_session.completed",
            "connection.token_refresh_failed",
            "records.sync.completed",
            "records.sync.failed",
        )
    )


class WorkspaceFilter(ParameterFilter):
    """The workspace of the rows, where there are others than the key's."""

    title = _("workspace")
    parameter_name = "workspace__exact"
    column = "workspace"

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: type[Any], model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        self.workspaces = list_workspaces(model)

    def has_output(self) -> bool:
        return self.value is not None or any(each != find_workspace() for each in self.workspaces)

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        yield self.all(changelist)
        for workspace in self.workspaces:
            yield self.choice(changelist, workspace, workspace)


class FacetFilter(ParameterFilter):
    """A filter whose choices are the values in the table, the most frequent first."""

    template = "admin/medblocks_connect/facet_filter.html"
    most: ClassVar[int | None] = None  # choices on offer
    hint = ""  # the way to the others, where there are any

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        yield self.all(changelist)
        facets = changelist.facets  # type: ignore[attr-defined]  # our own list
        counted = [facet for facet in facets.count(self.column) if facet.value or self.allows_empty]
        offered = counted[: self.most]
        self.hint = self.way_to_others() if len(offered) < len(counted) else ""
        if self.value is not None and self.value not in [facet.value for facet in offered]:
            yield self.choice(changelist, self.value, shorten(self.label(self.value), 60))
        for facet in offered:
            label = self.label(facet.value, facet.name)
            yield self.choice(changelist, facet.value, shorten(label, 60), facet.count)

    def way_to_others(self) -> str:
        """Return how to find what is not on offer."""
        return ""

    def label(self, value: str, name: str = "") -> str:
        """Return ``value`` as staff know it."""
        return name or value


class ErrorFilter(FacetFilter):
    """The error code."""

    title = _("error code")
    parameter_name = "error__exact"
    column = "error"


class FacilityFilter(FacetFilter):
    """The facility, or none: where the patient was to choose at Medblocks."""

    title = _("facility")
    parameter_name = "place_id__exact"
    column = "place_id"
    allows_empty = True
    most = 20

    def label(self, value: str, name: str = "") -> str:
        return name or value or pgettext("in place of a facility's name", "chosen at Medblocks")

    def way_to_others(self) -> str:
        return gettext("Others: search for a part of the name.")


class RecordSystemFilter(FacetFilter):
    """The kind of record system."""

    title = _("record system")
    parameter_name = "connection_type__exact"
    column = "connection_type"

    def label(self, value: str, name: str = "") -> str:
        return name_record_system(value)


class ConcernFilter(ChoiceFilter):
    """Attempts that are worth a look though no status says it."""

    title = _("worth a look")
    parameter_name = "concern"
    offered = (
        ("unconfirmed", _("Claimed, not confirmed")),
        ("disagrees", _("Claim and fact disagree")),
        ("away", _("Never came back")),
        ("lost", _("Access lost since")),
        ("records", _("Records did not arrive")),
        ("another", _("Another patient came back")),
    )

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
        if self.value == "another":
            return queryset.filter(another_patient_at__isnull=False)
        if self.value == "records":
            return queryset.filter(pk__in=_list_lacking_records())
        return queryset


def _list_lacking_records() -> QuerySet[PatientConnection, int | None]:
    """Return the attempts whose place lacks records, as far as is known."""
    failed = PatientConnection.objects.in_workspace().filter(
        Q(records_at__isnull=True) | Q(records_at__lte=F("records_failed_at")),
        records_failed_at__gt=start_of_day(LONG_AGO),
    )
    return failed.that_stand().values_list("attempt", flat=True)


def _filter_never_returned(queryset: Attempts) -> Attempts:
    """Keep the attempts that led their patient away, whose session has ended, by Medblocks' word
    or by the clock, and whose patient has not come back: also of those that connected or failed.

    Of a session that was found again only the timeline says that nobody was led there: those are
    kept too. To look there for each row costs PostgreSQL ten times the list.
    """
    status = PatientConnectionAttempt.Status
    # A session that failed and goes on is none: the patient may be trying again.
    is_over = (
        Q(state__in=[status.EXPIRED, status.SUCCEEDED])
        | Q(settled_at__isnull=False)
        | Q(expires_at__lt=timezone.now())
    )
    # Of statuses SQLite would gather all rows and sort them, and these are many: an expression
    # keeps it to the index on the time, which has the newest at once. PostgreSQL knows how many
    # there are, but not of an expression.
    is_sqlite = connections[queryset.db].vendor == "sqlite"
    state = Coalesce("status", Value("")) if is_sqlite else F("status")
    ended = queryset.alias(state=state).filter(
        is_over, returned_at__isnull=True, patient_session_id__isnull=False
    )
    return ended.exclude(NEVER_LED)


class WithdrawnFilter(ChoiceFilter):
    """Facilities that patients find, or those that Medblocks withdrew."""

    title = _("in the catalog")
    parameter_name = "withdrawn"
    offered = (("no", _("Yes")), ("yes", _("Withdrawn")))

    def queryset(self, request: HttpRequest, queryset: Rows) -> Rows:
        if self.value in {"yes", "no"}:
            return queryset.filter(withdrawn_at__isnull=self.value == "no")
        return queryset


class DateFilter(AddressFilter):
    """The time of an attempt: some usual ranges, or any two days."""

    title = _("date")
    parameter_name = "since"  # one of the two; themes use it as the filter's name
    column = "created_at"
    template = "admin/medblocks_connect/date_filter.html"

    @property
    def since(self) -> date | None:
        """The first day; None for no limit."""
        return _read_day(self.values.get("since", ""))

    @property
    def until(self) -> date | None:
        """The last day; None for no limit."""
        return _read_day(self.values.get("until", ""))

    @classmethod
    def expected_parameters(cls) -> list[str | None]:
        return ["since", "until"]

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
        for label, since, until in ranges:
            yield {
                "selected": (self.since, self.until) == (since, until),
                "query_string": changelist.get_query_string({"since": since, "until": until}),
                "display": label,
                "filter": self,
                "others": _other_parameters(changelist, {"since", "until"}),
            }

    def queryset(self, request: HttpRequest, queryset: Attempts) -> Attempts:
        if self.since:
            queryset = queryset.filter(**{f"{self.column}__gte": start_of_day(self.since)})
        if self.until:
            end = start_of_day(self.until + timedelta(days=1))
            queryset = queryset.filter(**{f"{self.column}__lt": end})
        return queryset


class LastAttemptDateFilter(DateFilter):
    """The time of a patient's last attempt."""

    title = _("last attempt")


class LossDateFilter(DateFilter):
    """The time when a connection was lost."""

    title = _("loss")
    column = "lost_at"


def _read_day(text: str) -> date | None:
    try:
        day = parse_date(text)
    except ValueError:
        return None
    # The next day must exist too.
    return day if day and 1970 <= day.year < 9000 else None


def _other_parameters(changelist: ChangeList, without: set[str]) -> list[tuple[str, str]]:
    return [(key, value) for key, value in changelist.params.items() if key not in without]
