"""What the search box finds, and that it never scans the attempts."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest

from medblocks_connect.admin.search import list_known_facilities
from tests.admin.conftest import ATTEMPTS


def _search(client, term: str) -> set[int]:
    response = client.get(f"{ATTEMPTS}?{urlencode({'q': term})}")
    assert response.status_code == 200
    return {each.pk for each in response.context["cl"].result_list}


@pytest.mark.parametrize(
    "fields",
    [{"patient_id": "needle"}, {"patient_session_id": "needle"}, {"request_id": "needle"}],
)
def test_search_exact_id(staff, make_attempt, fields):
    wanted = make_attempt(**fields)
    make_attempt()
    assert _search(staff, "needle") == {wanted.pk}
    assert _search(staff, " needle ") == {wanted.pk}
    assert _search(staff, "needl") == set()


def test_search_patient_id_with_spaces_is_one_id(staff, make_attempt):
    wanted = make_attempt(patient_id="Ann Example")
    make_attempt(patient_id="Ann")
    assert _search(staff, "Ann Example") == {wanted.pk}


def test_search_facility_by_part_of_its_name(staff, make_attempt):
    wanted = make_attempt(connection_id="a", connection_name="Riverside General")
    make_attempt(connection_id="b", connection_name="Hilltop Clinic")
    assert _search(staff, "verside gen") == {wanted.pk}


def test_search_facility_by_its_latest_name(staff, make_attempt):
    old = make_attempt(connection_id="a", connection_name="Old Name")
    new = make_attempt(connection_id="a", connection_name="New Name")
    assert _search(staff, "new name") == {old.pk, new.pk}


@pytest.mark.parametrize("term", ["%", "_", "'", '"', "\\", "\ud800", "🏥", "x" * 9000])
def test_search_hostile_term_finds_nothing(staff, make_attempt, term):
    make_attempt()
    query = urlencode({"q": term}, errors="surrogatepass")
    response = staff.get(f"{ATTEMPTS}?{query}")
    assert response.status_code == 200
    assert not response.context["cl"].result_list


def test_search_box_says_what_it_searches(staff, db):
    page = staff.get(ATTEMPTS).content.decode()
    assert "The whole patient id, session id or request id" in page


def test_known_facilities_each_once(make_attempt):
    for _ in range(3):
        make_attempt(connection_id="a", connection_name="A")
        make_attempt(connection_id="b", connection_name="B")
    make_attempt(connection_id="", connection_name="")
    known = list_known_facilities("default")
    assert [(each.connection_id, each.name) for each in known] == [("", ""), ("a", "A"), ("b", "B")]


def test_known_facilities_none(db):
    assert list_known_facilities("default") == []
