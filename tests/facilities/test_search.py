"""Searches with a catalog and without, and how often Medblocks is asked."""

from __future__ import annotations

import hashlib
import json

import pytest
import responses

from benchmarks.names import make_names
from benchmarks.typing_session import type_searches
from medblocks_connect.api import FhirSource, MedblocksError, Page
from medblocks_connect.facilities import remote
from medblocks_connect.facilities.search import FacilitySearch, find_facilities
from tests.connected import create_attempt
from tests.facilities.names import NAMES

pytestmark = pytest.mark.django_db

BASE_URL = "https://medblocks.example"


def names_of(found):
    return [each.name for each in found.page.data]


def search(q, **more):
    return find_facilities(FacilitySearch.of(q, **more))


class Medblocks:
    """Medblocks as it is documented: names that hold the text."""

    def __init__(self) -> None:
        self.names = [name for name, _kind in NAMES]
        self.asked: list[str] = []
        self.is_away = False
        self.finds_more = ""  # a name that does not hold the text

    def answer(self, request):
        if self.is_away:
            return 503, {}, "{}"
        q = request.params["q"]
        self.asked.append(q)
        found = [name for name in self.names if q.casefold() in name.casefold()]
        found += [self.finds_more] if self.finds_more else []
        start = int(request.params.get("starting_after", 0))
        end = start + int(request.params["limit"])
        data = [
            {"id": f"fhirsrc_{name}", "name": name, "fhir_base_url": ""}
            for name in found[start:end]
        ]
        has_more = len(found) > end
        more = {"has_more": has_more, "next_cursor": str(end) if has_more else None}
        return 200, {}, json.dumps({"data": data, **more})


@pytest.fixture
def medblocks(settings):
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "BASE_URL": BASE_URL,
        "MAX_RETRIES": 0,
    }

    fake = Medblocks()
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add_callback(responses.GET, f"{BASE_URL}/connections", fake.answer)
        yield fake


def test_catalog_answers_without_medblocks(add_catalog):
    add_catalog()
    assert names_of(search("rivrside genral"))[0] == "Riverside General Hospital"


def test_catalog_counts_what_it_found(add_catalog):
    add_catalog()
    found = search("rebecca fishman")
    assert (found.total, found.is_capped, found.page.has_more) == (2, False, False)


def test_catalog_is_paged_to_its_end(add_catalog):
    add_catalog(*((f"Mercy {number}", "epic") for number in range(45)))
    seen, cursor = [], ""
    for _page in range(3):
        found = search("mercy", starting_after=cursor)
        seen += names_of(found)
        cursor = found.page.next_cursor
    assert len(seen) == len(set(seen)) == 45
    assert cursor == ""


def test_catalog_caps_its_count_at_a_hundred(add_catalog):
    add_catalog(*((f"Mercy {number}", "epic") for number in range(150)))
    found = search("mercy")
    assert (found.total, found.is_capped) == (100, True)


@pytest.mark.parametrize(
    "cursor", ["of-medblocks", "local:", "local:-3", "local:9999999", "local:٣"]
)
def test_catalog_takes_an_unknown_cursor_for_the_beginning(add_catalog, cursor):
    add_catalog()
    assert names_of(search("riverside", starting_after=cursor)) == names_of(search("riverside"))


def test_catalog_filters_by_record_system(add_catalog):
    add_catalog()
    assert names_of(search("riverside", facility_type="cerner")) == ["Lake Riverside Clinic"]


def test_catalog_puts_what_patients_chose_first(add_catalog):
    add_catalog(("Mercy East", "epic"), ("Mercy West", "epic"))
    create_attempt(patient_id="p", connection_id="fhirsrc_1", status="succeeded")
    assert names_of(search("mercy"))[0] == "Mercy West"


def test_catalog_finds_a_facility_by_the_hosts_alias(add_catalog, settings):
    add_catalog(("Brigham and Women's Hospital", "epic"), ("Other Hospital", "epic"))
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "FACILITY_ALIASES": {"Peter Bent": "fhirsrc_0"},
    }
    found = search("peter bnet")
    assert names_of(found) == ["Brigham and Women's Hospital"]
    assert found.aliases == {"fhirsrc_0": "Peter Bent"}


