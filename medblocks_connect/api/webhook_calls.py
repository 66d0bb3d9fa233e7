"""The calls about webhook endpoints, their events, and sending an event once more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final
from urllib.parse import urlsplit

from medblocks_connect.api.errors import without_frames
from medblocks_connect.api.lists import build_page_query, iterate_pages
from medblocks_connect.api.parameters import check_ids, dump_body
from medblocks_connect.api.resources import Deleted, Page, expect_id
from medblocks_connect.api.transport import Call, Transport
from medblocks_connect.api.validation import is_token
from medblocks_connect.api.webhook_resources import (
    MAX_DESCRIPTION_LENGTH,
    WebhookEndpoint,
    WebhookEndpointWithSecret,
    WebhookEvent,
)

ALL_EVENTS: Final = ("*",)
"""Every type of event, those of later versions too."""

_MAX_EVENTS: Final = 5
_MAX_METADATA: Final = 50  # properties
_NOUN: Final = "webhook endpoint"
_STATUSES: Final = ("active", "disabled")


class WebhookEndpoints:
    """The endpoints that Medblocks sends the workspace's events to: ``/webhooks``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @without_frames
    def list(
        self,
        *,
        status: str = "",
        limit: int = 20,
        starting_after: str = "",
        timeout: float | None = None,
    ) -> Page[WebhookEndpoint]:
        """Return one page of endpoints; ``status`` is ``"active"``, ``"disabled"`` or ``""``."""
        query = build_page_query(limit, starting_after, status=status)
        call = Call("GET", "/webhooks", query=query, timeout=timeout)
        return self._transport.call(
            call, lambda payload: Page.from_json(payload, WebhookEndpoint.from_json)
        )

    def iterate(
        self, *, status: str = "", limit: int = 100, timeout: float | None = None
    ) -> Iterator[WebhookEndpoint]:
        """Return all endpoints, asking for each page of ``limit`` when it is needed."""
        return iterate_pages(
            lambda cursor: self.list(
                status=status, limit=limit, starting_after=cursor, timeout=timeout
            )
        )

    @without_frames
    def create(
        self,
        *,
        url: str,
        events: Sequence[str] = ALL_EVENTS,
        description: str = "",
        metadata: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> WebhookEndpointWithSecret:
        """Register an endpoint and return it with its secret, which is told this once.

        ``url`` is https (http for ``localhost`` alone), ``events`` are 1 to 5 types,
        ``description`` has at most 500 characters, ``metadata`` at most 50 properties. Never sent
        twice without an answer. Medblocks takes a URL that it has already: look with ``iterate``.
        """
        parameters = {
            "url": url,
            "events": events,
            "description": description or None,
            "metadata": metadata or None,
        }
        call = Call("POST", "/webhooks", body=_build_body(parameters), timeout=timeout)
        return self._transport.call(call, WebhookEndpointWithSecret.from_json)

    @without_frames
    def retrieve(
        self, webhook_endpoint_id: str, *, timeout: float | None = None
    ) -> WebhookEndpoint:
        """Return one endpoint as Medblocks has it now."""
        read = expect_id(WebhookEndpoint.from_json, webhook_endpoint_id, _NOUN)
        return self._transport.call(_call("GET", webhook_endpoint_id, timeout), read)

    @without_frames
    def update(
        self,
        webhook_endpoint_id: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        status: str | None = None,
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> WebhookEndpoint:
        """Change an endpoint and return it; what is ``None`` stays as it is.

        ``status="active"`` enables one that Medblocks disabled; ``description=""`` takes it away.
        """
        parameters = {
            "url": url,
            "events": events,
            "status": status,
            "description": description,
            "metadata": metadata,
        }
        call = _call("PATCH", webhook_endpoint_id, timeout, body=_build_body(parameters))
        return self._transport.call(
            call, expect_id(WebhookEndpoint.from_json, webhook_endpoint_id, _NOUN)
        )

    @without_frames
    def delete(self, webhook_endpoint_id: str, *, timeout: float | None = None) -> Deleted:
        """Delete an endpoint: no event is sent to it any more."""
        read = expect_id(partial(Deleted.from_json, noun=_NOUN), webhook_endpoint_id, _NOUN)
        return self._transport.call(_call("DELETE", webhook_endpoint_id, timeout), read)

    @without_frames
    def rotate_secret(
        self, webhook_endpoint_id: str, *, timeout: float | None = None
    ) -> WebhookEndpointWithSecret:
        """Give an endpoint a new secret, which is told this once; the old one is dead at once.

        After a ``NoAnswerError`` the old one may be dead already: rotate once more.
        """
        read = expect_id(WebhookEndpointWithSecret.from_json, webhook_endpoint_id, _NOUN)
        call = _call("POST", webhook_endpoint_id, timeout, below="/rotate-secret")
        return self._transport.call(call, read)

    @without_frames
    def list_events(
        self,
        webhook_endpoint_id: str,
        *,
        delivered: bool | None = None,
        limit: int = 20,
        starting_after: str = "",
        timeout: float | None = None,
    ) -> Page[WebhookEvent]:
        """Return one page of an endpoint's events: delivered, not delivered, or with None all.

        An item that cannot be read is left out and counted in the page's ``unreadable``.
        """
        is_delivered = "" if delivered is None else str(bool(delivered)).lower()
        query = build_page_query(limit, starting_after, delivered=is_delivered)
        call = _call("GET", webhook_endpoint_id, timeout, below="/events", query=query)

        def read(payload: object) -> Page[WebhookEvent]:
            return Page.from_json(payload, WebhookEvent.from_json, leaves_out_unreadable=True)

        return self._transport.call(call, read)

    def iterate_events(
        self,
        webhook_endpoint_id: str,
        *,
        delivered: bool | None = None,
        limit: int = 100,
        timeout: float | None = None,
    ) -> Iterator[WebhookEvent]:
        """Return all of an endpoint's events, asking for each page when it is needed."""
        return iterate_pages(
            lambda cursor: self.list_events(
                webhook_endpoint_id,
                delivered=delivered,
                limit=limit,
                starting_after=cursor,
                timeout=timeout,
            )
        )


class Events:
    """The events that Medblocks has sent or will send: ``/events``."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @without_frames
    def redeliver(self, event_id: str, *, timeout: float | None = None) -> WebhookEvent:
        """Have an event (``evt_…``) sent once more, under the same id.

        Once a minute per event; sooner is a ``RateLimitError``.
        """
        call = Call(
            "POST", "/events/{event_id}/redeliver", ids={"event_id": event_id}, timeout=timeout
        )
        return self._transport.call(call, expect_id(WebhookEvent.from_json, event_id, "event"))


def _call(
    method: str,
    webhook_endpoint_id: str,
    timeout: float | None,
    *,
    below: str = "",
    query: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Call:
    ids = {"webhook_endpoint_id": webhook_endpoint_id}
    template = "/webhooks/{webhook_endpoint_id}" + below
    return Call(method, template, ids=ids, query=query or {}, body=body, timeout=timeout)


def _build_body(parameters: Mapping[str, Any]) -> bytes:
    """Return the JSON of what is given; raises ``ValueError`` for what Medblocks cannot take."""
    body = {name: value for name, value in parameters.items() if value is not None}
    if not body:
        raise ValueError("Name something to change.")
    if "url" in body and not _is_endpoint_url(body["url"]):
        raise ValueError("url must be an https URL; http is for localhost alone.")
    if "events" in body:
        body["events"] = check_ids("events", body["events"])
        if not 1 <= len(body["events"]) <= _MAX_EVENTS:
            raise ValueError("events must be 1 to 5 types.")
    if body.get("status", "active") not in _STATUSES:
        raise ValueError("status must be 'active' or 'disabled'.")
    if len(body.get("description", "")) > MAX_DESCRIPTION_LENGTH:
        raise ValueError("description must be at most 500 characters.")
    if len(body.get("metadata", ())) > _MAX_METADATA:
        raise ValueError("metadata must have at most 50 properties.")
    if body.get("description") == "":
        body["description"] = None
    return dump_body(body)


def _is_endpoint_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return False
    return (
        is_token(url)
        and bool(host)
        and (parts.scheme == "https" or (parts.scheme, host) == ("http", "localhost"))
    )
