"""Database outages: which of a database's errors mean that it is away, full or read-only now.

Such an error is no fault of the request's nor of our code's: a patient gets a page that says to try
again, and Medblocks an answer that makes it send its event again. Any other, such as a table that
is not there, is reported as an error.
"""

from __future__ import annotations

from typing import Final

from django.db import DataError, IntegrityError, NotSupportedError, ProgrammingError
from django.db import Error as AnyDatabaseError

# Of the statement or its values, whatever state the database is in.
_MISTAKES: Final = (DataError, IntegrityError, NotSupportedError, ProgrammingError)

# What other databases call a ProgrammingError: a migration was not run.
_SQLITE_HAS_NO: Final = ("no such table", "no such column", "table medblocks_connect_")
_MYSQL_UNKNOWN_COLUMN: Final = 1054


def is_outage(error: AnyDatabaseError) -> bool:
    """Return whether ``error`` says that the database cannot be used as it should be, for now."""
    if isinstance(error, _MISTAKES):
        return False
    first = error.args[0] if error.args else ""
    return first != _MYSQL_UNKNOWN_COLUMN and not str(first).startswith(_SQLITE_HAS_NO)


def name_database_error(error: AnyDatabaseError) -> str:
    """Return the kind of ``error`` and the database's own code for it.

    Not its text, which may hold the row, or an address: "OperationalError (SQLITE_FULL)",
    "InternalError (25006)".
    """
    driver_error = error.__cause__
    code = getattr(driver_error, "sqlite_errorname", None) or getattr(
        driver_error, "sqlstate", None
    )
    if code is None and error.args and isinstance(error.args[0], int):
        code = error.args[0]  # MySQL's
    name = type(error).__name__
    return f"{name} ({code})" if code else name
