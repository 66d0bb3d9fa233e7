"""The body of POST /patient-sessions: read and validated, or refused with an ``ApiError``."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from medblocks_connect.sandbox.endpoint_decorators import MAX_REQUEST_BYTES
from medblocks_connect.sandbox.error_envelope import ApiError, invalid_data
from medblocks_connect.sandbox.fictional_catalog import FictionalFacility, find_facility
from medblocks_connect.sandbox.json_body import parse_object, read_metadata, read_text

MIN_SECONDS = 60
MAX_SECONDS = 86_400
DEFAULT_SECONDS = 1_800
# An app's own scheme is a way back, too: "clinic://return", or "org.clinic.app:/return".
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):.")
_SCHEMES_OF_BROWSERS = {"about", "blob", "data", "file", "javascript", "view-source", "vbscript"}


@dataclass(frozen=True)
class SessionRequest:
    """A validated body. ``patient_email`` and ``patient_name`` are ``None`` where left out."""

    patient_id: str
    return_url: str
    connection_id: str = ""
    recommended_connection_ids: list[str] = field(default_factory=list)
    patient_email: str | None = None
    patient_name: str | None = None
    return_button_label: str = ""
    expires_in: int = DEFAULT_SECONDS
    metadata: dict[str, Any] = field(default_factory=dict)


def read_session_request(body: bytes) -> SessionRequest:
    """Read and validate a body.

    A facility given by its ``fhir_base_url`` is named by its id from here on. Raises
    ``ApiError``: 400 naming the property, 404 for an unknown facility, and what a facility that
    always refuses answers.
    """
    properties = parse_object(body)
    for name in properties:
        if name not in _BODY_READERS:
            raise invalid_data(name, "is not a property of a patient session")
    if "connection_id" in properties and "recommended_connection_ids" in properties:
        raise ApiError(
            "bad_request",
            "Give connection_id or recommended_connection_ids, not both.",
            param="connection_id",
        )
    for name in ("patient_id", "return_url"):
        if name not in properties:
            raise invalid_data(name, "is required")
    values = {name: _BODY_READERS[name](name, value) for name, value in properties.items()}
    return SessionRequest(**values)


def _read_patient_id(name: str, value: Any) -> str:
    return read_text(name, value, 1, 200)


def _read_patient_name(name: str, value: Any) -> str:
    return read_text(name, value, 0, MAX_REQUEST_BYTES)


def _read_label(name: str, value: Any) -> str:
    return read_text(name, value, 1, 60)


def _read_email(name: str, value: Any) -> str:
    text = read_text(name, value, 1, 320)
    try:
        validate_email(text)
    except ValidationError:
        raise invalid_data(name, "must be an email address") from None
    return text


def _read_return_url(name: str, value: Any) -> str:
    text = read_text(name, value, 1, 2_000)
    scheme = _SCHEME.match(text)
    if not scheme or any(character.isspace() or ord(character) < 32 for character in text):
        raise invalid_data(name, "must be an absolute URL")
    if scheme[1].lower() in _SCHEMES_OF_BROWSERS:
        raise invalid_data(name, "must lead to a site or an app")
    try:
        parts = urlsplit(text)
        has_host = bool(parts.hostname)
    except ValueError:
        raise invalid_data(name, "must be an absolute URL") from None
    if parts.scheme in {"http", "https"} and not has_host:
        raise invalid_data(name, "must name a host")
    return text


def _read_expires_in(name: str, value: Any) -> int:
    # To Python true is the integer 1, which the range below refuses; to JSON 60.0 is an integer.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int):
        raise invalid_data(name, "must be an integer")
    if not MIN_SECONDS <= value <= MAX_SECONDS:
        raise invalid_data(name, f"must be {MIN_SECONDS} to {MAX_SECONDS} seconds")
    return value


def _read_facility(name: str, value: Any) -> FictionalFacility:
    facility = find_facility(read_text(name, value, 1, MAX_REQUEST_BYTES))
    if facility is None:
        raise ApiError("resource_not_found", "No such connection.", param=name)
    return facility


def _read_connection_id(name: str, value: Any) -> str:
    facility = _read_facility(name, value)
    if facility.refuses:
        raise ApiError(facility.refuses, f"{facility.name} cannot be connected now.", param=name)
    return facility.id


def _read_recommended(name: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise invalid_data(name, "must be a list of connection ids")
    return [_read_facility(name, identifier).id for identifier in value]


_BODY_READERS: dict[str, Callable[[str, Any], Any]] = {
    "patient_id": _read_patient_id,
    "return_url": _read_return_url,
    "connection_id": _read_connection_id,
    "recommended_connection_ids": _read_recommended,
    "patient_email": _read_email,
    "patient_name": _read_patient_name,
    "return_button_label": _read_label,
    "expires_in": _read_expires_in,
    "metadata": read_metadata,
}