def test_facility_found_by_its_name_has_no_alias(add_catalog, settings):
    add_catalog(("Brigham and Women's Hospital", "epic"), ("the Brigham", "epic"))
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "FACILITY_ALIASES": {"Peter Bent": "fhirsrc_0", "The Brigham": ["fhirsrc_1"]},
    }
    assert search("brigham").aliases == {}


@pytest.mark.parametrize(
    ("q", "only_similar"),
    [
        ("riverside general", False),
        ("riversidegeneral", False),
        ("riverside genral", False),
        ("boston childrens hospital", True),
        ("ucsf", False),
        ("zzqxv", False),  # which finds nothing
    ],
)
def test_catalog_says_whether_all_found_are_only_similar(add_catalog, q, only_similar):
    add_catalog()
    assert search(q).only_similar is only_similar


def test_second_page_has_the_whole_list(add_catalog):
    add_catalog(*[("Mercy", "epic")] * 25)
    found = search("mercy", starting_after="local:20")
    assert (found.first, len(found.page.data), len(found.listed)) == (20, 5, 25)
    assert found.listed[20:] == found.page.data


def test_same_search_is_asked_of_medblocks_once(medblocks):
    assert names_of(search("riverside")) == names_of(search("RIVERSIDE"))
    assert medblocks.asked == ["riverside"]


def test_longer_text_is_answered_from_the_whole_answer_to_a_shorter(medblocks):
    search("river")
    assert names_of(search("riverside gen")) == ["Riverside General Hospital"]
    assert medblocks.asked == ["river"]


def test_longer_text_is_asked_where_the_shorter_found_more(medblocks):
    medblocks.names = [f"Mercy {number}" for number in range(130)]
    search("mercy")
    assert names_of(search("mercy 129")) == ["Mercy 129"]
    assert medblocks.asked == ["mercy", "mercy 129"]


def test_longer_text_is_answered_where_enough_of_it_is_known(medblocks):
    medblocks.names = [f"Mercy {number:03}" for number in range(130)]
    search("mercy")
    found = search("mercy 0")
    assert (names_of(found), found.total) == (medblocks.names[:20], None)
    assert medblocks.asked == ["mercy"]
    later = search("mercy 0", starting_after=found.page.next_cursor)
    assert names_of(later) == medblocks.names[20:40]
    assert medblocks.asked == ["mercy", "mercy 0"]


def test_longer_text_is_asked_where_just_a_page_of_it_is_known(medblocks):
    medblocks.names = [f"Mercy {number:03}" for number in range(20)]
    medblocks.names += [f"Mercy West {number:03}" for number in range(130)]
    search("mercy")
    found = search("mercy 0")
    assert (found.total, found.page.has_more) == (20, False)
    assert medblocks.asked == ["mercy", "mercy 0"]


def test_hundred_facilities_of_medblocks_are_paged_here(medblocks):
    medblocks.names = [f"Mercy {number:03}" for number in range(250)]
    seen, cursor = [], ""
    for _page in range(13):
        found = search("mercy", starting_after=cursor)
        seen += names_of(found)
        cursor = found.page.next_cursor
    assert seen == medblocks.names
    assert (cursor, found.page.has_more) == ("", False)
    assert medblocks.asked == ["mercy"] * 3


def test_facilities_of_medblocks_are_counted_where_all_are_known(medblocks):
    medblocks.names = [f"Mercy {number}" for number in range(45)]
    first = search("mercy")
    last = search("mercy", starting_after="place:40:")
    assert [(each.first, each.total) for each in (first, last)] == [(0, 45), (40, 45)]
    assert last.listed[40:] == last.page.data


