"""The admin of Medblocks' webhook deliveries: the list, a delivery's page, and a second try."""

# ruff: noqa: ARG002 - Django gives its hooks more than these need

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from medblocks_connect.admin import filters, formatting
from medblocks_connect.admin.audit_log import log_processing
from medblocks_connect.admin.exact_values import match_columns
from medblocks_connect.admin.links import attempt_url, delivery_url
from medblocks_connect.admin.payload import show_payload
from medblocks_connect.admin.pending_signals import list_pending_signals
from medblocks_connect.admin.read_only import ReadOnlyAdmin, is_detail_page, post_with_permissions
from medblocks_connect.admin.workspaces import describe_other_workspace
from medblocks_connect.attempts.outbox import send_signals_of
from medblocks_connect.attempts.webhook_deliveries import process_delivery
from medblocks_connect.conf import find_workspace
from medblocks_connect.models import WebhookDelivery

VIEW_DELIVERIES_PERMISSION: Final = "medblocks_connect.view_webhookdelivery"
PROCESS_PERMISSION: Final = "medblocks_connect.process_webhookdelivery"

State = WebhookDelivery.State
_TONES: Final[Mapping[str, str]] = {
    State.RECEIVED: "open",
    State.PROCESSED: "good",
    State.FAILED: "bad",
}


