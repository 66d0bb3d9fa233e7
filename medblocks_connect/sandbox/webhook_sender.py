"""Webhooks: store an event with the change it reports, send it after the commit, and try again.

An event is tried nine times. Only the first try comes by itself: nothing here waits for days, so
the later ones are made by ``send_waiting``. After the ninth its endpoint is disabled, and nobody
is told.
"""

import json
import threading
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import requests
from django.db import connections, transaction
from django.db.models import F, Q
from django.utils import timezone

from medblocks_connect.api.webhook_signatures import sign
from medblocks_connect.sandbox import conf
from medblocks_connect.sandbox.endpoint_decorators import API_VERSION
from medblocks_connect.sandbox.models import (
    EndpointStatus,
    SandboxEvent,
    SandboxWebhookEndpoint,
    new_event_id,
)
from medblocks_connect.sandbox.serializers import serialize_datetime
from medblocks_connect.sandbox.webhook_registry import (
    find_endpoints_for,
    find_webhook_endpoints,
    set_endpoint_status,
)

TIMEOUT = 5.0  # seconds: as long as Medblocks waits for a receiver
DELAYS = (0, 60, 300, 1_800, 7_200, 43_200, 86_400, 86_400, 86_400)  # seconds before each attempt
SECONDS_BETWEEN_REDELIVERIES = 60
MAX_KEPT_BYTES = 4_096  # of a receiver's answer


class EndpointDisabled(Exception):  # noqa: N818 - a state, not an error of the caller
    """The event's endpoint takes nothing until it is enabled."""


class RedeliveredTooSoon(Exception):  # noqa: N818 - a state, not an error of the caller
    """The event was redelivered less than a minute ago; ``seconds`` are left."""

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.seconds = seconds


@dataclass(frozen=True)
class _Answer:
    """A receiver's answer; ``status`` is ``None`` where none came."""

    status: int | None = None
    body: str = ""

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def record_event(event_type: str, resource: dict[str, Any]) -> SandboxEvent:
    """Store an event for each endpoint that asked for its type; send it after the commit.

    It is stored where none did, too. Returns the first endpoint's.
    """
    now = timezone.now()
    receivers: list[SandboxWebhookEndpoint | None] = [*find_endpoints_for(event_type)] or [None]
    events = [_store_event(event_type, resource, endpoint, now) for endpoint in receivers]
    for event in events:
        if event.next_attempt_at is not None:
            transaction.on_commit(partial(_send_in_background, event))
    return events[0]


def _store_event(
    event_type: str,
    resource: dict[str, Any],
    endpoint: SandboxWebhookEndpoint | None,
    now: datetime,
) -> SandboxEvent:
    is_awaited = endpoint is not None and endpoint.status == EndpointStatus.ACTIVE
    event_id = new_event_id()
    event: SandboxEvent = SandboxEvent.objects.create(
        event_id=event_id,
        endpoint=endpoint,
        type=event_type,
        created_at=now,
        next_attempt_at=now if is_awaited else None,
        payload={
            "id": event_id,
            "object": "event",
            "type": event_type,
            "api_version": API_VERSION,
            "created_at": serialize_datetime(now),
            "data": {"object": resource},
        },
    )
    return event


def send_event(event: SandboxEvent) -> bool:
    """Post ``event`` to its endpoint and record the answer; return whether it was 2xx.

    Call it outside a transaction: it waits up to five seconds for the receiver. Nothing is sent
    where the endpoint is disabled or gone.
    """
    endpoint = find_webhook_endpoints().filter(sandbox_events=event).first()
    if endpoint is None or endpoint.status == EndpointStatus.DISABLED:
        return False
    answer = _post(endpoint, event_body(event))
    with transaction.atomic():
        _record_answer(event, endpoint, answer)
    return answer.is_success


