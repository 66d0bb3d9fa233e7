"""The search page: what it finds, counts, says and offers."""

from __future__ import annotations

import json
import re

import pytest

from medblocks_connect.models import FacilityRequest, MissingFacility
from medblocks_connect.views import throttling
from tests.attempts.conftest import BASE_URL
from tests.views.search_pages import SETTLED, TYPING, configure, names, post, search, text_of

SEARCH = "/records/search/"

pytestmark = pytest.mark.django_db


def test_misspelt_name_is_found_and_marked(client_in, add_catalog):
    add_catalog()
    page = search(client_in, "rivrside genral")
    assert names(page)[0] == "Riverside General Hospital"
    assert "<mark>Riverside</mark>" in page


def test_number_of_places_is_said_once(client_in, add_catalog):
    add_catalog(*((f"Mercy {number}", "epic") for number in range(45)))
    page = search(client_in, "mercy", TYPING)
    assert page.count("data-medblocks-count") == 1
    assert "20 of 45 places" in text_of(page)


def test_second_page_counts_on(client_in, add_catalog):
    add_catalog(*((f"Mercy {number}", "epic") for number in range(45)))
    page = search(client_in, "mercy", TYPING, starting_after="local:20")
    assert "40 of 45 places" in text_of(page)


def test_very_many_places_ask_for_more_of_the_name(client_in, add_catalog):
    add_catalog(*((f"Mercy {number}", "epic") for number in range(150)))
    page = text_of(search(client_in, "mercy", TYPING))
    assert "20 of more than 100 places. Type more of the name to find yours." in page


def test_filter_offers_what_the_catalog_has(client_in, add_catalog):
    add_catalog()
    page = search(client_in, "riverside", type="cerner")
    assert names(page) == ["Lake Riverside Clinic"]
    assert re.findall(r'<option value="(\w+)"', page) == [
        "athena",
        "eclinicalworks",
        "epic",
        "meditech",
        "cerner",
    ]
    assert '<option value="cerner" selected>' in page


def test_count_of_one_record_system_says_so(client_in, add_catalog):
    add_catalog()
    page = text_of(search(client_in, "riverside", TYPING, type="cerner"))
    assert page.startswith("1 place found · Record system: Oracle Health (Cerner)")


def test_nothing_found_in_one_record_system_says_so(client_in, add_catalog):
    add_catalog()
    page = text_of(search(client_in, "riverside", type="meditech"))
    assert "You are looking at one record system only" in page
    assert not MissingFacility.objects.exists()


def test_search_page_is_kept_by_no_browser(client_in):
    response = client_in.get("/records/search/")
    assert set(response["Cache-Control"].split(", ")) == {"private", "no-store"}


@pytest.mark.parametrize(("q", "is_open"), [("", True), ("riverside", False), ("r", False)])
def test_journey_is_told_and_folded_once_something_is_typed(client_in, add_catalog, q, is_open):
    add_catalog()
    page = search(client_in, q)
    assert "Who sees your records, and how do you stop it?" in page
    assert ("data-medblocks-journey open" in page) is is_open


def test_journey_is_folded_for_whoever_made_it(client_in, add_catalog, connect):
    add_catalog()
    connect(1)
    assert "data-medblocks-journey>" in search(client_in, "")


def test_one_letter_is_too_short_and_the_box_says_so(client_in):
    page = search(client_in, "r")
    assert "<title>Error: Find your hospital or clinic</title>" in page
    box = re.search(r'<input[^>]* name="q"[^>]*>', page)[0]
    assert 'aria-invalid="true"' in box
    assert "medblocks-too-short" in box
    assert 'id="medblocks-too-short"' in page


def test_empty_box_is_no_error(client_in):
    page = search(client_in, "")
    assert "Error:" not in page
    assert "aria-invalid" not in page


def test_own_limit_does_not_speak_of_too_many_people(client_in, settings, monkeypatch):
    monkeypatch.setattr(
        throttling.time, "time", lambda: 1_800_000_000.0
    )  # no minute ends meanwhile
    configure(settings, THROTTLES={"search": "1/m"})
    search(client_in, "riverside")
    response = client_in.get("/records/search/", {"q": "riverside"})
    assert response.status_code == 429
    assert "That was a lot at once" in response.text
    assert "Please wait a minute" in response.text
    assert "Too many people" not in response.text


def test_limit_of_an_hour_does_not_speak_of_a_minute(client_in, settings):
    configure(settings, THROTTLES={"search": "1/d"})
    search(client_in, "riverside")
    response = client_in.get("/records/search/", {"q": "riverside"})
    assert "Please come back later" in response.text


def test_nothing_is_offered_once_a_letter_is_typed(client_in, add_catalog, settings):
    add_catalog()
    configure(settings, PINNED_FACILITIES=["fhirsrc_1"])
    page = search(client_in, "r")
    assert names(page) == []
    assert "Please type at least 2 letters." in page


def test_search_that_found_nothing_is_counted(client_in, add_catalog):
    add_catalog()
    assert "We found nothing for" in search(client_in, "zzqxv")
    assert MissingFacility.objects.get().searches == 1


def test_typing_is_counted_when_it_is_over(client_in, add_catalog):
    add_catalog()
    search(client_in, "zzqx", TYPING)
    search(client_in, "zzqxv", TYPING)
    search(client_in, "zzqxv", SETTLED)
    assert [row.text for row in MissingFacility.objects.all()] == ["zzqxv"]


