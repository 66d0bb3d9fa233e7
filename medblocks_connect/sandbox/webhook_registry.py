"""Webhook endpoints: those that the API made, and the one that the settings name.

``WEBHOOK_URL`` and ``WEBHOOK_SECRET`` of ``MEDBLOCKS_SANDBOX`` are an endpoint that is there from
the start. What the API changes about it (another secret, its status, its end) stays until the
settings change: then there is a new one, and the old one is gone.
"""

import hashlib

from django.db.models import Q, QuerySet
from django.utils import timezone

from medblocks_connect.sandbox import conf
from medblocks_connect.sandbox.models import (
    EndpointStatus,
    SandboxEvent,
    SandboxWebhookEndpoint,
)

EVENT_TYPES = (
    "patient_session.completed",
    "connection.token_refresh_failed",
    "records.sync.completed",
    "records.sync.failed",
)
EVERY_TYPE = "*"


def find_webhook_endpoints() -> QuerySet[SandboxWebhookEndpoint]:
    """Return the endpoints that there are; the settings' own is made where it is missing."""
    made_here = Q(settings_key=None) | Q(settings_key=_ensure_settings_endpoint())
    return SandboxWebhookEndpoint.objects.filter(made_here, deleted_at=None)


def find_endpoints_for(event_type: str) -> list[SandboxWebhookEndpoint]:
    """Return the endpoints that an event of this type is kept for."""
    endpoints = find_webhook_endpoints().order_by("pk")
    if not conf.disabled_endpoints_record_events():
        endpoints = endpoints.filter(status=EndpointStatus.ACTIVE)
    return [
        endpoint for endpoint in endpoints if {EVERY_TYPE, event_type}.intersection(endpoint.events)
    ]


def set_endpoint_status(endpoint: SandboxWebhookEndpoint, status: str) -> None:
    """Enable or disable ``endpoint``. What waits for a disabled one is given up, silently."""
    endpoint.status = status
    endpoint.updated_at = timezone.now()
    endpoint.save(update_fields=["status", "updated_at"])
    if status == EndpointStatus.DISABLED:
        SandboxEvent.objects.filter(endpoint=endpoint).update(next_attempt_at=None)


def _ensure_settings_endpoint() -> str:
    """Return the key of the endpoint that the settings name, ``""`` where they name none."""
    url, secret = conf.webhook_url(), conf.webhook_secret()
    if not secret or not conf.is_loopback_url(url):
        return ""
    key = hashlib.sha256(f"{url}\n{secret}".encode()).hexdigest()
    SandboxWebhookEndpoint.objects.get_or_create(
        settings_key=key,
        defaults={
            "url": url,
            "secret": secret,
            "events": [EVERY_TYPE],
            "description": "From MEDBLOCKS_SANDBOX",
        },
    )
    return key
