"""What the search box finds: exact ids, and facilities by their name.

Names are compared with the facilities that attempts were made at (a few hundred), and only their
ids with the attempts (a million): every part is served by an index.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.db import connections
from django.db.models import Q, QuerySet

from medblocks_connect.models import PatientConnectionAttempt

_MOST_FACILITIES: Final = 10_000
_MOST_FOUND: Final = 200
_LEAST_LETTERS: Final = 2

# The distinct facilities, each found by one step in the index on (connection_id, created_at):
# SELECT DISTINCT would read every attempt. No value of anybody's is written into it.
_FACILITIES: Final = """
WITH RECURSIVE facility (id) AS (
    SELECT (SELECT a.connection_id FROM {table} a ORDER BY a.connection_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT a.connection_id FROM {table} a
        WHERE a.connection_id > facility.id ORDER BY a.connection_id LIMIT 1
    ) FROM facility WHERE facility.id IS NOT NULL
)
SELECT facility.id, (
    SELECT a.connection_name FROM {table} a WHERE a.connection_id = facility.id
    ORDER BY a.created_at DESC LIMIT 1
) FROM facility WHERE facility.id IS NOT NULL LIMIT {most}
"""


@dataclass(frozen=True)
class KnownFacility:
    """A facility that some attempt was made at, under the name it had last."""

    connection_id: str
    name: str


def list_known_facilities(database: str) -> list[KnownFacility]:
    """Return the facilities that attempts were made at, in the order of their ids."""
    connection = connections[database]
    options = PatientConnectionAttempt.objects.all().query.get_meta()
    table = connection.ops.quote_name(options.db_table)
    with connection.cursor() as cursor:
        cursor.execute(_FACILITIES.format(table=table, most=_MOST_FACILITIES))
        return [KnownFacility(each[0], each[1]) for each in cursor.fetchall()]


def search_attempts(
    attempts: QuerySet[PatientConnectionAttempt], term: str
) -> QuerySet[PatientConnectionAttempt]:
    """Return the attempts that ``term`` names: its patient, session, request or facility."""
    term = term.strip()
    if not term:
        return attempts
    found = Q(patient_id=term) | Q(patient_session_id=term) | Q(request_id=term)
    facilities = _find_facilities(attempts.db, term)
    if facilities:
        found |= Q(connection_id__in=facilities)
    return attempts.filter(found)


def _find_facilities(database: str, term: str) -> list[str]:
    if len(term) < _LEAST_LETTERS:
        return []
    wanted = term.casefold()
    found = [
        each.connection_id
        for each in list_known_facilities(database)
        if wanted in each.name.casefold() or term == each.connection_id
    ]
    return [connection_id for connection_id in found if connection_id][:_MOST_FOUND]
