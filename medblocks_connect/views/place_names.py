"""What a place is called where a patient reads it: its name, and never an id or an address."""

from __future__ import annotations

from medblocks_connect.facilities.lookup import get_facilities
from medblocks_connect.models import PatientConnectionAttempt


def find_place_name(attempt: PatientConnectionAttempt) -> str:
    """Return the name of the place of ``attempt``; "" where nobody can tell it now."""
    if attempt.connection_name or not attempt.connection_id:
        return attempt.connection_name
    return next((each.name for each in get_facilities([attempt.connection_id])), "")
