"""A catalog of a few telling names, in the database and as an index."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.utils import timezone

from medblocks_connect.facilities.catalog import catalog_base_url
from medblocks_connect.facilities.matching.index import FacilityIndex, IndexEntry
from medblocks_connect.facilities.matching.matcher import search_index
from medblocks_connect.models import CatalogSync, Facility, PatientConnectionAttempt

NAMES = (
    ("Riverside General Hospital", "epic"),
    ("Riverside Health System", "epic"),
    ("Riverside Dental, LLC", "athena"),
    ("Lake Riverside Clinic", "cerner"),
    ("St. Mary's Hosp.", "meditech"),
    ("Saint Joseph Med Ctr", "cerner"),
    ("Mt Sinai Heart & Lung", "epic"),
    ("University of California San Francisco", "epic"),
    ("Children's Hospital of Philadelphia", "epic"),
    ("NY - Rebecca Fishman MD", "athena"),
    ("CA - Rebecca Fishman MD", "athena"),
    ("Northwestern Memorial Hospital", "epic"),
    ("Evergreen Psychiatry Associates, P.C.", "eclinicalworks"),
    ("O'Brien Family Medicine", "athena"),
    ("Hôpital Général de Montréal", "epic"),
    ("Dr. J. B. Smith", ""),
    ("北京协和医院", "epic"),
    ("مستشفى النور", "epic"),
)


@pytest.fixture(scope="session")
def index() -> FacilityIndex:
    return FacilityIndex(IndexEntry(key, *each) for key, each in enumerate(NAMES))


@pytest.fixture(scope="session")
def find(index) -> Callable[..., list[str]]:
    """Return the names found for a text, the best first."""

    def find(text: str, **options) -> list[str]:
        return [NAMES[each.key][0] for each in search_index(index, text, **options)]

    return find


@pytest.fixture
def add_catalog(db) -> Callable[..., list[Facility]]:
    """Make a finished catalog of ``(name, type)`` pairs, with further columns where given."""

    def add(*facilities, **columns) -> list[Facility]:
        rows = [
            Facility(connection_id=f"fhirsrc_{number}", name=name, type=kind, **columns)
            for number, (name, kind) in enumerate(facilities or NAMES)
        ]
        Facility.objects.bulk_create(rows)
        CatalogSync.objects.create(
            base_url=catalog_base_url(), fetched=len(rows), finished_at=timezone.now()
        )
        return list(Facility.objects.order_by("id"))

    return add


@pytest.fixture
def client_in(patient_client):
    return patient_client


@pytest.fixture
def connect(user):
    """Let the patient have been connected to places of the catalog, by their numbers."""

    def connect_to(*numbers, **columns):
        for number in numbers:
            PatientConnectionAttempt.objects.create(
                patient_id=str(user.pk),
                connection_id=f"fhirsrc_{number}",
                **{"status": "succeeded", **columns},
            )

    return connect_to
