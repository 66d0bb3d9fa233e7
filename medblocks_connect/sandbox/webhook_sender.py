"""Webhooks: store an event with the change it reports, and send it after the commit."""

import json
import threading
import time
from typing import Any

import requests
from django.db import connections, transaction
from django.db.models import F
from django.utils import timezone

from medblocks_connect.api.webhook_signatures import sign
from medblocks_connect.sandbox import conf
from medblocks_connect.sandbox.endpoint_decorators import API_VERSION
from medblocks_connect.sandbox.models import SandboxEvent, new_event_id
from medblocks_connect.sandbox.serializers import serialize_datetime

TIMEOUT = 5.0  # seconds: as long as Medblocks waits for a receiver


def record_event(event_type: str, resource: dict[str, Any]) -> SandboxEvent:
    """Store an event; send it in the background after the commit, where a receiver is set."""
    event_id = new_event_id()
    now = timezone.now()
    event: SandboxEvent = SandboxEvent.objects.create(
        event_id=event_id,
        type=event_type,
        created_at=now,
        payload={
            "id": event_id,
            "object": "event",
            "type": event_type,
            "api_version": API_VERSION,
            "created_at": serialize_datetime(now),
            "data": {"object": resource},
        },
    )
    if has_receiver():
        transaction.on_commit(lambda: _send_in_background(event))
    return event


def has_receiver() -> bool:
    """Return whether there is a receiver on this machine, and a secret to sign with."""
    return bool(conf.webhook_secret()) and conf.is_loopback_url(conf.webhook_url())


def send_event(event: SandboxEvent) -> bool:
    """Post ``event`` to the receiver and record the answer; return whether it was 2xx.

    Call it outside a transaction: it waits up to five seconds for the receiver.
    """
    status = _post(event_body(event)) if has_receiver() else None
    answered = status is not None and 200 <= status < 300
    changes: dict[str, Any] = {"attempts": F("attempts") + 1, "last_status": status}
    if answered:
        changes["delivered_at"] = timezone.now()
    SandboxEvent.objects.filter(pk=event.pk).update(**changes)
    return answered


def event_body(event: SandboxEvent) -> bytes:
    """Return the bytes that are signed and sent: the same at every sending, on every database."""
    return json.dumps(event.payload, sort_keys=True, separators=(",", ":")).encode()


def _post(body: bytes) -> int | None:
    signature = sign(body, conf.webhook_secret(), int(time.time()))
    headers = {"Content-Type": "application/json", "Medblocks-Signature": signature}
    with requests.Session() as http:
        http.trust_env = False  # a proxy of the environment would lead off this machine
        try:
            return http.post(
                conf.webhook_url(),
                data=body,
                headers=headers,
                timeout=TIMEOUT,
                allow_redirects=False,
            ).status_code
        except requests.RequestException:
            return None


def _send_in_background(event: SandboxEvent) -> None:
    name = f"webhook {event.event_id}"
    threading.Thread(target=_send_and_close, args=[event], name=name, daemon=True).start()


def _send_and_close(event: SandboxEvent) -> None:
    try:
        send_event(event)
    finally:
        connections.close_all()
