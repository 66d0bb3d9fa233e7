"""The list of attempts: its columns, filters and search, and the URLs of an attempt's pages."""

# ruff: noqa: ARG002 - Django gives its hooks more than these need

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import SEARCH_VAR, ChangeList
from django.db.models import Q
from django.db.models.functions import Left
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from medblocks_connect.admin import filters, formatting
from medblocks_connect.admin.attempt_detail import (
    ASK_PERMISSION,
    FIELDSETS,
    ask_again,
    describe_attempt,
)
from medblocks_connect.admin.attempt_search import (
    MAX_FACILITIES,
    NamedFacilities,
    find_named_facilities,
    match_attempts,
)
from medblocks_connect.admin.export import EXPORT_PERMISSION, export_attempts
from medblocks_connect.admin.facets import Facets
from medblocks_connect.admin.filters import Attempts
from medblocks_connect.admin.links import attempt_list_url
from medblocks_connect.admin.overview import show_overview
from medblocks_connect.admin.read_only import (
    VIEW_PERMISSION,
    ReadOnlyAdmin,
    is_detail_page,
    post_with_permissions,
    require_permissions,
)
from medblocks_connect.admin.webhook_notice import ENABLE_PERMISSION, enable_webhooks
from medblocks_connect.error_messages import name_record_system
from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.models.attempt import was_never_led_away


class AttemptChangeList(ChangeList):
    """Django's list, with our search, and the filters' values counted once for all of them."""

    def __init__(self, request: HttpRequest, *args: Any) -> None:
        self.request = request
        super().__init__(request, *args)

    @cached_property
    def named_facilities(self) -> NamedFacilities:
        """The facilities that the search names; looked up once, the list asks twice."""
        return find_named_facilities(self.root_queryset.db, self.query)

    @cached_property
    def matches(self) -> Q:
        """The condition of the search; looked up once as well."""
        return match_attempts(self.root_queryset.db, self.query, self.named_facilities)

    @property
    def is_incomplete(self) -> bool:
        """Return whether the list answers less than the whole search, and has said so."""
        typed = self.request.GET.get(SEARCH_VAR, "")
        return self.named_facilities.are_too_many or self.query != typed

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> Attempts:
        """Return the attempts that filters and search leave."""
        rows: Attempts = super().get_queryset(request, exclude_parameters)
        return rows.filter(self.matches)

    @cached_property
    def facets(self) -> Facets:
        """The filters' values in the current range; a chosen error leaves the others on offer."""
        rows: Attempts = self.queryset
        if filters.ErrorFilter.parameter_name in self.params:
            without: list[str | None] = [filters.ErrorFilter.parameter_name]
            rows = self.get_queryset(self.request, exclude_parameters=without)
        return Facets.of(rows)


