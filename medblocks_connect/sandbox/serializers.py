"""Serializers: the JSON of each resource, as the Medblocks API writes it."""

from datetime import datetime, timezone
from typing import Any

from django.utils import timezone as django_timezone

from medblocks_connect.sandbox.endpoint_decorators import API_VERSION
from medblocks_connect.sandbox.fictional_catalog import FictionalFacility
from medblocks_connect.sandbox.models import (
    ConnectionStatus,
    SandboxConnection,
    SandboxEvent,
    SandboxPatient,
    SandboxSession,
    SandboxWebhookEndpoint,
)


def serialize_datetime(moment: datetime | None) -> str | None:
    """Return ``moment`` in UTC with milliseconds and a ``Z``.

    A naive moment (a site with ``USE_TZ = False``) is in the site's own time zone.
    """
    if moment is None:
        return None
    return to_utc(moment).isoformat(timespec="milliseconds")[:-6] + "Z"


def to_utc(moment: datetime) -> datetime:
    """Return a stored moment in UTC."""
    if django_timezone.is_naive(moment):
        moment = django_timezone.make_aware(moment, django_timezone.get_default_timezone())
    return moment.astimezone(timezone.utc)


def serialize_facility(facility: FictionalFacility) -> dict[str, Any]:
    """Return a FhirSource."""
    return {
        "id": facility.id,
        "resource_type": "fhir_source",
        "name": facility.name,
        "type": facility.type,
        "fhir_base_url": facility.fhir_base_url,
        "logo_url": facility.logo_url,
        "portal_url": facility.portal_url,
    }


def serialize_connection(connection: SandboxConnection) -> dict[str, Any]:
    """Return a connection as it stands inside a PatientSession.

    The code and the time of a failure are told only while it is failed: of access that was lost
    later, ``updated_at`` and the event tell the time.
    """
    has_failed = connection.status == ConnectionStatus.FAILED
    return {
        "id": connection.conn_id,
        "connection_id": connection.connection_id,
        "status": connection.status,
        "failure_code": connection.failure_code if has_failed else None,
        "failure_at": serialize_datetime(connection.failure_at) if has_failed else None,
        "created_at": serialize_datetime(connection.created_at),
    }


def serialize_session(session: SandboxSession) -> dict[str, Any]:
    """Return a PatientSession, with the status that it has now."""
    return {
        "id": session.session_id,
        "resource_type": "patient_session",
        "status": session.status_at(django_timezone.now()),
        "url": session.url,
        "patient_id": session.patient_id,
        "connection_id": session.connection_id or None,
        "recommended_connection_ids": (
            session.recommended_connection_ids if session.is_hosted else None
        ),
        "return_url": session.return_url,
        "return_button_label": session.return_button_label or None,
        "connections": [
            serialize_connection(connection) for connection in session.connections.order_by("pk")
        ],
        "expires_at": serialize_datetime(session.expires_at),
        "metadata": session.metadata,
        "created_at": serialize_datetime(session.created_at),
    }


def serialize_patient_row(patient: SandboxPatient) -> dict[str, Any]:
    """Return a patient as a list shows it, without connections."""
    return {
        "id": patient.patient_id,
        "resource_type": "patient",
        "email": patient.email or None,
        "name": patient.name or None,
        "metadata": patient.metadata,
        "created_at": serialize_datetime(patient.created_at),
    }


def serialize_patient(patient: SandboxPatient) -> dict[str, Any]:
    """Return a patient with every connection, newest first."""
    connections = patient.connections.select_related("session").order_by("-pk")
    return serialize_patient_row(patient) | {
        "connections": [
            serialize_connection(connection)
            | {
                "resource_type": "connection",
                "patient_session_id": connection.session.session_id,
                "scopes": connection.scopes,
                "updated_at": serialize_datetime(connection.updated_at),
            }
            for connection in connections
        ],
    }


def serialize_webhook_endpoint(endpoint: SandboxWebhookEndpoint) -> dict[str, Any]:
    """Return a WebhookEndpoint, without its secret."""
    return {
        "id": endpoint.endpoint_id,
        "resource_type": "webhook_endpoint",
        "url": endpoint.url,
        "events": endpoint.events,
        "status": endpoint.status,
        "description": endpoint.description or None,
        "metadata": endpoint.metadata,
        "api_version": API_VERSION,
        "created_at": serialize_datetime(endpoint.created_at),
        "updated_at": serialize_datetime(endpoint.updated_at),
    }


def serialize_event(event: SandboxEvent) -> dict[str, Any]:
    """Return a WebhookEvent: what was posted, and what came of it."""
    return {
        "id": event.event_id,
        "resource_type": "event",
        "webhook_endpoint_id": event.endpoint.endpoint_id if event.endpoint else None,
        "type": event.type,
        "data": event.payload["data"],
        "api_version": event.payload["api_version"],
        "attempts": event.attempts,
        "next_attempt_at": serialize_datetime(event.next_attempt_at),
        "delivered_at": serialize_datetime(event.delivered_at),
        "last_status_code": event.last_status,
        "last_response_body": None if event.last_status is None else event.last_response_body,
        "last_redelivered_at": serialize_datetime(event.last_redelivered_at),
        "created_at": serialize_datetime(event.created_at),
    }
