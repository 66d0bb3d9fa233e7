"""Lists: the query that asks for a page, and the way from each page to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from medblocks_connect.api.errors import UnexpectedReplyError
from medblocks_connect.api.resources import Page

Item = TypeVar("Item")

_LIMITS: Final = range(1, 101)


def build_page_query(
    limit: int, starting_after: str, *, limit_name: str = "limit", **filters: str
) -> dict[str, str]:
    """Return a list's query without what is empty; raises ``ValueError`` unless 1 to 100."""
    if type(limit) is not int or limit not in _LIMITS:
        raise ValueError(f"{limit_name} must be 1 to 100.")
    query = {**filters, limit_name: str(limit), "starting_after": starting_after}
    return {name: value for name, value in query.items() if value}


def iterate_pages(get_page: Callable[[str], Page[Item]]) -> Iterator[Item]:
    """Yield the items of all pages; ``get_page`` returns the one after a cursor.

    Raises ``UnexpectedReplyError`` where the list says that there is more but not where.
    """
    seen: set[str] = set()
    cursor = ""
    while True:
        page = get_page(cursor)
        yield from page.data
        if not page.has_more:
            return
        cursor = page.next_cursor
        if not cursor or cursor in seen:
            # Ending quietly would pass off a part of the list as the whole.
            raise UnexpectedReplyError("The list says that there is more but not where.")
        seen.add(cursor)
