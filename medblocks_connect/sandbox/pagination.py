"""Paging: ``limit`` and ``starting_after`` in, ``has_more`` and ``next_cursor`` out."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.http import QueryDict

from medblocks_connect.sandbox.error_envelope import invalid_data

Item = TypeVar("Item")

USUAL_LIMIT = 10
LARGEST_LIMIT = 100


@dataclass(frozen=True)
class Page:
    """Which part of a list is asked for: ``limit`` items after the one named ``after``."""

    limit: int
    after: str


def read_query(query: QueryDict, *known: str) -> dict[str, str]:
    """Return the query's parameters; raises ``ApiError`` 400 for an unknown or repeated one."""
    for name in query:
        if name not in known:
            raise invalid_data(name, "is not a parameter of this list")
        if len(query.getlist(name)) > 1:
            raise invalid_data(name, "is given twice")
    return {name: str(value) for name, value in query.items()}


def read_page(query: dict[str, str]) -> Page:
    """Read ``limit`` (1 to 100) and ``starting_after``; raises ``ApiError`` 400."""
    limit = query.get("limit", str(USUAL_LIMIT))
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 3):
        raise invalid_data("limit", "must be an integer")
    if not 1 <= int(limit) <= LARGEST_LIMIT:
        raise invalid_data("limit", f"must be 1 to {LARGEST_LIMIT}")
    return Page(
        int(limit), _read_cursor(query["starting_after"]) if "starting_after" in query else ""
    )


def show_page(
    items: Sequence[Item],
    page: Page,
    name_of: Callable[[Item], str],
    show: Callable[[Item], dict[str, Any]],
) -> dict[str, Any]:
    """Return the list answer for ``items``, which begin after the page's cursor.

    ``items`` need hold no more than one item beyond the page's limit.
    """
    shown = items[: page.limit]
    has_more = len(items) > page.limit
    return {
        "resource_type": "list",
        "data": [show(item) for item in shown],
        "has_more": has_more,
        "next_cursor": write_cursor(name_of(shown[-1])) if has_more else None,
    }


def bad_cursor() -> Exception:
    """Return the 400 for a cursor that this API never gave."""
    return invalid_data("starting_after", "is not a cursor of this list")


def write_cursor(name: str) -> str:
    """Return the opaque form of the place after the item ``name``."""
    return base64.urlsafe_b64encode(name.encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> str:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        name = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise bad_cursor() from None
    if not name:
        raise bad_cursor()
    return name
