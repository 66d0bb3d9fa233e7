"""The catalog and its search."""

from collections import Counter

import pytest

from medblocks_connect.sandbox.fictional_catalog import all_facilities, find_facility
from tests.sandbox.conftest import RIVERSIDE

pytestmark = pytest.mark.django_db


def ids(response):
    assert response.status_code == 200, response.json()
    return [item["id"] for item in response.json()["data"]]


def test_catalog_is_make_believe_only():
    for facility in all_facilities():
        for address in (facility.fhir_base_url, facility.portal_url, facility.logo_url):
            assert address is None or address.split("/")[2].endswith(".example")


def test_catalog_has_what_searches_stumble_over():
    names = [facility.name for facility in all_facilities()]
    assert 190 <= len(names) <= 210
    assert Counter(names)["Maple Hollow Family Practice"] == 3
    assert any(name.startswith("NY - ") for name in names)
    assert any(name.startswith("St. ") for name in names)
    assert any(" & " in name for name in names)
    assert any(len(name) > 100 for name in names)
    assert "Clínica Nuestra Señora del Río" in names


def test_facility_shape(caller):
    item = caller.get(f"/connections/{RIVERSIDE}").json()
    assert item == {
        "id": RIVERSIDE,
        "resource_type": "fhir_source",
        "name": "Riverside General",
        "type": "epic",
        "fhir_base_url": "https://fhir.riverside-general.example/interconnect/api/FHIR/R4",
        "logo_url": None,
        "portal_url": "https://portal.riverside-general.example",
    }


def test_facility_by_fhir_base_url(caller):
    address = "https%3A%2F%2Ffhir.riverside-general.example%2Finterconnect%2Fapi%2FFHIR%2FR4"
    assert caller.get(f"/connections/{address}").json()["id"] == RIVERSIDE


def test_facility_unknown(caller):
    response = caller.get("/connections/fhirsrc_nowhere")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "resource_not_found"


@pytest.mark.parametrize("text", ["riverside gen", "RIVERSIDE GEN", "side general"])
def test_search_is_a_substring_in_any_case(caller, text):
    assert ids(caller.get("/connections", q=text)) == [RIVERSIDE]


def test_search_forgives_no_typo(caller):
    assert ids(caller.get("/connections", q="Riversde General")) == []


def test_search_by_type(caller):
    response = caller.get("/connections", q="lantern hill", type="cerner")
    assert ids(response) == ["fhirsrc_lantern_hill_clinic_cerner"]


def test_search_gives_ten_by_default(caller):
    response = caller.get("/connections").json()
    assert len(response["data"]) == 10
    assert response["resource_type"] == "list"
    assert response["has_more"] is True


def test_search_pages_meet_every_facility_once(caller):
    seen, cursor = [], {}
    while True:
        page = caller.get("/connections", limit=100, **cursor).json()
        seen += [item["id"] for item in page["data"]]
        if not page["has_more"]:
            break
        cursor = {"starting_after": page["next_cursor"]}
    assert page["next_cursor"] is None
    assert seen == [facility.id for facility in all_facilities()]


def test_cursor_is_opaque(caller):
    assert "fhirsrc" not in caller.get("/connections").json()["next_cursor"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "-1"),
        ("limit", "ten"),
        ("limit", "1.0"),
        ("limit", ""),
        ("limit", "٣"),
        ("starting_after", ""),
        ("starting_after", "nonsense"),
        ("starting_after", "é"),
        ("starting_after", RIVERSIDE),
        ("city", "Springfield"),
    ],
)
def test_search_parameter_refused(caller, name, value):
    response = caller.get("/connections", **{name: value})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_data"
    assert response.json()["error"]["param"] == name


def test_search_parameter_twice(caller):
    response = caller.get("/connections", q=["river", "lake"])
    assert response.json()["error"]["param"] == "q"


def test_find_facility_unknown():
    assert find_facility("fhirsrc_nowhere") is None
