"""Webhook events as Medblocks sends them, and the sending."""

from __future__ import annotations

import json
import time
from typing import Any

from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from medblocks_connect.api import sign
from medblocks_connect.sandbox.models import SandboxConnection, SandboxSession
from medblocks_connect.sandbox.serializers import (
    serialize_connection,
    serialize_datetime,
    serialize_session,
)

SECRET = "whsec_of_the_clinic"
WEBHOOK = "/records/webhook/"


def event(kind: str, about: Any, event_id: str = "evt_1", **other: Any) -> dict[str, Any]:
    return {
        "id": event_id,
        "object": "event",
        "type": kind,
        "api_version": "2026-04-25",
        "created_at": "2026-11-01T10:00:00.000Z",
        "data": {"object": about},
        **other,
    }


def completed(session: SandboxSession, event_id: str = "evt_done") -> dict[str, Any]:
    return event("patient_session.completed", serialize_session(session), event_id)


def lost(connection: SandboxConnection, event_id: str = "evt_lost") -> dict[str, Any]:
    about = serialize_connection(connection) | {
        "status": "refresh_failed",
        "failure_code": "token_unavailable",
        "failure_at": serialize_datetime(timezone.now()),
    }
    return event("connection.token_refresh_failed", about, event_id)


def synced(connection: SandboxConnection, event_id: str = "evt_sync") -> dict[str, Any]:
    about = {
        "resource_type": "records_sync",
        "patient_id": connection.patient_id,
        "connection_id": connection.connection_id,
        "total": 128,
        "errors": 0,
        "duration_ms": 4200,
    }
    return event("records.sync.completed", about, event_id)


def sign_now(body: bytes, secret: str = SECRET) -> str:
    return sign(body, secret, int(time.time()))


def post_event(
    client: Client, event: Any, *, signature: str | None = None, path: str = WEBHOOK, **extra: Any
) -> HttpResponse:
    """Post ``event`` (an object, or the bytes of one) with a good signature or the one given."""
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    header = sign_now(body) if signature is None else signature
    headers = {"Medblocks-Signature": header, **extra.pop("headers", {})}
    return client.post(path, body, content_type="application/json", headers=headers, **extra)
