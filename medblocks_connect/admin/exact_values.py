"""The rows that have a value in one of several columns, each column looked up by its own index.

An OR over the columns leaves the way to the database's planner. SQLite's, once ``ANALYZE`` has told
it that all rows have one value in one of the columns, reads a million rows to find none.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from django.db import connections
from django.db.models import Model, Q

_MOST_KEYS: Final = 200
"""Rows of a column that are known by their keys; SQLite's oldest form takes 999 parameters."""

# The index of the column has the key too: whatever the planner thinks, no row is read.
_KEYS_SQL: Final = """
SELECT number, id FROM (
    SELECT {number} AS number, id FROM {table} WHERE {column} IN ({values}) LIMIT {most}
) column_{number}
"""


def match_columns(model: type[Model], database: str, columns: Mapping[str, Collection[str]]) -> Q:
    """Return the condition for the rows with one of the values given for any of ``columns``.

    One query finds their keys. Where a column has many such rows, the condition names its values:
    no row is left out. Where there is none at all, the condition asks the database nothing.
    """
    wanted = [(column, values) for column, values in columns.items() if values]
    keys = _find_keys(model, database, wanted) if wanted else []
    few = {key for found in keys if len(found) <= _MOST_KEYS for key in found}
    condition = Q(pk__in=sorted(few))  # without any, Django leaves it out
    for (column, values), found in zip(wanted, keys, strict=True):
        if len(found) > _MOST_KEYS:
            condition |= Q(**{f"{column}__in": values})
    return condition


def _find_keys(
    model: type[Model], database: str, wanted: Collection[tuple[str, Collection[str]]]
) -> list[list[int]]:
    """Return the keys for each column, of many one more than :data:`_MOST_KEYS`."""
    connection = connections[database]
    quote = connection.ops.quote_name
    table = quote(model._meta.db_table)  # noqa: SLF001 - Django documents it
    selects = [
        _KEYS_SQL.format(
            number=number,
            table=table,
            column=quote(column),
            values=", ".join(["%s"] * len(values)),
            most=_MOST_KEYS + 1,
        )
        for number, (column, values) in enumerate(wanted)
    ]
    keys: list[list[int]] = [[] for _ in wanted]
    with connection.cursor() as cursor:
        parameters = [value for _, values in wanted for value in values]
        cursor.execute("UNION ALL".join(selects), parameters)
        for number, key in cursor.fetchall():
            keys[number].append(key)
    return keys
