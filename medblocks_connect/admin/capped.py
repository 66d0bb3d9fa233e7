"""How far a list counts: to a bound, since counting a table costs as much as reading it."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from django.core.paginator import Paginator
from django.db.models import QuerySet

if TYPE_CHECKING:
    _Paginator = Paginator[Any]
else:
    _Paginator = Paginator

CAP: Final = 1000
"""Rows that a list counts and pages through; what is further back is found by narrowing down."""


class CappedPaginator(_Paginator):
    """Pages of the first :data:`CAP` rows."""

    @cached_property
    def count(self) -> int:
        """Rows, at most :data:`CAP`."""
        return min(self._counted, CAP)

    @property
    def is_capped(self) -> bool:
        """Whether there are more than were counted."""
        return self._counted > CAP

    @cached_property
    def _counted(self) -> int:
        rows = self.object_list
        if not isinstance(rows, QuerySet):
            return len(rows)
        return rows.order_by().values("pk")[: CAP + 1].count()
