"""The sandbox's first page: what it is, its webhook endpoints, and the log of its events."""

from collections.abc import Callable
from typing import Final

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from medblocks_connect.sandbox import conf
from medblocks_connect.sandbox.endpoint_decorators import API_VERSION
from medblocks_connect.sandbox.fictional_catalog import all_facilities
from medblocks_connect.sandbox.models import (
    EndpointStatus,
    SandboxEvent,
    SandboxWebhookEndpoint,
    make_storable,
)
from medblocks_connect.sandbox.portal import portal_page
from medblocks_connect.sandbox.webhook_registry import (
    find_webhook_endpoints,
    set_endpoint_status,
)
from medblocks_connect.sandbox.webhook_sender import (
    DELAYS,
    send_until_given_up,
    send_waiting,
)

MAX_SHOWN_EVENTS: Final = 30


def _set_failing(endpoint: SandboxWebhookEndpoint, *, fails: bool) -> None:
    endpoint.fails_deliveries = fails
    endpoint.save(update_fields=["fails_deliveries"])


_ACTIONS: Final[dict[str, Callable[[SandboxWebhookEndpoint], object]]] = {
    "fail": lambda endpoint: _set_failing(endpoint, fails=True),
    "arrive": lambda endpoint: _set_failing(endpoint, fails=False),
    "send": lambda endpoint: send_waiting(endpoint=endpoint),
    "days": send_until_given_up,
    "enable": lambda endpoint: set_endpoint_status(endpoint, EndpointStatus.ACTIVE),
}


@portal_page
@require_safe
def show_index(request: HttpRequest) -> HttpResponse:
    """Show what the sandbox is and is not, the address of its API, and its webhooks."""
    base_url = request.build_absolute_uri(reverse("medblocks_sandbox:index")).rstrip("/")
    endpoints = find_webhook_endpoints().order_by("pk")
    events = SandboxEvent.objects.select_related("endpoint").order_by("-pk")[:MAX_SHOWN_EVENTS]
    context = {
        "base_url": base_url,
        "api_version": API_VERSION,
        "facilities": len(all_facilities()),
        "endpoints": [
            {
                "row": endpoint,
                "is_disabled": endpoint.status == EndpointStatus.DISABLED,
                "is_elsewhere": not conf.is_loopback_url(endpoint.url),
                "waiting": endpoint.sandbox_events.exclude(next_attempt_at=None).count(),
            }
            for endpoint in endpoints
        ],
        "events": [{"row": event, "outcome": _describe(event)} for event in events],
    }
    return render(request, "medblocks_sandbox/index.html", context)


@portal_page
@require_POST
def act_on_endpoint(request: HttpRequest, endpoint_id: str) -> HttpResponse:
    """Do what a button of the page says with one webhook endpoint."""
    endpoint = find_webhook_endpoints().filter(endpoint_id=make_storable(endpoint_id)).first()
    act = _ACTIONS.get(request.POST.get("action", ""))
    if endpoint is None or act is None:
        raise Http404("No such endpoint or action.")
    act(endpoint)
    return HttpResponseRedirect(reverse("medblocks_sandbox:index") + "#webhooks", status=303)


def _describe(event: SandboxEvent) -> str:
    """Return what became of ``event``, in words."""
    if event.endpoint is None:
        return "Kept for nobody: no endpoint asked for it."
    answer = f"answered {event.last_status}" if event.last_status else "no answer"
    if event.delivered_at is not None:
        return f"Delivered at attempt {event.attempts}."
    if event.next_attempt_at is not None and not event.attempts:
        return "Is about to be sent."
    if event.next_attempt_at is not None:
        return f"Waits after attempt {event.attempts} of {len(DELAYS)}: {answer}."
    if event.attempts:
        return f"Given up after attempt {event.attempts}: {answer}."
    return "Never sent: its endpoint was disabled."
