"""The bodies of POST /webhooks and PATCH /webhooks/{id}: read and validated, or refused."""

from collections.abc import Callable
from typing import Any

from medblocks_connect.sandbox import conf
from medblocks_connect.sandbox.error_envelope import invalid_data
from medblocks_connect.sandbox.json_body import parse_object, read_metadata, read_text
from medblocks_connect.sandbox.models import EndpointStatus
from medblocks_connect.sandbox.webhook_registry import EVENT_TYPES, EVERY_TYPE

MAX_METADATA_KEYS = 50


def read_webhook_request(body: bytes) -> dict[str, Any]:
    """Return the fields of a new endpoint. Raises ``ApiError`` 400 naming the property."""
    properties = parse_object(body)
    for name in ("url", "events"):
        if name not in properties:
            raise invalid_data(name, "is required")
    fields = _read(properties, _READERS)
    if len(fields.get("metadata", ())) > MAX_METADATA_KEYS:
        raise invalid_data("metadata", f"must have at most {MAX_METADATA_KEYS} keys")
    return fields


def read_webhook_changes(body: bytes) -> dict[str, Any]:
    """Return the fields of an endpoint that change. Raises ``ApiError`` 400."""
    properties = parse_object(body) if body else {}
    return _read(
        properties, _READERS | {"description": _read_new_description, "status": _read_status}
    )


def _read(
    properties: dict[str, Any], readers: dict[str, Callable[[str, Any], Any]]
) -> dict[str, Any]:
    # Other properties are not refused by the contract, and say nothing.
    return {
        name: readers[name](name, value) for name, value in properties.items() if name in readers
    }


def _read_url(name: str, value: Any) -> str:
    url = read_text(name, value, 1, 2_000)
    if any(character.isspace() or ord(character) < 32 for character in url):
        raise invalid_data(name, "must be a URL")
    if not url.lower().startswith("https://") and not conf.is_loopback_url(url):
        raise invalid_data(name, "must be an https URL; http is for this machine only")
    return url


def _read_events(name: str, value: Any) -> list[str]:
    allowed = (EVERY_TYPE, *EVENT_TYPES)
    if not isinstance(value, list) or not 1 <= len(value) <= len(allowed):
        raise invalid_data(name, f"must be a list of 1 to {len(allowed)} types")
    if not all(event_type in allowed for event_type in value):
        raise invalid_data(name, f"must be of {', '.join(allowed)}")
    return value


def _read_description(name: str, value: Any) -> str:
    return read_text(name, value, 0, 500)


def _read_new_description(name: str, value: Any) -> str:
    return "" if value is None else _read_description(name, value)


def _read_status(name: str, value: Any) -> str:
    if value not in EndpointStatus.values:
        raise invalid_data(name, f"must be one of {', '.join(EndpointStatus.values)}")
    return str(value)


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "url": _read_url,
    "events": _read_events,
    "description": _read_description,
    "metadata": read_metadata,
}