@admin.register(PatientConnectionAttempt)
class AttemptAdmin(ReadOnlyAdmin):
    """Every attempt of every patient, newest first."""

    list_display = ("when", "patient", "facility", "state", "failure", "copyable_request_id")
    list_filter = (
        filters.DateFilter,
        filters.StatusFilter,
        filters.ErrorFilter,
        filters.FacilityFilter,
        filters.RecordSystemFilter,
        filters.ConcernFilter,
        filters.WorkspaceFilter,
    )
    ordering = ("-created_at", "-id")
    # Their words are in the help text; match_attempts decides.
    search_fields = ("patient_id__exact", "patient_session_id__exact", "request_id__exact")
    search_help_text = _(
        "The whole patient id, session id or request id; or a part of a facility's name."
    )
    fieldsets = FIELDSETS
    readonly_fields = (
        "public_id",
        "whole_actor",
        "record_system",
        "is_unconfirmed",
        "has_disagreement",
        "was_claimed",
        "whole_description",
        "whole_claim",
    )
    change_form_template = "admin/medblocks_connect/attempt.html"

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """Return our list."""
        return AttemptChangeList

    def get_queryset(self, request: HttpRequest) -> Attempts:
        """Return the attempts with the beginning of their description in place of a megabyte."""
        queryset: Attempts = super().get_queryset(request)
        if is_detail_page(request):
            return queryset
        return queryset.defer("error_description", "claimed_error_description").annotate(
            description=Left("error_description", formatting.SHORT + 1)
        )

    def get_search_results(
        self, request: HttpRequest, queryset: Attempts, search_term: str
    ) -> tuple[Attempts, bool]:
        """Leave the search to our list, which looks facilities up once; nothing comes twice."""
        return queryset, False

    def get_urls(self) -> list[URLPattern]:
        """Add the export, the overview with its button, and asking Medblocks again."""
        view = self.admin_site.admin_view
        name = "medblocks_connect_patientconnectionattempt"
        export = post_with_permissions(self.export_view, VIEW_PERMISSION, EXPORT_PERMISSION)
        ask = post_with_permissions(ask_again, VIEW_PERMISSION, ASK_PERMISSION)
        enable = post_with_permissions(enable_webhooks, VIEW_PERMISSION, ENABLE_PERMISSION)
        return [
            path("export/", view(export), name=f"{name}_export"),
            path("overview/", view(self.overview_view), name=f"{name}_overview"),
            path("overview/enable/", view(enable), name=f"{name}_enable_webhooks"),
            path("<int:pk>/ask/", view(ask), name=f"{name}_ask"),
            *super().get_urls(),
        ]

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show the list, the export for whoever may, and a warning after too broad a search."""
        may_export = request.user.has_perm(EXPORT_PERMISSION)
        context = {**(extra_context or {}), "may_export": may_export}
        response = super().changelist_view(request, context)
        shown = getattr(response, "context_data", {}).get("cl")
        if shown is not None and shown.named_facilities.are_too_many:
            text = gettext(
                "More than %(most)d facilities have that in their name, so that only ids were "
                "searched: write more of the name."
            )
            messages.warning(request, text % {"most": MAX_FACILITIES})
        return response

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """Export the list under the same filters and search; nothing where it is incomplete."""
        if self.leave_out_lookups(request):
            messages.error(request, gettext("Nothing was exported: the search has to be mended."))
            return HttpResponseRedirect(attempt_list_url())
        try:
            changelist: Any = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(attempt_list_url())
        if changelist.is_incomplete:
            messages.error(request, gettext("Nothing was exported: the search has to be mended."))
            return HttpResponseRedirect(f"{attempt_list_url()}?{request.GET.urlencode()}")
        return export_attempts(request, changelist.queryset)

    def overview_view(self, request: HttpRequest) -> HttpResponse:
        """Show the overview."""
        require_permissions(request, VIEW_PERMISSION)
        return show_overview(self, request)

    def describe_page(self, request: HttpRequest, object_id: str) -> dict[str, Any]:
        """Return an attempt's summary, timeline and all else that its page shows first."""
        attempt = self.get_object(request, object_id)
        may_view = attempt is not None and self.has_view_permission(request, attempt)
        return describe_attempt(request, attempt) if attempt and may_view else {}

    @admin.display(description=_("when"))
    def when(self, attempt: PatientConnectionAttempt) -> str:
        """Show the time it was made."""
        return formatting.format_time(attempt.created_at)

    @admin.display(description=_("patient"))
    def patient(self, attempt: PatientConnectionAttempt) -> SafeString:
        """Show the patient, as the way to their page, and who acted for them."""
        actor = formatting.show_actor(attempt.actor)
        return format_html("{} {}", formatting.link_patient(attempt), actor)

    @admin.display(description=_("facility"))
    def facility(self, attempt: PatientConnectionAttempt) -> SafeString:
        """Show the facility."""
        return formatting.link_facility(attempt)

    @admin.display(description=_("status"))
    def state(self, attempt: PatientConnectionAttempt) -> SafeString:
        """Show the status, and how long it took."""
        return formatting.show_timed_status(attempt)

    @admin.display(description=_("error"))
    def failure(self, attempt: Any) -> SafeString:
        """Show the code, its meaning, and the beginning of the description."""
        return formatting.show_failure(
            attempt.error, attempt.description, at_start=was_never_led_away(attempt)
        )

    @admin.display(description=_("request id"))
    def copyable_request_id(self, attempt: PatientConnectionAttempt) -> SafeString:
        """Show Medblocks' request id, ready to copy."""
        return formatting.show_copyable(attempt.request_id)

    @admin.display(description=_("acting for the patient"))
    def whole_actor(self, attempt: PatientConnectionAttempt) -> SafeString:
        """Show who started it for the patient."""
        return formatting.show_whole(attempt.actor)

    @admin.display(description=_("record system"))
    def record_system(self, attempt: PatientConnectionAttempt) -> SafeString:
        """Show the kind of record system by the name people know."""
        return formatting.show_external_text(name_record_system(attempt.connection_type))

    @admin.display(description=_("claimed, not confirmed"))
    def is_unconfirmed(self, attempt: PatientConnectionAttempt) -> SafeString:
        """Show whether the outcome rests on the return URL alone."""
        return formatting.show_yes_or_no(attempt.unconfirmed)

    @admin.display(description=_("claim and fact disagree"))
    def has_disagreement(self, attempt: PatientConnectionAttempt) -> SafeString:
        """Show whether the return URL said one thing and Medblocks another."""
        return formatting.show_yes_or_no(attempt.claim_disagrees)

    @admin.display(description=_("return URL said: connected"))
    def was_claimed(self, attempt: PatientConnectionAttempt) -> SafeString:
        """Show whether the return URL said that it is connected."""
        return formatting.show_yes_or_no(attempt.claimed_success)

    @admin.display(description=_("error description"))
    def whole_description(self, attempt: PatientConnectionAttempt) -> SafeString:
        """Show the portal's whole description."""
        return formatting.show_whole(attempt.error_description)

    @admin.display(description=_("return URL said: description"))
    def whole_claim(self, attempt: PatientConnectionAttempt) -> SafeString:
        """Show the return URL's whole description."""
        return formatting.show_whole(attempt.claimed_error_description)
