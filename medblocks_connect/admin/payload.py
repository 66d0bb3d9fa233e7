"""What of a webhook's payload staff see: what is known to be no personal data.

A list of what may be shown and not of what may not: Medblocks can add a field tomorrow.
"""

from __future__ import annotations

import json
from typing import Any, Final

from django.utils.translation import gettext as _

_SHOWN: Final = frozenset(
    {
        "id",
        "object",
        "type",
        "api_version",
        "created_at",
        "updated_at",
        "data",
        "resource_type",
        "status",
        "connection_id",
        "connections",
        "patient_session_id",
        "failure_code",
        "failure_at",
        "expires_at",
        "total",
        "errors",
        "duration_ms",
    }
)
_DEPTH: Final = 5  # event, data, object, connections, connection
_ITEMS: Final = 50
_LENGTH: Final = 300


def show_payload(payload: str) -> str:
    """Return ``payload`` as indented JSON, with everything that may be personal left out."""
    try:
        event = json.loads(payload)
    except (ValueError, RecursionError):
        return _("The payload is no JSON.")
    return json.dumps(_without_personal(event, _DEPTH), indent=2, ensure_ascii=False)


def _without_personal(value: Any, depth: int) -> Any:
    if isinstance(value, dict):
        if not depth:
            return _left_out()
        return {
            str(name)[:_LENGTH]: _without_personal(each, depth - 1)
            if name in _SHOWN
            else _left_out()
            for name, each in list(value.items())[:_ITEMS]
        }
    if isinstance(value, list):
        if not depth:
            return _left_out()
        return [_without_personal(each, depth - 1) for each in value[:_ITEMS]]
    return value[:_LENGTH] if isinstance(value, str) else value


def _left_out() -> str:
    return _("(left out)")