@admin.register(WebhookDelivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """Every signed event, the newest first."""

    view_permission = VIEW_DELIVERIES_PERMISSION
    list_display = ("received", "kind", "condition", "why", "about", "event")
    list_filter = (
        filters.DeliveryStateFilter,
        filters.DeliveryTypeFilter,
        filters.WorkspaceFilter,
    )
    list_select_related = ("attempt",)
    ordering = ("-id",)
    search_fields = ("event_id__exact", "patient_session_id__exact")
    search_help_text = _("The whole event id or session id.")
    change_form_template = "admin/medblocks_connect/delivery.html"
    readonly_fields = ("event_id", "workspace", "about", "condition", "why", "shown_payload")
    fields = (
        "event_id",
        "event_type",
        "workspace",
        "api_version",
        "about",
        "patient_session_id",
        "patient_connection_id",
        "condition",
        "why",
        "tries",
        "conflicts",
        "occurred_at",
        "received_at",
        "processed_at",
        "shown_payload",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookDelivery]:
        """Return the deliveries, without their payload where it is not shown."""
        queryset: QuerySet[WebhookDelivery] = super().get_queryset(request)
        if is_detail_page(request):
            return queryset
        return queryset.defer(
            "payload", "attempt__error_description", "attempt__claimed_error_description"
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[WebhookDelivery], search_term: str
    ) -> tuple[QuerySet[WebhookDelivery], bool]:
        """Find the event, or the session's events, that ``search_term`` names."""
        if not search_term:
            return queryset, False
        term = search_term.strip()
        if not term:
            return queryset.none(), False
        columns = {"event_id": [term], "patient_session_id": [term]}
        return queryset.filter(match_columns(WebhookDelivery, queryset.db, columns)), False

    def get_urls(self) -> list[URLPattern]:
        """Add the second try."""
        view = self.admin_site.admin_view(
            post_with_permissions(process_again, VIEW_DELIVERIES_PERMISSION, PROCESS_PERMISSION)
        )
        name = "medblocks_connect_webhookdelivery_process"
        return [path("<int:pk>/process/", view, name=name), *super().get_urls()]

    def describe_page(self, request: HttpRequest, object_id: str) -> dict[str, Any]:
        """Return the signals not sent yet, and whether to show the button for a second try."""
        delivery = self.get_object(request, object_id)
        if delivery is None:
            return {}
        pending = list_pending_signals(delivery.pending_signals.all())
        is_done = delivery.state == State.PROCESSED and not pending
        may_process = request.user.has_perm(PROCESS_PERMISSION) and not is_done
        return {"pending_signals": pending, "may_process": may_process}

    @admin.display(description=_("received"))
    def received(self, delivery: WebhookDelivery) -> Any:
        """Show the time it came."""
        return delivery.received_at

    @admin.display(description=_("type"))
    def kind(self, delivery: WebhookDelivery) -> SafeString:
        """Show the type of the event."""
        return formatting.show_dotted(delivery.event_type)

    @admin.display(description=_("state"))
    def condition(self, delivery: WebhookDelivery) -> SafeString:
        """Show the state, and after how many tries."""
        tone = _TONES.get(delivery.state, "quiet")
        badge = formatting.show_badge(delivery.get_state_display(), tone)
        notes = []
        if delivery.tries > 1:
            notes.append(gettext("tried %d times") % delivery.tries)
        if delivery.conflicts:
            notes.append(gettext("came again with another body: %d times") % delivery.conflicts)
        if delivery.workspace != find_workspace():
            notes.append(gettext("workspace %s") % delivery.workspace)
        if not notes:
            return badge
        return format_html('{} <span class="medblocks-note">{}</span>', badge, ", ".join(notes))

    @admin.display(description=_("why it failed"))
    def why(self, delivery: WebhookDelivery) -> SafeString:
        """Show the kind of error, or that it waits for its attempt."""
        if delivery.state == State.RECEIVED and not delivery.failure and not delivery.attempt_id:
            return format_html("{}", gettext("Waits for its attempt."))
        return formatting.show_external_text(delivery.failure, formatting.LONG)

    @admin.display(description=_("attempt"))
    def about(self, delivery: WebhookDelivery) -> SafeString:
        """Show the attempt it belongs to."""
        if delivery.attempt is None:
            return formatting.show_nothing()
        url = attempt_url(delivery.attempt.pk)
        return format_html('<a href="{}"><bdi>{}</bdi></a>', url, delivery.attempt)

    @admin.display(description=_("event id"))
    def event(self, delivery: WebhookDelivery) -> SafeString:
        """Show Medblocks' id of it, ready to copy."""
        return formatting.show_copyable(delivery.event_id)

    @admin.display(description=_("payload, without personal data"))
    def shown_payload(self, delivery: WebhookDelivery) -> SafeString:
        """Show the payload, without personal data."""
        return format_html("<pre>{}</pre>", show_payload(delivery.payload))


def process_again(request: HttpRequest, pk: int) -> HttpResponseRedirect:
    """Process the delivery ``pk``, or send what it owes, and show its page again.

    Raises ``Http404`` for no such delivery.
    """
    delivery = get_object_or_404(WebhookDelivery, pk=pk)
    if delivery.workspace != find_workspace():
        messages.warning(request, describe_other_workspace(delivery.workspace))
    elif delivery.state != State.PROCESSED:
        _process(request, delivery)
    elif delivery.pending_signals.exists():
        _send_signals(request, delivery)
    else:
        messages.info(request, gettext("It was processed before. Nothing was done."))
    return HttpResponseRedirect(delivery_url(delivery.pk))


def _process(request: HttpRequest, delivery: WebhookDelivery) -> None:
    log_processing(request, delivery)
    if not process_delivery(delivery):
        messages.warning(request, gettext("It is being processed right now. Look again soon."))
        return
    delivery.refresh_from_db()
    if delivery.state == State.PROCESSED:
        messages.success(request, gettext("Processed."))
    elif delivery.state == State.FAILED:
        messages.error(request, gettext("It failed again; “why it failed” says how."))
    else:
        messages.warning(request, gettext("Its attempt is not known here yet. It is kept."))


def _send_signals(request: HttpRequest, delivery: WebhookDelivery) -> None:
    log_processing(request, delivery)
    sent, failed = send_signals_of(delivery)
    if failed:
        messages.error(request, gettext("A receiver failed again; “why” says how."))
    elif sent:
        messages.success(request, gettext("The signals were sent."))
    else:
        messages.warning(request, gettext("They are being sent right now. Look again soon."))
