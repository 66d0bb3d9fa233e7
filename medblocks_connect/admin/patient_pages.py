"""The admin of patients: the list of everyone with an attempt, and each one's whole history.

A patient is there because an attempt is, however its row came to be: there is no summary to keep
right. The list walks the attempts from the newest and keeps those that are their patient's last,
one step in the index on (patient, time) each; what it counts, it counts for the page alone.
"""

# ruff: noqa: ARG002 - Django gives its hooks more than these need

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import (
    Case,
    Count,
    Exists,
    IntegerField,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    When,
)
from django.db.models.functions import Left
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from medblocks_connect.admin import filters, formatting
from medblocks_connect.admin.attempt_search import list_spellings
from medblocks_connect.admin.audit_log import log_patient_view
from medblocks_connect.admin.erasure_page import (
    ERASE_PERMISSION,
    find_unfinished_erasure,
    outside_transactions,
    show_erasure_page,
    tell_of_erasure,
)
from medblocks_connect.admin.links import attempt_url, erase_url
from medblocks_connect.admin.read_only import ReadOnlyAdmin
from medblocks_connect.models import PatientConnection, PatientConnectionAttempt, PatientHistory
from medblocks_connect.models.attempt import NEVER_LED, was_never_led_away

Status = PatientConnectionAttempt.Status
Histories = QuerySet[PatientHistory]

_MAX_ATTEMPTS: Final = 1000
"""Attempts that a patient's page shows, the newest; nobody has a hundred."""


class PatientChangeList(ChangeList):
    """Django's list, with the counts looked up for the patients on the page."""

    def get_results(self, request: HttpRequest) -> None:
        """Find the page's patients, then their counts and last errors."""
        super().get_results(request)
        keys = [patient.pk for patient in self.result_list]
        patients = {patient.pk: patient for patient in annotate_patients(keys)}
        self.result_list = [patients[key] for key in keys if key in patients]


def annotate_patients(keys: list[int]) -> Histories:
    """Return the patients whose last attempts are ``keys``, with their counts and last error."""
    own = PatientConnectionAttempt.objects.filter(patient_id=OuterRef("patient_id")).order_by()
    # No equality but the patient's: SQLite would enter by the index on the status instead.
    failures = own.filter(error__gt="").order_by("-created_at", "-id")
    unled = failures.annotate(unled=Case(When(NEVER_LED, then=True), default=False)).values("unled")
    words = failures.annotate(words=Left("error_description", formatting.SHORT + 1)).values("words")
    described = "error_description", "claimed_error_description"

    def count(rows: QuerySet[Any], **status: str) -> Subquery:
        number = Count("pk", filter=Q(**status)) if status else Count("pk")
        counted = rows.values("patient_id").annotate(number=number).values("number")
        return Subquery(counted, output_field=IntegerField())

    connections = PatientConnection.objects.of_patient(OuterRef("patient_id"))

    patients: Any = PatientHistory.objects.filter(pk__in=keys).defer(*described)
    histories: Histories = patients.annotate(
        attempts=count(own),
        connected=count(connections.order_by(), state=PatientConnection.State.CONNECTED),
        failed=count(own, status=Status.FAILED),
        last_error=Subquery(failures.values("error")[:1]),
        last_words=Subquery(words[:1]),
        last_unled=Subquery(unled[:1]),
    )
    return histories


@admin.register(PatientHistory)
class PatientAdmin(ReadOnlyAdmin):
    """Every patient with an attempt, the one who tried last first."""

    list_display = ("patient", "attempts", "connected", "failed", "last_attempt", "last_error")
    list_display_links = None
    list_filter = (filters.LastAttemptDateFilter,)
    ordering = ("-created_at", "-id")
    sortable_by = ["last_attempt"]
    search_fields = ("patient_id__exact",)
    search_help_text = _("The whole patient id.")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return our list."""
        return PatientChangeList

    def get_queryset(self, request: HttpRequest) -> Histories:
        """Return the attempts that are their patient's last."""
        later = PatientConnectionAttempt.objects.later_attempts()
        described = "error_description", "claimed_error_description"
        queryset: Histories = super().get_queryset(request).defer(*described)
        return queryset.filter(~Exists(later), patient_id__gt="")

    def get_search_results(
        self, request: HttpRequest, queryset: Histories, search_term: str
    ) -> tuple[Histories, bool]:
        """Find the patient with the id ``search_term``."""
        if not search_term:
            return queryset, False
        spellings = list_spellings(search_term)
        tell_of_erasure(request, spellings)
        return queryset.filter(patient_id__in=spellings), False

    def get_urls(self) -> list[URLPattern]:
        """Return the list and the page per patient; there is nothing else to do with a patient."""
        view = self.admin_site.admin_view
        name = "medblocks_connect_patienthistory"
        return [
            path("", view(self.changelist_view), name=f"{name}_changelist"),
            path("<int:object_id>/change/", view(self.patient_view), name=f"{name}_change"),
            path(
                "<int:pk>/erase/",
                view(outside_transactions(partial(show_erasure_page, self))),
                name=f"{name}_erase",
            ),
        ]

    def patient_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Show a patient's whole history."""
        return show_patient_page(self, request, object_id)

    @admin.display(description=_("patient"))
    def patient(self, history: PatientHistory) -> SafeString:
        """Show the patient, as the way to their page."""
        return formatting.link_patient(history)

    @admin.display(description=_("attempts"))
    def attempts(self, history: Any) -> SafeString:
        """Show the number of attempts."""
        return formatting.show_count(history.attempts or 0, _("attempts"))

    @admin.display(description=_("connected"))
    def connected(self, history: Any) -> SafeString:
        """Show the number that connected."""
        return formatting.show_count(history.connected or 0, _("connected"))

    @admin.display(description=_("failed"))
    def failed(self, history: Any) -> SafeString:
        """Show the number that failed."""
        return formatting.show_count(history.failed or 0, _("failed"))

    @admin.display(description=_("last attempt"), ordering="created_at")
    def last_attempt(self, history: PatientHistory) -> SafeString:
        """Show the time and the status of the last attempt."""
        return format_html(
            '<a href="{}">{}</a> {}',
            attempt_url(history.pk),
            formatting.format_time(history.created_at),
            formatting.show_status(history),
        )

    @admin.display(description=_("last error"))
    def last_error(self, history: Any) -> SafeString:
        """Show the last failure's code and description."""
        return formatting.show_failure(
            history.last_error or "", history.last_words or "", at_start=bool(history.last_unled)
        )


