"""Model fields: identifiers, which every database compares exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

if TYPE_CHECKING:
    # The stubs' field has type parameters, Django's has none at run time.
    _CharField = models.CharField[str, str]
else:
    _CharField = models.CharField


class IdentifierField(_CharField):
    """Text of which every character counts: letters' case, accents, and white space at its end.

    MariaDB and MySQL compare text without regard to case and accents by default, and take "ab "
    for "ab" even where they compare its bytes, unless the collation is one with NO PAD (MariaDB's
    "Supported Character Sets and Collations"; MySQL 8's reference manual, "Pad attributes").
    ``utf8mb4_0900_bin`` exists since MySQL 8.0.17.
    """

    def db_parameters(self, connection: Any) -> dict[str, Any]:
        """Add the collation that compares exactly where the database's own is a loose one."""
        parameters = dict(super().db_parameters(connection))
        if connection.vendor == "mysql":
            is_mariadb = connection.mysql_is_mariadb
            parameters["collation"] = "utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin"
        return parameters
