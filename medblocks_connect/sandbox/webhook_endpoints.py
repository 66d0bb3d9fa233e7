"""The API's operations on webhook endpoints and their events."""

from typing import Any

from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone

from medblocks_connect.sandbox.endpoint_decorators import endpoint
from medblocks_connect.sandbox.error_envelope import ApiError, invalid_data, not_found
from medblocks_connect.sandbox.models import (
    EndpointStatus,
    Operation,
    SandboxEvent,
    SandboxWebhookEndpoint,
    make_storable,
    new_secret,
)
from medblocks_connect.sandbox.pagination import (
    list_newest_first,
    read_page_request,
    read_parameters,
)
from medblocks_connect.sandbox.serializers import serialize_event, serialize_webhook_endpoint
from medblocks_connect.sandbox.webhook_registry import (
    find_webhook_endpoints,
    set_endpoint_status,
)
from medblocks_connect.sandbox.webhook_request import read_webhook_changes, read_webhook_request
from medblocks_connect.sandbox.webhook_sender import (
    EndpointDisabled,
    RedeliveredTooSoon,
    redeliver,
)


@endpoint("POST", Operation.CREATE_WEBHOOK)
def create_webhook(request: HttpRequest) -> dict[str, Any]:
    """POST /webhooks: the one answer with the secret, but for a rotation's."""
    now = timezone.now()
    webhook: SandboxWebhookEndpoint = SandboxWebhookEndpoint.objects.create(
        created_at=now, updated_at=now, **read_webhook_request(request.body)
    )
    return _serialize_with_secret(webhook)


@endpoint("GET", Operation.LIST_WEBHOOKS)
def list_webhooks(request: HttpRequest) -> dict[str, Any]:
    """GET /webhooks, newest first."""
    query = read_parameters(request.GET, "status", "limit", "starting_after")
    page = read_page_request(query)
    wanted = Q()
    if "status" in query:
        if query["status"] not in EndpointStatus.values:
            raise invalid_data("status", f"must be one of {', '.join(EndpointStatus.values)}")
        wanted = Q(status=query["status"])
    return list_newest_first(
        find_webhook_endpoints(), page, "endpoint_id", serialize_webhook_endpoint, wanted=wanted
    )


@endpoint("GET", Operation.GET_WEBHOOK)
def get_webhook(_request: HttpRequest, endpoint_id: str) -> dict[str, Any]:
    """GET /webhooks/{id}."""
    return serialize_webhook_endpoint(_get_webhook(endpoint_id))


@endpoint("PATCH", Operation.UPDATE_WEBHOOK)
def update_webhook(request: HttpRequest, endpoint_id: str) -> dict[str, Any]:
    """PATCH /webhooks/{id}: what is left out stays."""
    webhook = _get_webhook(endpoint_id)
    changes = read_webhook_changes(request.body)
    status = changes.pop("status", webhook.status)
    for name, value in changes.items():
        setattr(webhook, name, value)
    webhook.save(update_fields=list(changes))
    set_endpoint_status(webhook, status)
    return serialize_webhook_endpoint(webhook)


@endpoint("DELETE", Operation.DELETE_WEBHOOK)
def delete_webhook(_request: HttpRequest, endpoint_id: str) -> dict[str, Any]:
    """DELETE /webhooks/{id}."""
    webhook = _get_webhook(endpoint_id)
    webhook.deleted_at = timezone.now()
    webhook.save(update_fields=["deleted_at"])
    return {"id": webhook.endpoint_id, "resource_type": "webhook_endpoint", "deleted": True}


@endpoint("POST", Operation.ROTATE_WEBHOOK)
def rotate_webhook_secret(_request: HttpRequest, endpoint_id: str) -> dict[str, Any]:
    """POST /webhooks/{id}/rotate-secret: the old secret is dead at once."""
    webhook = _get_webhook(endpoint_id)
    webhook.secret = new_secret()
    webhook.updated_at = timezone.now()
    webhook.save(update_fields=["secret", "updated_at"])
    return _serialize_with_secret(webhook)


@endpoint("GET", Operation.LIST_WEBHOOK_EVENTS)
def list_webhook_events(request: HttpRequest, endpoint_id: str) -> dict[str, Any]:
    """GET /webhooks/{id}/events, newest first."""
    query = read_parameters(request.GET, "delivered", "limit", "starting_after")
    page = read_page_request(query)
    wanted = Q()
    if "delivered" in query:
        if query["delivered"] not in {"true", "false"}:
            raise invalid_data("delivered", "must be true or false")
        wanted = Q(delivered_at__isnull=query["delivered"] == "false")
    events = SandboxEvent.objects.filter(endpoint=_get_webhook(endpoint_id))
    return list_newest_first(
        events.select_related("endpoint"), page, "event_id", serialize_event, wanted=wanted
    )


@endpoint("POST", Operation.REDELIVER_EVENT)
def redeliver_event(_request: HttpRequest, event_id: str) -> dict[str, Any]:
    """POST /events/{id}/redeliver: send it now, and answer with what came of it."""
    event = (
        SandboxEvent.objects.select_related("endpoint")
        .filter(endpoint__in=find_webhook_endpoints(), event_id=make_storable(event_id))
        .first()
    )
    if event is None:
        raise not_found("event")
    try:
        redeliver(event)
    except EndpointDisabled:
        raise ApiError("resource_conflict", "The event's endpoint is disabled.") from None
    except RedeliveredTooSoon as error:
        raise ApiError(
            "throttled", "An event is redelivered once a minute.", retry_after=error.seconds
        ) from None
    return serialize_event(event)


def _get_webhook(endpoint_id: str) -> SandboxWebhookEndpoint:
    webhook = find_webhook_endpoints().filter(endpoint_id=make_storable(endpoint_id)).first()
    if webhook is None:
        raise not_found("webhook endpoint")
    return webhook


def _serialize_with_secret(webhook: SandboxWebhookEndpoint) -> dict[str, Any]:
    return serialize_webhook_endpoint(webhook) | {"secret": webhook.secret}