@dataclass(frozen=True)
class HistoryRow:
    """One attempt in a patient's history."""

    url: str
    when: datetime
    actor: SafeString
    facility: SafeString
    status: SafeString
    error: SafeString
    description: SafeString
    took: SafeString


@dataclass(frozen=True)
class PlaceRow:
    """One place where the patient is connected, or was."""

    url: str  # of the attempt that connected it; "" where none of this site did
    facility: SafeString
    is_checking: bool
    since: datetime | None
    lost_at: datetime | None
    was_disconnected: bool
    disconnected_by: SafeString
    records_at: datetime | None
    records_failed_at: datetime | None  # None where they came after all


def show_patient_page(
    model_admin: ReadOnlyAdmin, request: HttpRequest, pk: int | str
) -> HttpResponse:
    """Show the whole history of the patient whose attempt is ``pk``, and log who looked.

    Raises ``PermissionDenied`` without the view permission, ``Http404`` for no attempt, or one
    without a patient.
    """
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    patient_ids = PatientConnectionAttempt.objects.filter(pk=pk, patient_id__gt="")
    patient_id = patient_ids.values_list("patient_id", flat=True).first()
    if patient_id is None:
        raise Http404
    attempts = list_patient_attempts(patient_id)
    if request.method != "HEAD":  # which shows nobody anything
        log_patient_view(request, attempts[0])
    connections = PatientConnection.objects.of_patient(patient_id).order_by("-since", "-id")
    rows = list(connections.select_related("attempt"))
    context: dict[str, Any] = {
        **model_admin.admin_site.each_context(request),
        "title": gettext("Patient %s") % formatting.shorten(patient_id, formatting.SHORT),
        "opts": model_admin.opts,
        "media": model_admin.media,
        "patient_id": patient_id,
        "rows": [show_row(attempt) for attempt in attempts[:_MAX_ATTEMPTS]],
        "has_more": len(attempts) > _MAX_ATTEMPTS,
        "connected": [show_place(row) for row in rows if row.lost_at is None],
        "lost": [show_place(row) for row in rows if row.lost_at is not None],
        "may_erase": request.user.has_perm(ERASE_PERMISSION),
        "erase_url": erase_url(attempts[0].pk),
        "erasing_since": find_unfinished_erasure(patient_id),
    }
    return TemplateResponse(request, "admin/medblocks_connect/patient.html", context)


def list_patient_attempts(patient_id: str) -> list[PatientConnectionAttempt]:
    """Return the attempts of exactly this patient, newest first, one more than a page shows."""
    attempts = PatientConnectionAttempt.objects.of_patient(patient_id)
    # The database shortens descriptions to what is shown: one may have a megabyte.
    attempts = attempts.defer("error_description", "claimed_error_description").annotate(
        words=Left("error_description", formatting.LONG + 1)
    )
    newest = attempts.order_by("-created_at", "-id")[: _MAX_ATTEMPTS + 1]
    return list(newest)


def show_place(row: PatientConnection) -> PlaceRow:
    """Return the page's line for a place where the patient is connected, or was."""
    return PlaceRow(
        url=attempt_url(row.attempt_id) if row.attempt_id else "",
        facility=formatting.link_facility(row),
        is_checking=row.state == PatientConnection.State.CHECKING,
        since=row.since,
        lost_at=row.lost_at,
        was_disconnected=row.was_ended_here,
        disconnected_by=formatting.show_actor(row.ended_by),
        records_at=row.records_at,
        records_failed_at=row.records_failed_at if row.lacks_records else None,
    )


def show_row(attempt: Any) -> HistoryRow:
    """Return the history's line for an attempt of :func:`list_patient_attempts`."""
    return HistoryRow(
        url=attempt_url(attempt.pk),
        when=attempt.created_at,
        actor=formatting.show_actor(attempt.actor),
        facility=formatting.link_facility(attempt),
        status=formatting.show_status(attempt),
        error=formatting.show_error(attempt.error, at_start=was_never_led_away(attempt)),
        description=formatting.show_external_text(attempt.words, formatting.LONG),
        took=formatting.show_duration(attempt),
    )