def send_waiting(
    *, endpoint: SandboxWebhookEndpoint | None = None, due_at: datetime | None = None
) -> list[bool]:
    """Send what waits for its next attempt, oldest first; return which were answered with 2xx.

    Without ``due_at`` every wait is taken as over.
    """
    waiting = SandboxEvent.objects.filter(next_attempt_at__isnull=False)
    if endpoint is not None:
        waiting = waiting.filter(endpoint=endpoint)
    if due_at is not None:
        waiting = waiting.filter(next_attempt_at__lte=due_at)
    return [send_event(event) for event in waiting.order_by("pk")]


def send_until_given_up(endpoint: SandboxWebhookEndpoint) -> None:
    """Send what waits for ``endpoint`` until it is delivered or given up, as in days."""
    for _attempt in DELAYS:
        if not send_waiting(endpoint=endpoint):
            return


def redeliver(event: SandboxEvent) -> None:
    """Send ``event`` once more, with the same id, whatever became of it.

    Raises ``EndpointDisabled`` and ``RedeliveredTooSoon``.
    """
    endpoint = find_webhook_endpoints().get(sandbox_events=event)
    if endpoint.status == EndpointStatus.DISABLED:
        raise EndpointDisabled
    now = timezone.now()
    pause = timedelta(seconds=SECONDS_BETWEEN_REDELIVERIES)
    is_rested = Q(last_redelivered_at=None) | Q(last_redelivered_at__lte=now - pause)
    if not SandboxEvent.objects.filter(is_rested, pk=event.pk).update(last_redelivered_at=now):
        event.refresh_from_db()
        left = event.last_redelivered_at + pause - now if event.last_redelivered_at else pause
        raise RedeliveredTooSoon(max(1, round(left.total_seconds())))
    send_event(event)
    event.refresh_from_db()


def event_body(event: SandboxEvent) -> bytes:
    """Return the bytes that are signed and sent: the same at every sending, on every database."""
    return json.dumps(event.payload, sort_keys=True, separators=(",", ":")).encode()


def _record_answer(event: SandboxEvent, endpoint: SandboxWebhookEndpoint, answer: _Answer) -> None:
    now = timezone.now()
    changes: dict[str, Any] = {
        "attempts": F("attempts") + 1,
        "last_status": answer.status,
        "last_response_body": answer.body,
    }
    if answer.is_success:
        changes |= {"delivered_at": now, "next_attempt_at": None}
    SandboxEvent.objects.filter(pk=event.pk).update(**changes)
    event.refresh_from_db()
    if event.next_attempt_at is None:
        return  # delivered, or given up before this redelivery
    if event.attempts < len(DELAYS):
        event.next_attempt_at = now + timedelta(seconds=DELAYS[event.attempts])
        event.save(update_fields=["next_attempt_at"])
    else:
        set_endpoint_status(endpoint, EndpointStatus.DISABLED)


def _post(endpoint: SandboxWebhookEndpoint, body: bytes) -> _Answer:
    if endpoint.fails_deliveries:
        return _Answer(503, "The sandbox was told to let deliveries to this endpoint fail.")
    if not conf.is_loopback_url(endpoint.url):
        return _Answer()  # make-believe events stay on this machine
    signature = sign(body, endpoint.secret, int(time.time()))
    headers = {"Content-Type": "application/json", "Medblocks-Signature": signature}
    with requests.Session() as http:
        http.trust_env = False  # a proxy of the environment would lead off this machine
        try:
            with http.post(
                endpoint.url,
                data=body,
                headers=headers,
                timeout=TIMEOUT,
                allow_redirects=False,
                stream=True,
            ) as response:
                return _Answer(response.status_code, _read_start(response))
        except requests.RequestException:
            return _Answer()


def _read_start(response: requests.Response) -> str:
    start: bytes = next(response.iter_content(MAX_KEPT_BYTES), b"")
    # PostgreSQL keeps no NUL.
    return start.decode("utf-8", errors="replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _send_in_background(event: SandboxEvent) -> None:
    name = f"webhook {event.event_id}"
    threading.Thread(target=_send_and_close, args=[event], name=name, daemon=True).start()


def _send_and_close(event: SandboxEvent) -> None:
    try:
        send_event(event)
    finally:
        connections.close_all()
