"""Pagination: ``limit`` and ``starting_after`` in, ``has_more`` and ``next_cursor`` out."""

import base64
import binascii
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db.models import Model, Q, QuerySet
from django.http import QueryDict

from medblocks_connect.sandbox.error_envelope import ApiError, invalid_data
from medblocks_connect.sandbox.models import make_storable

Item = TypeVar("Item")
Row = TypeVar("Row", bound=Model)

DEFAULT_LIMIT = 10
MAX_LIMIT = 100


@dataclass(frozen=True)
class PageRequest:
    """The requested part of a list: ``limit`` items after the one with the identifier ``after``."""

    limit: int
    after: str


def read_parameters(query: QueryDict, *allowed: str) -> dict[str, str]:
    """Return the query's parameters; raises ``ApiError`` 400 for an unknown or repeated one."""
    for name in query:
        if name not in allowed:
            raise invalid_data(name, "is not a parameter of this list")
        if len(query.getlist(name)) > 1:
            raise invalid_data(name, "is given twice")
    return {name: str(value) for name, value in query.items()}


def read_page_request(query: dict[str, str]) -> PageRequest:
    """Read ``limit`` (1 to 100) and ``starting_after``; raises ``ApiError`` 400."""
    limit = read_limit(query, "limit", DEFAULT_LIMIT)
    cursor = query.get("starting_after")
    return PageRequest(limit, "" if cursor is None else _decode_cursor(cursor))


def read_limit(query: dict[str, str], name: str, default: int) -> int:
    """Read how many items a page has at most (1 to 100); raises ``ApiError`` 400."""
    limit = query.get(name, str(default))
    if not (limit.isascii() and limit.isdigit() and len(limit) <= 3):
        raise invalid_data(name, "must be an integer")
    if not 1 <= int(limit) <= MAX_LIMIT:
        raise invalid_data(name, f"must be 1 to {MAX_LIMIT}")
    return int(limit)


def build_list(
    items: Sequence[Item],
    page: PageRequest,
    identifier_of: Callable[[Item], str],
    serialize: Callable[[Item], dict[str, Any]],
) -> dict[str, Any]:
    """Return the list answer for ``items``, which begin after the page's cursor.

    ``items`` need hold no more than one item beyond the page's limit.
    """
    page_items = items[: page.limit]
    has_more = len(items) > page.limit
    return {
        "resource_type": "list",
        "data": [serialize(item) for item in page_items],
        "has_more": has_more,
        "next_cursor": encode_cursor(identifier_of(page_items[-1])) if has_more else None,
    }


def list_newest_first(
    rows: QuerySet[Row],
    page: PageRequest,
    identifier: str,
    serialize: Callable[[Row], dict[str, Any]],
    *,
    wanted: Q | None = None,
) -> dict[str, Any]:
    """Return the list answer for those of ``rows`` that are ``wanted``, newest first.

    ``identifier`` is the field that a cursor names a row by. Raises ``ApiError`` 400 for a cursor
    that names none of ``rows``.
    """
    shown = rows.filter(wanted or Q()).order_by("-pk")
    if page.after:
        last = rows.filter(**{identifier: make_storable(page.after)}).first()
        if last is None:
            raise invalid_cursor()
        shown = shown.filter(pk__lt=last.pk)
    return build_list(
        list(shown[: page.limit + 1]), page, lambda row: str(getattr(row, identifier)), serialize
    )


def invalid_cursor(name: str = "starting_after") -> ApiError:
    """Return the 400 for a cursor that this API never gave."""
    return invalid_data(name, "is not a cursor of this list")


def encode_cursor(identifier: str) -> str:
    """Return the opaque cursor of the position after the item ``identifier``."""
    return base64.urlsafe_b64encode(identifier.encode()).decode().rstrip("=")


def _decode_cursor(cursor: str) -> str:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        identifier = base64.b64decode(padded, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise invalid_cursor() from None
    if not identifier:
        raise invalid_cursor()
    return identifier
