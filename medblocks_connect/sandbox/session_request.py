"""What a caller may ask of POST /patient-sessions, and how it is refused."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from medblocks_connect.sandbox.error_envelope import ApiError, invalid_data
from medblocks_connect.sandbox.fictional_catalog import Facility, find_facility

SHORTEST_SECONDS = 60
LONGEST_SECONDS = 86_400
USUAL_SECONDS = 1_800


@dataclass(frozen=True)
class SessionRequest:
    """A checked body. ``patient_email`` and ``patient_name`` are ``None`` where none was given."""

    patient_id: str
    return_url: str
    connection_id: str = ""
    recommended_connection_ids: list[str] = field(default_factory=list)
    patient_email: str | None = None
    patient_name: str | None = None
    return_button_label: str = ""
    expires_in: int = USUAL_SECONDS
    metadata: dict[str, Any] = field(default_factory=dict)


def read_session_request(body: bytes) -> SessionRequest:
    """Read and check a body.

    A facility given by its ``fhir_base_url`` is named by its id from here on. Raises
    ``ApiError``: 400 naming the property, 404 for an unknown facility, and what a facility that
    always refuses answers.
    """
    given = _read_object(body)
    for name in given:
        if name not in _READERS:
            raise invalid_data(name, "is not a property of a patient session")
    if "connection_id" in given and "recommended_connection_ids" in given:
        raise ApiError(
            "bad_request",
            "Give connection_id or recommended_connection_ids, not both.",
            param="connection_id",
        )
    for name in ("patient_id", "return_url"):
        if name not in given:
            raise invalid_data(name, "is required")
    return SessionRequest(**{name: _READERS[name](name, value) for name, value in given.items()})


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        given = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
        _refuse_unstorable(given)
    except (ValueError, RecursionError) as error:
        raise ApiError("bad_request", "The body is not valid JSON.") from error
    if not isinstance(given, dict):
        raise ApiError("bad_request", "The body is not a JSON object.")
    return given


def _refuse_constant(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise ValueError(message)


def _refuse_unstorable(value: Any) -> None:
    # No database keeps a lone surrogate, and PostgreSQL keeps no NUL.
    if isinstance(value, str):
        if "\x00" in value:
            raise ValueError("NUL in a string")
        value.encode("utf-8")
    elif isinstance(value, dict):
        for name, inner in value.items():
            _refuse_unstorable(name)
            _refuse_unstorable(inner)
    elif isinstance(value, list):
        for inner in value:
            _refuse_unstorable(inner)


def _text(name: str, value: Any, shortest: int, longest: int) -> str:
    if not isinstance(value, str):
        raise invalid_data(name, "must be a string")
    if not shortest <= len(value) <= longest:
        raise invalid_data(name, f"must have {shortest} to {longest} characters")
    return value


def _patient_id(name: str, value: Any) -> str:
    return _text(name, value, 1, 200)


def _patient_name(name: str, value: Any) -> str:
    return _text(name, value, 0, 500)


def _label(name: str, value: Any) -> str:
    return _text(name, value, 1, 60)


def _email(name: str, value: Any) -> str:
    text = _text(name, value, 1, 320)
    try:
        validate_email(text)
    except ValidationError:
        raise invalid_data(name, "must be an email address") from None
    return text


def _return_url(name: str, value: Any) -> str:
    text = _text(name, value, 1, 2_000)
    try:
        parts = urlsplit(text)
        absolute = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        absolute = False
    if not absolute or any(character.isspace() or ord(character) < 32 for character in text):
        raise invalid_data(name, "must be an absolute http or https URL")
    return text


def _expires_in(name: str, value: Any) -> int:
    # To Python true is the integer 1, which the range below refuses.
    if not isinstance(value, int):
        raise invalid_data(name, "must be an integer")
    if not SHORTEST_SECONDS <= value <= LONGEST_SECONDS:
        raise invalid_data(name, f"must be {SHORTEST_SECONDS} to {LONGEST_SECONDS} seconds")
    return value


def _metadata(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise invalid_data(name, "must be an object")
    return value


def _known_facility(name: str, value: Any) -> Facility:
    facility = find_facility(_text(name, value, 1, 500))
    if facility is None:
        raise ApiError("resource_not_found", "No such connection.", param=name)
    return facility


def _connection_id(name: str, value: Any) -> str:
    facility = _known_facility(name, value)
    if facility.refuses:
        raise ApiError(facility.refuses, f"{facility.name} cannot be connected now.", param=name)
    return facility.id


def _recommended(name: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise invalid_data(name, "must be a list of connection ids")
    return [_known_facility(name, identifier).id for identifier in value]


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "patient_id": _patient_id,
    "return_url": _return_url,
    "connection_id": _connection_id,
    "recommended_connection_ids": _recommended,
    "patient_email": _email,
    "patient_name": _patient_name,
    "return_button_label": _label,
    "expires_in": _expires_in,
    "metadata": _metadata,
}
