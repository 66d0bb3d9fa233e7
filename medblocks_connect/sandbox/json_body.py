"""JSON bodies: parsed strictly, and the readers of properties that several requests have."""

import json
import math
from typing import Any, NoReturn

from medblocks_connect.sandbox.error_envelope import ApiError, invalid_data


def parse_object(body: bytes) -> dict[str, Any]:
    """Return the JSON object in ``body``. Raises ``ApiError`` 400."""
    try:
        content = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
        _refuse_unstorable(content)
    except (ValueError, RecursionError) as error:
        raise ApiError("bad_request", "The body is not valid JSON.") from error
    if not isinstance(content, dict):
        raise ApiError("bad_request", "The body is not a JSON object.")
    return content


def _refuse_constant(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise ValueError(message)


def _refuse_unstorable(value: Any) -> None:
    # No database keeps a lone surrogate, and PostgreSQL keeps no NUL.
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number beyond every float")
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


def read_text(name: str, value: Any, shortest: int, longest: int) -> str:
    """Return a string of ``shortest`` to ``longest`` characters. Raises ``ApiError`` 400."""
    if not isinstance(value, str):
        raise invalid_data(name, "must be a string")
    if not shortest <= len(value) <= longest:
        raise invalid_data(name, f"must have {shortest} to {longest} characters")
    return value


def read_metadata(name: str, value: Any) -> dict[str, Any]:
    """Return an object of any content. Raises ``ApiError`` 400."""
    if not isinstance(value, dict):
        raise invalid_data(name, "must be an object")
    return value
