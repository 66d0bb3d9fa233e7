"""Suggestions before anybody types."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from medblocks_connect.facilities.catalog import as_source
from medblocks_connect.facilities.facility_cache import cache_facilities
from medblocks_connect.facilities.suggestions import suggest_facilities
from medblocks_connect.models import Facility
from medblocks_connect.patients import Patient
from tests.connected import create_attempt

pytestmark = pytest.mark.django_db

PATIENT = Patient("p-1")


def attempt(number=0, patient_id="p-1", **changes):
    changes.setdefault("status", "succeeded" if patient_id != "p-1" else "created")
    return create_attempt(patient_id=patient_id, connection_id=f"fhirsrc_{number}", **changes)


def ids(facilities):
    return [each.id for each in facilities]


def test_unknown_patient_gets_no_suggestions():
    assert not suggest_facilities(PATIENT)


def test_facilities_used_before_come_once_latest_first(add_catalog):
    add_catalog()
    for number in (1, 2, 1):
        attempt(number, status="succeeded")
    assert ids(suggest_facilities(PATIENT).used) == ["fhirsrc_1", "fhirsrc_2"]


@pytest.mark.parametrize("status", ["created", "started", "failed", "expired"])
def test_attempt_without_success_is_not_used_before(add_catalog, status):
    add_catalog()
    attempt(1, status=status)
    assert suggest_facilities(PATIENT).used == ()


def test_attempt_of_another_patient_is_not_used_before(add_catalog):
    add_catalog()
    attempt(1, "p-2", status="succeeded")
    assert suggest_facilities(PATIENT).used == ()


def test_facility_used_before_has_its_name_without_a_catalog():
    attempt(1, status="succeeded", connection_name="Riverside", connection_type="epic")
    (used,) = suggest_facilities(PATIENT).used
    assert (used.id, used.name, used.type) == ("fhirsrc_1", "Riverside", "epic")


def test_facility_used_by_its_url_is_offered_by_the_id_that_was_told_since():
    columns = {"status": "succeeded", "place_id": "fhirsrc_1", "patient_connection_id": "conn_1"}
    create_attempt(patient_id="p-1", connection_id="https://fhir.example/r4/", **columns)
    assert ids(suggest_facilities(PATIENT).used) == ["fhirsrc_1"]


def test_facility_used_by_its_url_is_not_popular_too():
    for patient_id, slash in (("p-1", "/"), ("p-2", "")):
        columns = {"status": "succeeded", "connection_name": "Riverside"}
        url = f"https://fhir.example/r4{slash}"
        create_attempt(patient_id=patient_id, connection_id=url, **columns)
    suggestions = suggest_facilities(PATIENT)
    assert (len(suggestions.used), suggestions.popular) == (1, ())


def test_pinned_facilities_come_in_the_hosts_order(add_catalog, settings):
    add_catalog()
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "PINNED_FACILITIES": ["fhirsrc_3", "fhirsrc_1"],
    }
    assert ids(suggest_facilities(PATIENT).pinned) == ["fhirsrc_3", "fhirsrc_1"]


def test_pinned_facilities_that_are_unknown_are_left_out(settings):
    # Nothing listens where the tests' settings point, and there is no catalog.
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "PINNED_FACILITIES": ["fhirsrc_3", "fhirsrc_1"],
        "MAX_RETRIES": 0,
    }
    assert suggest_facilities(PATIENT).pinned == ()


def test_popular_facilities_come_by_the_number_of_patients(add_catalog):
    add_catalog()
    for patient in ("a", "b", "c"):
        attempt(2, patient)
    for patient in ("a", "b"):
        attempt(1, patient)
    assert ids(suggest_facilities(PATIENT).popular) == ["fhirsrc_2", "fhirsrc_1"]


def test_facility_chosen_by_one_patient_is_not_popular(add_catalog):
    add_catalog()
    for _time in range(5):
        attempt(1, "a")
    assert suggest_facilities(PATIENT).popular == ()


def test_facility_chosen_91_days_ago_is_not_popular(add_catalog):
    add_catalog()
    for patient in ("a", "b"):
        attempt(1, patient, created_at=timezone.now() - timedelta(days=91))
    assert suggest_facilities(PATIENT).popular == ()


def test_withdrawn_facility_is_not_popular(add_catalog):
    add_catalog()
    for patient in ("a", "b"):
        attempt(1, patient, connection_name="Gone")
    Facility.objects.filter(connection_id="fhirsrc_1").update(withdrawn_at=timezone.now())
    assert suggest_facilities(PATIENT).popular == ()


def test_withdrawn_facility_is_not_offered_to_who_used_it(add_catalog):
    add_catalog()
    attempt(1, status="succeeded", connection_name="Gone")
    Facility.objects.filter(connection_id="fhirsrc_1").update(withdrawn_at=timezone.now())
    assert suggest_facilities(PATIENT).used == ()


def test_withdrawn_facility_is_not_offered_although_it_is_cached(add_catalog):
    (gone, *_others) = add_catalog()
    attempt(0, status="succeeded")
    cache_facilities([as_source(gone)])
    Facility.objects.filter(pk=gone.pk).update(withdrawn_at=timezone.now())
    assert suggest_facilities(PATIENT).used == ()


def test_facility_used_by_its_fhir_base_url_is_offered_with_a_catalog(add_catalog):
    add_catalog()
    address = "https://fhir.example/r4"
    create_attempt(
        patient_id="p-1", connection_id=address, connection_name="Dover", status="succeeded"
    )
    assert ids(suggest_facilities(PATIENT).used) == [address]


def test_suggestions_take_a_few_queries_however_many_there_are(
    add_catalog, settings, django_assert_num_queries
):
    add_catalog()
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "PINNED_FACILITIES": [f"fhirsrc_{number}" for number in range(5, 12)],
    }
    for number in range(5):
        attempt(number, status="succeeded")
    for patient in ("a", "b"):
        for number in range(12, 17):
            attempt(number, patient)
    # The patient's connections, the most chosen, whether there is a catalog, and its facilities.
    with django_assert_num_queries(4):
        offered = suggest_facilities(PATIENT)
    assert [len(each) for each in (offered.used, offered.pinned, offered.popular)] == [5, 7, 5]


def test_facility_is_offered_for_one_reason_only(add_catalog, settings):
    add_catalog()
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "PINNED_FACILITIES": ["fhirsrc_1", "fhirsrc_2"],
    }
    attempt(1, status="succeeded")
    for patient in ("a", "b"):
        attempt(2, patient)
    offered = suggest_facilities(PATIENT)
    assert (ids(offered.used), ids(offered.pinned), ids(offered.popular)) == (
        ["fhirsrc_1"],
        ["fhirsrc_2"],
        [],
    )


def test_suggestions_have_the_hosts_aliases(add_catalog, settings):
    add_catalog()
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "PINNED_FACILITIES": ["fhirsrc_1"],
        "FACILITY_ALIASES": {
            "the River": "fhirsrc_1",
            "riverside dental llc": "fhirsrc_2",  # its own name
            "Lakeside": "fhirsrc_3",  # not offered
        },
    }
    attempt(2, status="succeeded")
    assert suggest_facilities(PATIENT).aliases == {"fhirsrc_1": "the River"}
