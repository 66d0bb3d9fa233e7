"""The ids of places: one that is known by its FHIR base URL alone gets Medblocks' id once told.

A sync of the catalog tells it of many places at once; a session tells it of its own (``settle``).
"""

from __future__ import annotations

from functools import partial

from django.db import router, transaction

from medblocks_connect.attempts.connection_rows import read_link, record_places
from medblocks_connect.attempts.database_retry import retry_on_deadlock
from medblocks_connect.attempts.evidence import PlaceEvidence
from medblocks_connect.facilities.catalog import find_by_address
from medblocks_connect.models import PatientConnection, PatientConnectionAttempt, is_url
from medblocks_connect.timezones import to_utc


def adopt_place_ids() -> int:
    """Give the catalog's ids to the places that are known by a URL; return how many it told."""
    database = router.db_for_write(PatientConnection)
    adopted = 0
    for url in _list_urls(database):
        facility = find_by_address(url)
        if facility is not None:
            retry_on_deadlock(partial(rename_place, url, facility.id, database), database)
            adopted += 1
    return adopted


def _list_urls(database: str) -> list[str]:
    attempts = PatientConnectionAttempt.objects.using(database).in_workspace()
    urls = attempts.filter(place_id__startswith="http").values_list("place_id", flat=True)
    return [url for url in urls.order_by().distinct() if is_url(url)]


def rename_place(url: str, place_id: str, database: str) -> None:
    """Make the place ``url`` the place ``place_id``, in one transaction.

    Where a patient was at both, the two become one.
    """
    with transaction.atomic(using=database):
        # A write first: a transaction that reads and then writes fails on SQLite under load.
        attempts = PatientConnectionAttempt.objects.using(database).in_workspace()
        attempts.filter(place_id=url).update(place_id=place_id)
        connections = PatientConnection.objects.using(database).in_workspace()
        for row in connections.filter(place_id=url).select_related("attempt"):
            _move(row, place_id, database)


def _move(row: PatientConnection, place_id: str, database: str) -> None:
    links = {link.patient_connection_id: read_link(link) for link in row.links.using(database)}
    evidence = PlaceEvidence(
        place_id,
        links,
        connection_id=row.connection_id,
        connection_name=row.connection_name,
        connection_type=row.connection_type,
        records_at=to_utc(row.records_at) if row.records_at else None,
        records_failed_at=to_utc(row.records_failed_at) if row.records_failed_at else None,
        asked_at=to_utc(row.asked_at) if row.asked_at else None,
        actor=row.ended_by,
    )
    row.delete(using=database)
    record_places(row.patient_id, [evidence], row.attempt, database)
