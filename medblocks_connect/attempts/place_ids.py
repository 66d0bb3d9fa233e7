"""The ids of places: one that is known by its FHIR base URL alone gets Medblocks' id once told.

A sync of the catalog tells it of many places at once; a session tells it of its own (``settle``),
and a start that of the facility it looked up.
"""

from __future__ import annotations

from functools import partial

from django.db import router, transaction
from django.db.models import F

from medblocks_connect.api import FhirSource
from medblocks_connect.attempts.connection_rows import read_link, record_places
from medblocks_connect.attempts.database_retry import retry_on_deadlock
from medblocks_connect.attempts.evidence import PlaceEvidence
from medblocks_connect.facilities.catalog import find_by_address
from medblocks_connect.models import PatientConnection, PatientConnectionAttempt, is_url, name_place


def adopt_place_ids() -> int:
    """Give the catalog's ids to the places that are known by a URL; return how many it told."""
    database = router.db_for_write(PatientConnection)
    adopted = 0
    for url in _list_urls(database):
        facility = find_by_address(url)
        if facility is not None:
            rename_place(url, facility.id, database)
            adopted += 1
    return adopted


def adopt_place_id(patient_id: str, facility: FhirSource) -> None:
    """Give the place of ``facility`` its id, where the patient was there by its URL alone."""
    url = name_place(facility.fhir_base_url)
    if not is_url(url) or is_url(facility.id):
        return
    database = router.db_for_write(PatientConnection)
    attempts = PatientConnectionAttempt.objects.using(database).of_patient(patient_id)
    rows = PatientConnection.objects.using(database).of_patient(patient_id)
    by_url = (attempts.in_workspace().filter(place_id=url), rows.filter(place_id=url))
    if any(named.exists() for named in by_url):
        rename = partial(rename_for_patient, patient_id, url, facility.id, database)
        retry_on_deadlock(rename, database)


def _list_urls(database: str) -> list[str]:
    attempts = PatientConnectionAttempt.objects.using(database).in_workspace()
    connections = PatientConnection.objects.using(database).in_workspace()
    # Of both: a word that was read before a rename may have come after it, under the URL.
    urls = {
        url
        for rows in (attempts, connections)
        for url in rows.filter(place_id__startswith="http")
        .values_list("place_id", flat=True)
        .order_by()
        .distinct()
    }
    return sorted(filter(is_url, urls))


def rename_place(url: str, place_id: str, database: str) -> None:
    """Make the place ``url`` the place ``place_id``, patient by patient: each in one transaction.

    Where a patient was at both, the two become one.
    """
    for patient_id in _list_patients(url, database):
        rename = partial(rename_for_patient, patient_id, url, place_id, database)
        retry_on_deadlock(rename, database)


def _list_patients(url: str, database: str) -> list[str]:
    attempts = PatientConnectionAttempt.objects.using(database).in_workspace()
    connections = PatientConnection.objects.using(database).in_workspace()
    patients = {
        patient_id
        for rows in (attempts, connections)
        for patient_id in rows.filter(place_id=url)
        .values_list("patient_id", flat=True)
        .order_by()
        .distinct()
    }
    return sorted(patients)


def rename_for_patient(patient_id: str, url: str, place_id: str, database: str) -> None:
    """Make the place ``url`` the place ``place_id`` for one patient, in one transaction."""
    with transaction.atomic(using=database):
        # A write first: a transaction that reads and then writes fails on SQLite under load.
        attempts = PatientConnectionAttempt.objects.using(database).of_patient(patient_id)
        # Another revision: whoever settles one of them just now reads its place anew.
        attempts.in_workspace().filter(place_id=url).update(
            place_id=place_id, revision=F("revision") + 1
        )
        rows = PatientConnection.objects.using(database).of_patient(patient_id)
        for row in rows.filter(place_id=url).with_links():
            links = {link.patient_connection_id: read_link(link) for link in row.links.all()}
            record_places(patient_id, [PlaceEvidence(place_id, links)], None, database)
