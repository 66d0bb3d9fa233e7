"""The column of the workspace that a row belongs to: what one API key opens.

Nothing that Medblocks told in one workspace is true in another.
"""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import QuerySet, Value
from django.db.models.functions import Coalesce
from django.utils.translation import gettext_lazy as _

from medblocks_connect.conf import WORKSPACE_MAX_LENGTH, find_workspace
from medblocks_connect.models.fields import IdentifierField

Rows = TypeVar("Rows", bound=QuerySet[Any])


def make_workspace_field() -> IdentifierField:
    """Return the column ``workspace``: the label that the settings give where a row is made."""
    return IdentifierField(
        _("workspace"),
        max_length=WORKSPACE_MAX_LENGTH,
        default=find_workspace,
        editable=False,
        help_text=_("What the API key opened when this was kept (WORKSPACE)."),
    )


def filter_workspace(rows: Rows) -> Rows:
    """Return those of ``rows``, which have that column, that are of the workspace in force now."""
    return rows.filter(workspace=find_workspace())


def filter_workspace_of_few(rows: Rows) -> Rows:
    """Do the same for rows that another condition finds by its own index.

    Of a bare column SQLite, which nobody told how many rows there are, would rather read all of the
    workspace's: an expression is served by no index.
    """
    few = rows.alias(own_workspace=Coalesce("workspace", Value("")))
    return few.filter(own_workspace=find_workspace())
