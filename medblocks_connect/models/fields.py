"""How identifiers are stored: compared exactly, on every database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

if TYPE_CHECKING:
    # The stubs' field has type parameters, Django's has none at run time.
    _CharField = models.CharField[str, str]
else:
    _CharField = models.CharField


class IdentifierField(_CharField):
    """Text whose letters' case counts.

    MariaDB and MySQL compare text without regard to case and accents by default, which would make
    the patients ``ab`` and ``AB`` one; a binary collation does not.
    """

    def db_parameters(self, connection: Any) -> dict[str, Any]:
        """Add the binary collation where the database has a loose one by default."""
        parameters = dict(super().db_parameters(connection))
        if connection.vendor == "mysql":
            parameters["collation"] = "utf8mb4_bin"
        return parameters
