"""The part of a webhook's payload that staff see: what is known to be no personal data.

A list of what may be shown, with the shape that it has to have, and not of what may not: Medblocks
can add a field tomorrow, or put a name where a code was. What an event of an unknown type is about
is shown by fewer fields: its ``id`` may be a patient's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from medblocks_connect.admin.deidentify import (
    LEFT_OUT,
    show_code,
    show_facility_id,
    show_medblocks_id,
    show_word,
)
from medblocks_connect.api import parse_time

_Show: TypeAlias = Callable[[Any], Any]  # gives the value as it is shown, LEFT_OUT for none

_MAX_CONNECTIONS: Final = 50
_LARGEST: Final = 2**53

# Documented, and possibly personal: that they are there is no secret, what they say is.
_WITHHELD: Final = (
    "patient_id",
    "metadata",
    "return_url",
    "return_button_label",
    "recommended_connection_ids",
    "error_message",
    "scopes",
)


def show_payload(payload: str) -> str:
    """Return ``payload`` as indented JSON, with everything that may be personal left out."""
    try:
        event = json.loads(payload)
    except (ValueError, RecursionError):
        return _("The payload is no JSON.")
    return json.dumps(_show_event(event), indent=2, ensure_ascii=False)


def _show_event(event: Any) -> Any:
    event_type = event.get("type") if isinstance(event, dict) else None
    fields = _FIELDS_OF_TYPE.get(event_type) if isinstance(event_type, str) else None
    if fields is None:
        fields, envelope = _FIELDS_OF_ANY_TYPE, _ENVELOPE
    else:
        envelope = {**_ENVELOPE, "id": _code}

    def show_object(value: Any) -> Any:
        return _show_fields(value, fields)

    def show_data(value: Any) -> Any:
        return _show_fields(value, {"object": show_object})

    return _show_fields(event, {**envelope, "data": show_data})


def _show_fields(value: Any, fields: Mapping[str, _Show]) -> Any:
    if not isinstance(value, dict):
        return _left_out()
    shown = {name: show(value[name]) for name, show in fields.items() if name in value}
    shown |= {name: LEFT_OUT for name in _WITHHELD if name in value}
    unknown = len(value) - len(shown)
    if unknown:
        # Counted and not named: a key can be anything too.
        words = ngettext("%d more field", "%d more fields", unknown) % unknown
        shown[words] = LEFT_OUT
    return {name: _left_out() if text == LEFT_OUT else text for name, text in shown.items()}


def _left_out() -> str:
    return _("(left out)")


def _text(show: Callable[[str], str]) -> _Show:
    def show_text(value: Any) -> Any:
        if value is None:
            return None
        return show(value) if isinstance(value, str) else LEFT_OUT

    return show_text


def _number(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and -_LARGEST < value < _LARGEST:
        return value
    return None if value is None else LEFT_OUT


def _time(value: Any) -> Any:
    moment = parse_time(value)
    if moment is None:
        return None if value is None else LEFT_OUT
    return moment.isoformat()


def _connections(value: Any) -> Any:
    if not isinstance(value, list):
        return LEFT_OUT
    return [_show_fields(connection, _CONNECTION) for connection in value[:_MAX_CONNECTIONS]]


_code: Final = _text(show_code)
_word: Final = _text(show_word)
_facility: Final = _text(show_facility_id)
_medblocks_id: Final = _text(show_medblocks_id)

_ENVELOPE: Final[Mapping[str, _Show]] = {
    "id": _medblocks_id,
    "object": _word,
    "type": _word,
    "api_version": _code,
    "created_at": _time,
}
_FIELDS_OF_ANY_TYPE: Final[Mapping[str, _Show]] = {
    "id": _medblocks_id,
    "resource_type": _word,
    "status": _word,
    "connection_id": _medblocks_id,
    "patient_session_id": _medblocks_id,
    "created_at": _time,
    "updated_at": _time,
}
_CONNECTION: Final[Mapping[str, _Show]] = {
    "id": _code,
    "resource_type": _word,
    "connection_id": _facility,
    "patient_session_id": _code,
    "status": _word,
    "failure_code": _word,
    "failure_at": _time,
    "created_at": _time,
    "updated_at": _time,
}
_SESSION: Final[Mapping[str, _Show]] = {
    "id": _code,
    "resource_type": _word,
    "status": _word,
    "connection_id": _facility,
    "connections": _connections,
    "created_at": _time,
    "expires_at": _time,
}
_SYNC: Final[Mapping[str, _Show]] = {
    "resource_type": _word,
    "connection_id": _facility,
    "total": _number,
    "errors": _number,
    "duration_ms": _number,
}
_FIELDS_OF_TYPE: Final[Mapping[str, Mapping[str, _Show]]] = {
    "patient_session.completed": _SESSION,
    "connection.token_refresh_failed": _CONNECTION,
    "records.sync.completed": _SYNC,
    "records.sync.failed": _SYNC,
}
