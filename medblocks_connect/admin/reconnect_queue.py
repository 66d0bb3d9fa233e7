"""The reconnect queue: connections that were lost and not won back, to ask their patients again.

Whoever disconnected on our own page is not in it, nor what was lost in another workspace.
"""

# ruff: noqa: ARG002 - Django gives its hooks more than these need

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from urllib.parse import urljoin

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from medblocks_connect.admin import filters, formatting
from medblocks_connect.admin.attempt_search import list_spellings
from medblocks_connect.admin.links import attempt_url
from medblocks_connect.admin.read_only import ReadOnlyAdmin
from medblocks_connect.admin.statistics import LONG_AGO, start_of_day
from medblocks_connect.conf import conf, find_workspace
from medblocks_connect.models import LostConnection, PatientConnectionAttempt

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
        """Return the lost connections."""
        queryset: QuerySet[LostConnection] = super().get_queryset(request)
        lost = queryset.filter(
            workspace=find_workspace(), lost_at__gt=start_of_day(LONG_AGO), was_ended_here=False
        )
        described = "attempt__error_description", "attempt__claimed_error_description"
        return lost.select_related("attempt").defer(*described)

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
        def link(lost: LostConnection) -> SafeString:
            return formatting.show_copyable(reconnect_url(request, lost.attempt))

        return [*self.list_display, link]

    @admin.display(description=_("lost"))
    def lost(self, connection: LostConnection) -> SafeString:
        """Show the time of the loss, as the way to the attempt."""
        when = formatting.format_time(connection.lost_at) if connection.lost_at else ""
        if connection.attempt_id is None:
            return format_html("{}", when)
        return format_html('<a href="{}">{}</a>', attempt_url(connection.attempt_id), when)

    @admin.display(description=_("patient"))
    def patient(self, connection: LostConnection) -> SafeString:
        """Show the patient, as the way to their page."""
        if connection.attempt is None:
            return formatting.show_external_text(connection.patient_id)
        return formatting.link_patient(connection.attempt)

    @admin.display(description=_("facility"))
    def facility(self, connection: LostConnection) -> SafeString:
        """Show the facility."""
        return formatting.link_facility(connection)

    @admin.display(description=_("why"))
    def reason(self, connection: LostConnection) -> SafeString:
        """Show the reason of the loss, and Medblocks' word for it."""
        reason = _REASONS.get(connection.status)
        text = str(reason) if reason else gettext("Medblocks does not say.")
        code = formatting.show_external_text(connection.status)
        return format_html('{} <span class="medblocks-note">{}</span>', text, code)

    @admin.display(description=_("connected since"))
    def since(self, connection: LostConnection) -> datetime | None:
        """Show the time it was connected."""
        return connection.since


def reconnect_url(request: HttpRequest, attempt: PatientConnectionAttempt | None) -> str:
    """Return the absolute address to send to the patient who lost what ``attempt`` connected.

    It is their own page of that attempt: they sign in, see that the connection has ended, and one
    button starts at the same facility. Whoever else opens it finds nothing. Where no attempt of
    this site connected it, it is the page of all their connections. The host is that of
    ``RETURN_URL`` where it is set (staff may work under another one). ``""`` where this process
    serves the admin and not the patients' pages.
    """
    try:
        page = attempt.get_absolute_url() if attempt else reverse("medblocks_connect:connections")
    except NoReverseMatch:
        return ""
    return urljoin(conf.return_url or request.build_absolute_uri(), page)
