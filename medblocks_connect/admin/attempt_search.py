"""The search among attempts: by exact ids, and by the words of a facility's name.

Names are compared with those of the facilities that attempts were made at (a few hundred), and
only the ids of the ones found with the attempts (a million): every part is looked up by its own
index (:mod:`medblocks_connect.admin.exact_values`), and what is found is joined.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from django.db import connections
from django.db.models import Q

from medblocks_connect.admin.exact_values import match_columns
from medblocks_connect.facilities.matching.normalization import fold, fold_fully
from medblocks_connect.models import Facility, PatientConnectionAttempt, name_place

MAX_FACILITIES: Final = 200
"""Facilities that one search may mean: more ids than that, and the attempts are read in vain."""

_MAX_ATTEMPTED_FACILITIES: Final = 10_000
_MAX_ATTEMPTS_WITHOUT_ID: Final = 1000
_MIN_LETTERS: Final = 2

# The distinct facilities, each found by one step in the index on (place_id, created_at):
# SELECT DISTINCT would read every attempt. A facility has the name that it had last, the one it
# had first, and the one in the catalog now: two there, where two workspaces name it differently.
# Last come the names that the newest attempts without a facility's id have. No value of anybody's
# is written into it.
_FACILITIES_SQL: Final = """
WITH RECURSIVE facility (id) AS (
    SELECT (
        SELECT a.place_id FROM {attempts} a
        WHERE a.place_id > '' ORDER BY a.place_id LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT a.place_id FROM {attempts} a
        WHERE a.place_id > facility.id ORDER BY a.place_id LIMIT 1
    ) FROM facility WHERE facility.id IS NOT NULL
)
SELECT named.* FROM (
    SELECT facility.id, (
        SELECT a.connection_name FROM {attempts} a
        WHERE a.place_id = facility.id AND a.connection_name > ''
        ORDER BY a.created_at DESC LIMIT 1
    ) AS last_name, (
        SELECT a.connection_name FROM {attempts} a
        WHERE a.place_id = facility.id AND a.connection_name > ''
        ORDER BY a.created_at LIMIT 1
    ) AS first_name, (
        SELECT MIN(f.name) FROM {catalog} f WHERE f.connection_id = facility.id
    ) AS catalog_name, (
        SELECT MAX(f.name) FROM {catalog} f WHERE f.connection_id = facility.id
    ) AS other_catalog_name
    FROM facility WHERE facility.id IS NOT NULL LIMIT {most}
) named
UNION ALL
SELECT DISTINCT '', newest.connection_name, NULL, NULL, NULL FROM (
    SELECT a.connection_name FROM {attempts} a
    WHERE a.place_id = '' ORDER BY a.created_at DESC LIMIT {without_id}
) newest WHERE newest.connection_name > ''
"""


@dataclass(frozen=True)
class AttemptedFacility:
    """A facility that attempts were made at, with all its names; one may have no id."""

    place_id: str
    names: frozenset[str]


@dataclass(frozen=True)
class NamedFacilities:
    """The facilities that a term names: by their ids, and by name where attempts have no id."""

    place_ids: tuple[str, ...] = ()
    names_without_id: tuple[str, ...] = ()
    are_too_many: bool = False


def list_attempted_facilities(database: str) -> list[AttemptedFacility]:
    """Return the facilities that attempts were made at, by one query."""
    connection = connections[database]
    attempts, catalog = (
        connection.ops.quote_name(model._meta.db_table)  # noqa: SLF001 - Django documents it
        for model in (PatientConnectionAttempt, Facility)
    )
    with connection.cursor() as cursor:
        cursor.execute(
            _FACILITIES_SQL.format(
                attempts=attempts,
                catalog=catalog,
                most=_MAX_ATTEMPTED_FACILITIES + 1,
                without_id=_MAX_ATTEMPTS_WITHOUT_ID,
            )
        )
        return [
            AttemptedFacility(place_id, frozenset(name for name in names if name))
            for place_id, *names in cursor.fetchall()
        ]


def find_named_facilities(database: str, term: str) -> NamedFacilities:
    """Return the facilities whose name has every word of ``term`` in it, however it is spelt.

    Where there are too many, or more facilities than anybody compares with, none is returned: a
    part of them would look like all.
    """
    words = _NameWords(term)
    if words.are_too_short:
        return NamedFacilities()
    attempted = list_attempted_facilities(database)
    named = [facility for facility in attempted if any(map(words.are_in, facility.names))]
    if len(named) > MAX_FACILITIES or len(attempted) > _MAX_ATTEMPTED_FACILITIES:
        return NamedFacilities(are_too_many=True)
    return NamedFacilities(
        tuple(facility.place_id for facility in named if facility.place_id),
        tuple(name for facility in named if not facility.place_id for name in facility.names),
    )


def match_attempts(database: str, term: str, facilities: NamedFacilities) -> Q:
    """Return the condition for the attempts with the id ``term``, and for those at ``facilities``.

    At most one query. Without a ``term`` there is no condition.
    """
    if not term:
        return Q()
    columns: dict[str, Collection[str]] = {"patient_id": list_spellings(term)}
    # Only a patient's id may be white space; MySQL takes " " for "", which many rows have.
    if stripped := term.strip():
        columns["patient_session_id"] = columns["request_id"] = [stripped]
        columns["place_id"] = {*facilities.place_ids, name_place(stripped)}
    matches = match_columns(PatientConnectionAttempt, database, columns)
    if facilities.names_without_id:
        matches |= Q(place_id="", connection_name__in=facilities.names_without_id)
    return matches


def list_spellings(term: str) -> list[str]:
    """Return ``term`` as it was typed, and without the white space around it.

    A patient's id may begin or end with some; what was copied often does and means none.
    """
    return sorted({term, term.strip() or term})


class _NameWords:
    """The words of a term, as they are spelt and with short forms lengthened."""

    def __init__(self, term: str) -> None:
        self._words, self._long_words = fold(term).split(), fold_fully(term).split()

    @property
    def are_too_short(self) -> bool:
        return len("".join(self._words)) < _MIN_LETTERS

    def are_in(self, name: str) -> bool:
        return _has_all(fold(name), self._words) or _has_all(fold_fully(name), self._long_words)


def _has_all(name: str, words: Iterable[str]) -> bool:
    return all(word in name for word in words)
