"""The workspaces of a table's rows: which there are, and the words for another than the key's."""

from __future__ import annotations

from typing import Any, Final

from django.db import connections, router
from django.utils.translation import gettext as _

from medblocks_connect.conf import find_workspace

# Each found by one step in the index that begins with the workspace, where there is one: SELECT
# DISTINCT would read a million rows. No value of anybody's is written into it.
_WORKSPACES_SQL: Final = """
WITH RECURSIVE kept (workspace) AS (
    SELECT (SELECT MIN(r.workspace) FROM {table} r)
    UNION ALL
    SELECT (SELECT MIN(r.workspace) FROM {table} r WHERE r.workspace > kept.workspace)
    FROM kept WHERE kept.workspace IS NOT NULL
)
SELECT workspace FROM kept WHERE workspace IS NOT NULL
"""


def list_workspaces(model: Any) -> list[str]:
    """Return the workspaces that rows of ``model`` belong to, in order; one query."""
    connection = connections[router.db_for_read(model)]
    table = connection.ops.quote_name(model._meta.db_table)  # noqa: SLF001 - Django documents it
    with connection.cursor() as cursor:
        cursor.execute(_WORKSPACES_SQL.format(table=table))
        return [workspace for (workspace,) in cursor.fetchall()]


def has_other_workspaces(model: Any) -> bool:
    """Return whether rows of ``model`` belong to another workspace than the key opens."""
    return any(workspace != find_workspace() for workspace in list_workspaces(model))


def describe_other_workspace(workspace: str) -> str:
    """Return, as a sentence, that nothing of ``workspace`` can be asked about or changed here."""
    text = _("It belongs to the workspace %(workspace)s, which the API key does not open.")
    return text % {"workspace": workspace}