@pytest.mark.parametrize("cursor", ["place:", "place:x", "place:-1:", "place:99999:"])
def test_spoilt_cursor_is_the_beginning(medblocks, cursor):
    assert names_of(search("sinai", starting_after=cursor)) == ["Mt Sinai Heart & Lung"]


def test_thirty_typed_searches_ask_medblocks_seldom(medblocks):
    medblocks.names = [name for name, _kind in make_names(3000, seed=5)]
    keystrokes = 0
    for text, _page_asks in type_searches(pause=0):
        typed = FacilitySearch.of(text)
        keystrokes += typed.is_long_enough
        if typed.is_long_enough:
            find_facilities(typed)
    assert keystrokes == 519
    assert len(medblocks.asked) < 0.2 * keystrokes


def test_longer_text_is_asked_where_medblocks_found_other_names(medblocks):
    medblocks.finds_more = "Elsewhere"
    search("river")
    search("riverside")
    assert medblocks.asked == ["river", "riverside"]


def test_unavailable_medblocks_is_replaced_by_its_last_good_answer(medblocks, settings):
    # Nothing is kept, but as the last.
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "SEARCH_CACHE_SECONDS": 0}
    search("riverside")
    medblocks.is_away = True
    assert "Riverside General Hospital" in names_of(search("riverside"))
    assert names_of(search("riverside gen")) == ["Riverside General Hospital"]


def test_answers_to_one_patient_are_kept_so_many_a_day(medblocks, monkeypatch):
    monkeypatch.setattr(remote, "MAX_KEPT_PER_PATIENT", 2)
    for text in ("river", "sinai", "mercy", "river", "sinai", "mercy"):
        find_facilities(FacilitySearch.of(text), "ann")
    assert medblocks.asked == ["river", "sinai", "mercy", "mercy"]


def test_answers_to_another_patient_are_kept_still(medblocks, monkeypatch):
    monkeypatch.setattr(remote, "MAX_KEPT_PER_PATIENT", 1)
    for patient_id in ("ann", "ann", "bob", "ann"):
        find_facilities(FacilitySearch.of("sinai" if patient_id == "bob" else "river"), patient_id)
    assert medblocks.asked == ["river", "sinai"]


def test_answer_with_a_hundred_real_names_is_kept_in_8_kilobytes():
    """A pickle of it has 22 (names of the length of real ones, ids that do not repeat)."""
    facilities = tuple(
        FhirSource(
            hashlib.sha256(name.encode()).hexdigest()[:20],
            name,
            "epic",
            f"https://{hashlib.sha256(name.encode()).hexdigest()[:12]}.example/api/FHIR/R4",
            "",
            "",
        )
        for name, _kind in make_names(100, seed=5)
    )
    assert len(remote._pack(Page(facilities, True, "cursor"))) < 8192


def test_unavailable_medblocks_fails_a_search_that_was_never_answered(medblocks):
    medblocks.is_away = True
    with pytest.raises(MedblocksError):
        search("riverside")


def test_cursor_of_the_catalog_is_not_sent_to_medblocks(medblocks):
    assert names_of(search("sinai", starting_after="local:20")) == ["Mt Sinai Heart & Lung"]


def test_alias_comes_first_without_a_catalog(medblocks, settings):
    aliases = {"the Brigham": "fhirsrc_Mt Sinai Heart & Lung"}
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "FACILITY_ALIASES": aliases}
    search("sinai")  # which makes the facility known
    found = search("the brig")
    assert names_of(found) == ["Mt Sinai Heart & Lung"]
    assert found.aliases == {"fhirsrc_Mt Sinai Heart & Lung": "the Brigham"}


@pytest.mark.parametrize(
    "text",
    ["a", "x" * 10_000, "%_", "'\"", "\x00\x00", "😀😀", "...", "北京", "مستشفى", "\u202eabc"],
)
def test_any_text_is_answered(add_catalog, text):
    add_catalog()
    assert search(text).total is not None


def test_search_is_normalised():
    assert FacilitySearch.of("  a\x00b \n c  ").q == "a b c"
    assert len(FacilitySearch.of("x" * 10_000).q) == 64
