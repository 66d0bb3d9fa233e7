"""The random id of this database, which keeps its cache entries apart from another site's."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from django.db import connections, models, router
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

_Database: TypeAlias = tuple[Any, ...]

_REMEMBERED_MAX: Final = 1000
_remembered: dict[_Database, str] = {}


def generate_installation_id() -> str:
    """Return 128 random bits as 32 characters: no two databases share them."""
    return secrets.token_hex(16)


class Installation(models.Model):
    """The one row that names this database, or this schema of it."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    installation_id = models.CharField(
        max_length=32, default=generate_installation_id, editable=False
    )

    class Meta:
        verbose_name = _("installation")
        verbose_name_plural = _("installations")
        default_permissions = ()

    def __str__(self) -> str:
        return self.installation_id


def find_installation_id() -> str:
    """Return the id of the database, or the schema, that the app's tables are in.

    It is made with the first need, and remembered in the process: one query for each database or
    schema. ``schema_name`` and ``tenant`` are how django-tenants' connection says which it is in.
    """
    alias = router.db_for_write(Installation)
    connection = connections[alias]
    database = _describe_database(alias, connection)
    installation_id = _remembered.get(database)
    if installation_id is None:
        row, _is_new = Installation.objects.using(alias).get_or_create(pk=1)
        installation_id = row.installation_id
        # Within a transaction it may have been made by this one, and be rolled back.
        if not connection.in_atomic_block:
            if len(_remembered) >= _REMEMBERED_MAX:
                _remembered.clear()
            _remembered[database] = installation_id
    return installation_id


def _describe_database(alias: str, connection: BaseDatabaseWrapper) -> _Database:
    settings = connection.settings_dict
    where = (settings.get(key) for key in ("HOST", "PORT", "NAME"))
    # A new tenant may be given the schema name of one that was deleted.
    tenant = getattr(getattr(connection, "tenant", None), "pk", None)
    return (alias, *where, getattr(connection, "schema_name", None), tenant)
