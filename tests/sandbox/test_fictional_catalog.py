"""The catalog and its search."""

from collections import Counter

import pytest

from medblocks_connect.sandbox.fictional_catalog import all_facilities, find_facility
from tests.sandbox.conftest import RIVERSIDE

pytestmark = pytest.mark.django_db


def ids(response):
    assert response.status_code == 200, response.json()
    return [item["id"] for item in response.json()["data"]]


def test_catalog_uses_example_domains_only():
    for facility in all_facilities():
        for address in (facility.fhir_base_url, facility.portal_url, facility.logo_url):
            assert address is None or address.split("/")[2].endswith(".example")


def test_catalog_has_hard_names_to_search():
    names = [facility.name for facility in all_facilities()]
    assert 190 <= len(names) <= 210
    assert Counter(names)["Maple Hollow Family Practice"] == 3
    assert any(name.startswith("NY - ") for name in names)
    assert any(name.startswith("St. ") for name in names)
    assert any(" & " in name for name in names)
    assert any(len(name) > 100 for name in names)
    assert "Clínica Nuestra Señora del Río" in names


def test_facility_has_documented_shape(caller):
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


def test_facility_by_fhir_base_url_is_found(caller):
    address = "https%3A%2F%2Ffhir.riverside-general.example%2Finterconnect%2Fapi%2FFHIR%2FR4"
    assert caller.get(f"/connections/{address}").json()["id"] == RIVERSIDE


def test_facility_unknown_is_not_found(caller):
    response = caller.get("/connections/fhirsrc_nowhere")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "resource_not_found"


@pytest.mark.parametrize("text", ["riverside gen", "RIVERSIDE GEN", "side general"])
def test_search_with_substring_in_any_case_finds_facility(caller, text):
    assert ids(caller.get("/connections", q=text)) == [RIVERSIDE]


def test_search_with_typo_finds_nothing(caller):
    assert ids(caller.get("/connections", q="Riversde General")) == []


def test_search_with_type_filters(caller):
    response = caller.get("/connections", q="lantern hill", type="cerner")
    assert ids(response) == ["fhirsrc_lantern_hill_clinic_cerner"]


def test_search_without_limit_gives_ten(caller):
    response = caller.get("/connections").json()
    assert len(response["data"]) == 10
    assert response["resource_type"] == "list"
    assert response["has_more"] is True


def test_search_pages_hold_every_facility_once(caller):
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
def test_search_with_invalid_parameter_is_refused(caller, name, value):
    response = caller.get("/connections", **{name: value})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_data"
    assert response.json()["error"]["param"] == name


def test_search_with_repeated_parameter_is_refused(caller):
    response = caller.get("/connections", q=["river", "lake"])
    assert response.json()["error"]["param"] == "q"


def test_find_facility_with_unknown_id_gives_none():
    assert find_facility("fhirsrc_nowhere") is None
