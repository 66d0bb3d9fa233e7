"""The check that the local catalog is of the workspace that the API key opens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Tags, register
from django.core.checks import Warning as CheckWarning
from django.db import connections, router

from medblocks_connect.conf import CALLABLE_SETTINGS, find_workspace, names_callable
from medblocks_connect.facilities.catalog import find_catalog, find_other_workspace
from medblocks_connect.models import CatalogSync


@register(Tags.database)
def check_catalog(
    app_configs: Sequence[AppConfig] | None,  # noqa: ARG001 - Django passes it by name
    databases: Sequence[str] | None = None,
    **kwargs: Any,  # noqa: ARG001
) -> list[CheckMessage]:
    """Report a local catalog of another workspace than the key's: patients search without it.

    Django runs it for the databases that ``check --database`` names, and before ``migrate``. Not
    where a setting is a callable: it may take a tenant.
    """
    alias = router.db_for_read(CatalogSync)
    is_asked = alias in (databases or ()) and not any(map(names_callable, CALLABLE_SETTINGS))
    table = CatalogSync._meta.db_table  # noqa: SLF001 - Django documents it
    if not is_asked or table not in connections[alias].introspection.table_names():
        return []
    other = "" if find_catalog() else find_other_workspace()
    if not other:
        return []
    return [
        CheckWarning(
            f"The local catalog is of the workspace {other!r}, and the API key opens "
            f"{find_workspace()!r}: every search asks Medblocks.",
            hint="Run manage.py medblocks_sync_facilities with this key; or, where the key opens "
            "the same facilities as before, set WORKSPACE to the label that it had.",
            id="medblocks_connect.W004",
        )
    ]
