"""Facilities looked up by their ids, and how often Medblocks is asked."""

from __future__ import annotations

import re

import pytest
import requests
import responses
from django.core.cache import cache

from medblocks_connect.facilities import lookup as lookup_module
from medblocks_connect.facilities.catalog import as_source
from medblocks_connect.facilities.facility_cache import cache_facilities
from medblocks_connect.facilities.lookup import (
    find_known_facility,
    get_facilities,
    list_recommendable,
)
from medblocks_connect.models import Facility

pytestmark = pytest.mark.django_db

BASE_URL = "https://medblocks.example"
IDS = ["fhirsrc_3", "fhirsrc_gone", "fhirsrc_1"]


def facility_json(request):
    key = request.url.rpartition("/")[2]
    return 200, {}, f'{{"id": "{key}", "name": "Hospital", "fhir_base_url": ""}}'


@pytest.fixture
def medblocks(settings):
    """Medblocks, which answers nothing until a test says what."""
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "BASE_URL": BASE_URL,
        "MAX_RETRIES": 0,
    }
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def answer(mock, **how):
    mock.add(responses.GET, re.compile(f"{BASE_URL}/connections/.*"), **how)


def ids(facilities):
    return [each.id for each in facilities]


def test_ids_are_not_asked_of_medblocks_where_there_is_a_catalog(medblocks, add_catalog):
    add_catalog()
    assert ids(get_facilities(IDS)) == ["fhirsrc_3", "fhirsrc_1"]
    assert len(medblocks.calls) == 0


@pytest.mark.parametrize("end", ["", "/"])
@pytest.mark.parametrize("kept_end", ["", "/"])
def test_url_is_known_with_a_slash_at_its_end_and_without(add_catalog, end, kept_end):
    url = "https://fhir.riverside.example/r4"
    facility = as_source(add_catalog(("Riverside", "epic"), fhir_base_url=f"{url}{kept_end}")[0])
    assert find_known_facility(f"{url}{end}").id == facility.id
    Facility.objects.all().delete()
    assert find_known_facility(f"{url}{end}") is None
    cache_facilities([facility])
    assert find_known_facility(f"{url}{end}") == facility


def test_url_of_several_facilities_is_none_of_them(add_catalog):
    add_catalog(
        ("Riverside", "epic"), ("Lakeside", "epic"), fhir_base_url="https://fhir.example/r4"
    )
    assert find_known_facility("https://fhir.example/r4") is None


def test_many_ids_are_looked_up_with_two_queries(medblocks, add_catalog, django_assert_num_queries):
    add_catalog()
    with django_assert_num_queries(2):
        get_facilities(f"fhirsrc_{number}" for number in range(10))


def test_recommendable_ids_are_looked_up_with_two_queries(add_catalog, django_assert_num_queries):
    add_catalog()
    with django_assert_num_queries(2):
        assert list_recommendable([*IDS, "fhirsrc_1"]) == ["fhirsrc_3", "fhirsrc_1"]


def test_ids_are_asked_of_medblocks_once_without_a_catalog(medblocks):
    medblocks.add_callback(
        responses.GET, re.compile(f"{BASE_URL}/connections/.*"), callback=facility_json
    )
    for _view in range(2):
        assert ids(get_facilities(IDS)) == IDS
    assert len(medblocks.calls) == 3


def test_unknown_id_is_not_asked_for_again_for_some_minutes(medblocks):
    answer(medblocks, status=404, json={"error": {"code": "resource_not_found"}})
    for _view in range(3):
        assert get_facilities(IDS) == []
    assert len(medblocks.calls) == 3
    cache.clear()  # as after those minutes
    get_facilities(IDS)
    assert len(medblocks.calls) == 6


@pytest.mark.parametrize("how", [{"status": 503, "json": {}}, {"body": requests.ConnectTimeout()}])
def test_unavailable_medblocks_is_asked_once_in_some_minutes(medblocks, how):
    answer(medblocks, **how)
    for _view in range(3):
        assert get_facilities(IDS) == []
    assert len(medblocks.calls) == 1


def test_slow_medblocks_is_asked_for_two_seconds_in_all(medblocks, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(lookup_module.time, "monotonic", lambda: now[0])
    waited = []

    def get_facility(_connection_id, *, timeout):
        waited.append(timeout)
        now[0] += 1.5
        raise lookup_module.NotFoundError("no such facility")

    monkeypatch.setattr(lookup_module, "get_facility", get_facility)
    get_facilities(IDS)
    assert waited == [2.0, 0.5]


def test_cached_facility_newer_than_the_catalog_is_found(medblocks, add_catalog):
    medblocks.add_callback(
        responses.GET, re.compile(f"{BASE_URL}/connections/.*"), callback=facility_json
    )
    get_facilities(["fhirsrc_elsewhere"])
    add_catalog()
    assert ids(get_facilities(["fhirsrc_elsewhere"])) == ["fhirsrc_elsewhere"]