def test_prefetch_is_not_counted(client_in, add_catalog):
    add_catalog()
    search(client_in, "zzqxv", {"Sec-Purpose": "prefetch"})
    assert not MissingFacility.objects.exists()


MISSED = "childrens hospital of boston"  # Philadelphia's is like it


def test_places_that_are_merely_similar_are_called_so(client_in, add_catalog):
    add_catalog()
    page = search(client_in, MISSED)
    assert "No place has exactly this name. Names like it: 1 place found" in text_of(page)
    assert re.search(r'id="medblocks-missing" open', page)


def test_search_that_found_merely_similar_names_is_counted(client_in, add_catalog):
    add_catalog()
    search(client_in, MISSED, TYPING)
    assert not MissingFacility.objects.exists()
    search(client_in, MISSED, SETTLED)
    assert MissingFacility.objects.get().searches == 1


def test_place_that_has_the_name_is_not_called_similar(client_in, add_catalog):
    add_catalog()
    page = search(client_in, "rivrside genral")
    assert "No place has exactly this name." not in page
    assert not re.search(r'id="medblocks-missing" open', page)


def test_search_that_found_something_is_not_counted(client_in, add_catalog):
    add_catalog()
    search(client_in, "riverside")
    assert not MissingFacility.objects.exists()


def test_missing_hospital_is_noted_and_the_patient_thanked(client_in):
    response = post(client_in, "/records/not-found/", {"text": "St. Elsewhere", "note": "east"})
    assert (response.status_code, response["Location"]) == (303, "/records/not-found/thanks/")
    row = MissingFacility.objects.get()
    assert (row.text, row.requests) == ("St. Elsewhere", 1)
    assert not FacilityRequest.objects.exists()
    assert "Thank you" in client_in.get(response["Location"]).content.decode()


def test_missing_hospital_needs_the_csrf_token(client_in):
    response = client_in.post("/records/not-found/", {"text": "St. Elsewhere"})
    assert response.status_code == 403
    assert not MissingFacility.objects.exists()


def test_missing_hospital_needs_a_patient(client):
    response = client.post("/records/not-found/", {"text": "St. Elsewhere"})
    assert response.status_code == 302
    assert not MissingFacility.objects.exists()


def test_missing_hospital_takes_no_get(client_in):
    assert client_in.get("/records/not-found/").status_code == 405


def test_note_is_offered_where_the_host_wants_one(client_in, settings):
    assert 'name="note"' not in search(client_in, "")
    configure(settings, REQUEST_NOTES=True)
    assert 'name="note"' in search(client_in, "")


def test_missing_hospitals_are_throttled(client_in, settings):
    configure(settings, THROTTLES={"search": "", "start": "1/d"})
    post(client_in, "/records/not-found/", {"text": "St. Elsewhere"})
    response = post(client_in, "/records/not-found/", {"text": "St. Elsewhere"})
    assert response.status_code == 429
    assert int(response["Retry-After"]) > 0


def test_hosted_page_is_off_by_default(client_in, add_catalog):
    add_catalog()
    assert "start/elsewhere" not in search(client_in, "riverside")
    assert post(client_in, "/records/start/elsewhere/", {}).status_code == 404


def test_hosted_page_is_offered_with_what_was_shown(client_in, add_catalog, settings):
    add_catalog()
    configure(settings, HOSTED_FALLBACK=True)
    page = search(client_in, "sinai")
    assert '<input type="hidden" name="shown" value="fhirsrc_6">' in page


@pytest.mark.parametrize(
    "text",
    ["r", "x" * 10_000, "%_", "'\"><b>", "ab\x00cd", "😀", "...", "北京", "مستشفى", "\u202eabc"],
)
@pytest.mark.parametrize("headers", [{}, TYPING])
def test_any_text_is_answered(client_in, add_catalog, text, headers):
    add_catalog()
    page = search(client_in, text, headers)
    assert "data-medblocks-count" in page or names(page)


def test_json_finds_misspelt_names_too(client_in, add_catalog):
    add_catalog()
    found = client_in.get("/records/api/connections/", {"q": "rivrside genral"}).json()
    assert found["data"][0]["name"] == "Riverside General Hospital"
    assert found["has_more"] is False


@pytest.mark.parametrize("query", ["starting_after=garbage", "type=bogus"])
def test_search_that_medblocks_does_not_take_shows_the_first_page(browser, medblocks, query):
    asked = []

    def answer(request):
        asked.append(request.params)
        if "starting_after" in request.params or "type" in request.params:
            return 400, {}, json.dumps({"error": {"code": "invalid_data", "message": "m"}})
        found = {"id": "fhirsrc_1", "name": "River Clinic", "fhir_base_url": "https://f.example/r4"}
        return 200, {}, json.dumps({"data": [found], "has_more": False, "next_cursor": None})

    medblocks.add_callback("GET", f"{BASE_URL}/connections", answer)
    page = browser.get(f"{SEARCH}?q=river&{query}").text
    assert "fhirsrc_1" in page
    assert "1 place found" in page
    assert len(asked) == 2


def test_search_that_medblocks_never_takes_is_called_unavailable(browser, medblocks):
    medblocks.get(f"{BASE_URL}/connections", status=400, json={})
    assert "cannot be reached" in browser.get(f"{SEARCH}?q=river&starting_after=x").text
