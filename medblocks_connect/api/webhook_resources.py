"""Webhook endpoints and their events in Python, by the rules of :mod:`resources`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from medblocks_connect.api.json_fields import (
    MAX_CODE_LENGTH,
    MAX_SHORT_ID_LENGTH,
    MAX_STATUS_LENGTH,
    MAX_TYPE_LENGTH,
    Fields,
)
from medblocks_connect.api.redaction import Secret

MAX_DESCRIPTION_LENGTH: Final = 500
_MAX_RESPONSE_LENGTH: Final = 4096  # what Medblocks keeps of an answer, in bytes


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """An endpoint that Medblocks sends events to.

    ``events`` are types of events, or ``"*"`` for all; ``status`` is ``"active"`` or
    ``"disabled"``, which Medblocks makes it after nine failed deliveries, without a word.
    """

    id: str
    url: str
    events: tuple[str, ...]
    status: str
    description: str
    metadata: Mapping[str, Any] = field(repr=False, hash=False)
    api_version: str
    created_at: datetime | None
    updated_at: datetime | None

    @classmethod
    def from_json(cls, payload: object) -> WebhookEndpoint:
        """Read an item of ``GET /webhooks``; raises ``UnexpectedReplyError``."""
        return cls(**_read_endpoint(Fields(payload, "webhook endpoint")))


def _read_endpoint(fields: Fields) -> dict[str, Any]:
    return {
        "id": fields.required_id("id", MAX_SHORT_ID_LENGTH),
        "url": fields.url("url"),
        "events": fields.texts("events", MAX_CODE_LENGTH),
        "status": fields.required_text("status", MAX_STATUS_LENGTH),
        "description": fields.text("description", MAX_DESCRIPTION_LENGTH),
        "metadata": fields.metadata("metadata"),
        "api_version": fields.text("api_version", MAX_TYPE_LENGTH),
        "created_at": fields.moment("created_at"),
        "updated_at": fields.moment("updated_at"),
    }


@dataclass(frozen=True, slots=True)
class WebhookEndpointWithSecret(WebhookEndpoint):
    """An endpoint with its secret, which Medblocks tells this once.

    ``secret`` shows a mask wherever it is printed; ``secret.reveal()`` is the text.
    """

    secret: Secret

    @classmethod
    def from_json(cls, payload: object) -> WebhookEndpointWithSecret:
        """Read the answer to a creation or a rotation; raises ``UnexpectedReplyError``."""
        fields = Fields(payload, "webhook endpoint")
        secret = Secret(fields.required_id("secret"))
        return cls(**_read_endpoint(fields), secret=secret)


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """An event, and how its delivery to one endpoint goes.

    ``data`` is the event's own, as it came: it may name a patient or hold a session's url.
    ``attempts`` and ``last_status_code`` are ``None`` where Medblocks gives no count;
    ``delivered_at`` is ``None`` until it was delivered, ``next_attempt_at`` where none is due.
    """

    id: str
    webhook_endpoint_id: str
    type: str
    data: Mapping[str, Any] = field(repr=False, hash=False)
    api_version: str
    attempts: int | None
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    last_status_code: int | None
    last_response_body: str = field(repr=False)
    last_redelivered_at: datetime | None
    created_at: datetime | None

    @classmethod
    def from_json(cls, payload: object) -> WebhookEvent:
        """Read an item of ``GET /webhooks/{id}/events``; raises ``UnexpectedReplyError``."""
        fields = Fields(payload, "event")
        return cls(
            id=fields.required_id("id", MAX_SHORT_ID_LENGTH),
            webhook_endpoint_id=fields.optional_id("webhook_endpoint_id", MAX_SHORT_ID_LENGTH),
            type=fields.required_text("type", MAX_CODE_LENGTH),
            data=fields.required_object("data"),
            api_version=fields.text("api_version", MAX_TYPE_LENGTH),
            attempts=fields.count("attempts"),
            next_attempt_at=fields.moment("next_attempt_at"),
            delivered_at=fields.moment("delivered_at"),
            last_status_code=fields.count("last_status_code"),
            last_response_body=fields.text("last_response_body", _MAX_RESPONSE_LENGTH),
            last_redelivered_at=fields.moment("last_redelivered_at"),
            created_at=fields.moment("created_at"),
        )
