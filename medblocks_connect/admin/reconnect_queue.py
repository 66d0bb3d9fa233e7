"""The reconnect queue: connections that were lost and not won back, to ask their patients again.

A patient and a facility are in the queue once, by the last attempt that connected them: in the
order of time, as the patient's page has it. Whoever disconnected on our own page is not in it, nor
what was lost in another workspace.
"""

# ruff: noqa: ARG002 - Django gives its hooks more than these need

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Final
from urllib.parse import urljoin

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet, Value
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.urls import NoReverseMatch, URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from medblocks_connect.admin import filters, formatting
from medblocks_connect.admin.attempt_search import list_spellings
from medblocks_connect.admin.links import attempt_url
from medblocks_connect.admin.read_only import ReadOnlyAdmin
from medblocks_connect.conf import conf, find_workspace
from medblocks_connect.models import AttemptEvent, LostConnection, PatientConnectionAttempt
from medblocks_connect.timezones import to_stored_time

Status = PatientConnectionAttempt.Status

_LONG_AGO: Final = datetime(1970, 1, 2, tzinfo=timezone.utc)

_REASONS: Final = {
    "refresh_failed": _("The portal no longer renews the access."),
    "expired": _("The access has run out."),
    "disconnected": _("Disconnected, perhaps on purpose: ask before you send the link."),
}


@admin.register(LostConnection)
class ReconnectQueueAdmin(ReadOnlyAdmin):
    """Connections lost and not regained, the newest loss first."""

    list_display = ("lost", "patient", "facility", "reason", "since")
    list_display_links = None
    list_filter = (filters.LossDateFilter,)
    ordering = ("-lost_at", "-id")
    search_fields = ("patient_id__exact",)
    search_help_text = _("The whole patient id.")

    def get_queryset(self, request: HttpRequest) -> QuerySet[LostConnection]:
        """Return the lost connections; the request is kept for the links' host."""
        disconnected = AttemptEvent.objects.filter(
            attempt=OuterRef("pk"), kind=AttemptEvent.Kind.DISCONNECTED
        )
        queryset: QuerySet[LostConnection] = super().get_queryset(request)
        # Of another workspace's nothing can be won back here. An expression: SQLite would enter by
        # the index on the workspace.
        workspace = Coalesce("workspace", Value(""))
        queryset = queryset.alias(world=workspace).filter(world=find_workspace())
        described = "error_description", "claimed_error_description"
        # "After 1970" and not "not null", which no index of SQLite's serves; and nothing else that
        # an index could be entered by.
        lost = queryset.filter(lost_at__gt=to_stored_time(_LONG_AGO))
        won_back = PatientConnectionAttempt.objects.later_successes()
        return lost.filter(~Exists(won_back), ~Exists(disconnected)).defer(*described)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[LostConnection], search_term: str
    ) -> tuple[QuerySet[LostConnection], bool]:
        """Find the lost connections of the patient with the id ``search_term``."""
        if not search_term:
            return queryset, False
        return queryset.filter(patient_id__in=list_spellings(search_term)), False

    def get_urls(self) -> list[URLPattern]:
        """Return the list alone: each line leads to the attempt's own page."""
        view = self.admin_site.admin_view(self.changelist_view)
        return [path("", view, name="medblocks_connect_lostconnection_changelist")]

    def get_list_display(self, request: HttpRequest) -> Any:
        """Return the columns, and the link at this request's host."""

        @admin.display(description=_("link for the patient"))
        def link(attempt: LostConnection) -> SafeString:
            return formatting.show_copyable(reconnect_url(request, attempt))

        return [*self.list_display, link]

    @admin.display(description=_("lost"))
    def lost(self, attempt: LostConnection) -> SafeString:
        """Show the time of the loss, as the way to the attempt."""
        when = formatting.format_time(attempt.lost_at) if attempt.lost_at else formatting.NOTHING
        return format_html('<a href="{}">{}</a>', attempt_url(attempt.pk), when)

    @admin.display(description=_("patient"))
    def patient(self, attempt: LostConnection) -> SafeString:
        """Show the patient, as the way to their page."""
        return formatting.link_patient(attempt)

    @admin.display(description=_("facility"))
    def facility(self, attempt: LostConnection) -> SafeString:
        """Show the facility."""
        return formatting.link_facility(attempt)

    @admin.display(description=_("why"))
    def reason(self, attempt: LostConnection) -> SafeString:
        """Show the reason of the loss, and Medblocks' word for it."""
        reason = _REASONS.get(attempt.connection_status)
        text = str(reason) if reason else gettext("Medblocks does not say.")
        code = formatting.show_external_text(attempt.connection_status)
        return format_html('{} <span class="medblocks-note">{}</span>', text, code)

    @admin.display(description=_("connected since"))
    def since(self, attempt: LostConnection) -> datetime:
        """Show the time it was connected."""
        return attempt.finished_at or attempt.created_at


def reconnect_url(request: HttpRequest, attempt: PatientConnectionAttempt) -> str:
    """Return the absolute address to send to the patient of ``attempt``.

    It is their own page of that attempt: they sign in, see that the connection has ended, and one
    button starts at the same facility. Whoever else opens it finds nothing. The host is that of
    ``RETURN_URL`` where it is set (staff may work under another one). ``""`` where this process
    serves the admin and not the patients' pages.
    """
    try:
        page = attempt.get_absolute_url()
    except NoReverseMatch:
        return ""
    return urljoin(conf.return_url or request.build_absolute_uri(), page)
