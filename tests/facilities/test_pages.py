"""What a patient sees of it all."""

from __future__ import annotations

import re
from html import unescape

import pytest

from medblocks_connect.models import FacilityRequest, MissingFacility, PatientConnectionAttempt

pytestmark = pytest.mark.django_db

TYPING = {"X-Medblocks-Fragment": "results"}
SETTLED = {"X-Medblocks-Fragment": "settled"}


@pytest.fixture
def client_in(patient_client):
    return patient_client


def configure(settings, **changes):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, **changes}


def search(client, q, headers=None, **query):
    response = client.get("/records/search/", {"q": q, **query}, headers=headers or {})
    assert response.status_code == 200
    return response.content.decode()


def names(page):
    return [unescape(each) for each in re.findall(r'data-medblocks-name="([^"]*)"', page)]


def post(client, path, data):
    token = "t" * 32
    client.cookies["csrftoken"] = token
    return client.post(path, {"csrfmiddlewaretoken": token, **data})


def text_of(page):
    return " ".join(unescape(re.sub(r"<[^>]+>", "", page)).split())


def test_misspelt_name_is_found_and_marked(client_in, add_catalog):
    add_catalog()
    page = search(client_in, "rivrside genral")
    assert names(page)[0] == "Riverside General Hospital"
    assert '<mark class="medblocks-match">Riverside</mark>' in page


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


def test_state_is_said_and_the_prefix_is_not(client_in, add_catalog):
    add_catalog()
    page = search(client_in, "NY rebecca fishman")
    told = text_of(page)
    assert "Rebecca Fishman MD New York" in told
    assert "You will sign in at Rebecca Fishman MD\u2019s own portal and come back here." in told
    assert "NY - Rebecca" not in told


def test_facility_alone_tells_no_portal(client_in, add_catalog):
    add_catalog(("Mercy", "epic"), portal_url="https://www.mychart.east.example/login")
    page = text_of(search(client_in, "mercy"))
    assert "Portal:" not in page


def test_twins_of_different_portals(client_in, add_catalog):
    rows = add_catalog(("Mercy", "epic"), ("MERCY", "epic"))
    for row, host in zip(rows, ("east", "west"), strict=True):
        row.portal_url = f"https://www.{host}.example/login"
        row.save()
    page = text_of(search(client_in, "mercy"))
    assert "Portal: east.example" in page
    assert "Portal: west.example" in page
    assert "Entry" not in page


def test_twins_without_portals_tell_their_record_systems_address(client_in, add_catalog):
    add_catalog(("Mercy", "epic"), ("Mercy", "epic"), fhir_base_url="https://fhir.east.example/r4")
    page = text_of(search(client_in, "mercy"))
    assert page.count("Server: fhir.east.example") == 2


def test_twins_that_nothing_tells_apart_are_numbered(client_in, add_catalog):
    add_catalog(("Mercy", "epic"), ("Mercy", "epic"))
    page = text_of(search(client_in, "mercy"))
    assert "Place 1 of 2 with this name" in page
    assert "Place 2 of 2 with this name" in page


def test_hostile_portal_is_not_shown(client_in, add_catalog):
    add_catalog(("Mercy", "epic"), ("Mercy", "epic"), portal_url="javascript://evil.example/x")
    assert "evil.example" not in search(client_in, "mercy")


def test_hostile_name_is_escaped(client_in, add_catalog):
    add_catalog(("<script>alert(1)</script> Mercy", "epic"))
    page = search(client_in, "mercy script")
    assert "<script>alert" not in page


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


def test_nothing_found_in_one_record_system_says_so(client_in, add_catalog):
    add_catalog()
    page = text_of(search(client_in, "riverside", type="meditech"))
    assert "You are looking at one record system only" in page
    assert not MissingFacility.objects.exists()


def test_places_used_before_come_before_typing(client_in, add_catalog, user):
    add_catalog()
    PatientConnectionAttempt.objects.create(
        patient_id=str(user.pk), connection_id="fhirsrc_2", status="succeeded"
    )
    page = search(client_in, "")
    assert "Connect again to a place you used before" in page
    assert names(page) == ["Riverside Dental, LLC"]


def test_hosts_places_come_before_typing(client_in, add_catalog, settings):
    add_catalog()
    configure(settings, PINNED_FACILITIES=["fhirsrc_1"])
    assert names(search(client_in, "")) == ["Riverside Health System"]


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


@pytest.mark.parametrize("text", ["", "   ", "...", "x" * 101])
def test_missing_hospital_without_a_name_is_asked_for_again(client_in, text):
    response = post(client_in, "/records/not-found/", {"text": text})
    assert response.status_code == 400
    assert "Please type the name of the hospital or clinic." in response.content.decode()
    assert not MissingFacility.objects.exists()


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
