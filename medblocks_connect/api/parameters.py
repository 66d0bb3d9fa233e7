"""Parameters of a call as JSON: what it cannot hold is a ``ValueError`` before anything is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def dump_body(parameters: Mapping[str, Any]) -> bytes:
    """Return the JSON of ``parameters``; raises ``ValueError`` for what JSON cannot hold."""
    if not isinstance(parameters.get("metadata") or {}, Mapping):
        raise ValueError("metadata must be a mapping.")  # noqa: TRY004 - a ValueError is promised
    try:
        return json.dumps(parameters, allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError):
        raise ValueError("metadata must be what JSON can hold.") from None


def check_ids(name: str, ids: Sequence[object]) -> list[object]:
    """Return ``ids`` as a list; raises ``ValueError`` for a single text and for an empty one."""
    if isinstance(ids, str) or not all(isinstance(each, str) and each for each in ids):
        raise ValueError(f"{name} must be a list of texts, none of them empty.")
    return [*ids]


def iterate_texts(values: Sequence[object]) -> Iterator[str]:
    """Yield each of ``values`` as text, and each value inside of it, however deep."""
    waiting = [*values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
        elif value is not None and not isinstance(value, bool):
            yield str(value)
