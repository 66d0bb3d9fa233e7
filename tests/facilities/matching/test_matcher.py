"""The facilities found for a text, and their order."""

from __future__ import annotations

import time

import pytest

from medblocks_connect.facilities.matching.index import FacilityIndex, IndexEntry
from medblocks_connect.facilities.matching.matcher import search_index
from medblocks_connect.facilities.matching.ranking import Tier

RIVERSIDE = "Riverside General Hospital"


def search_names(names, text, **options):
    index = FacilityIndex(IndexEntry(key, name, kind) for key, (name, kind) in enumerate(names))
    return [names[each.key][0] for each in search_index(index, text, **options)]


@pytest.mark.parametrize(
    "text",
    [
        "Riverside General Hospital",
        "riverside gen",
        "rivrside genral",  # letters missing
        "rriverside generral hospital",  # letters doubled
        "rivresdie genearl hopsital",  # letters swapped
        "riversidw feneral hospitsl",  # the neighbouring key
        "general riverside",  # another order
        "hospital general riverside",
        "riversidegeneral",  # run together
        "riversidegenral hospital",
        "river side general",  # broken
        "riv gen hosp",  # cut short
        "riverside hosp",
        "the riverside general hospital inc",  # more than the name holds
    ],
)
def test_riverside_general_is_first(find, text):
    assert find(text)[0] == RIVERSIDE


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("saint marys hospital", "St. Mary's Hosp."),
        ("st mary", "St. Mary's Hosp."),
        ("st joseph medical center", "Saint Joseph Med Ctr"),
        ("mount sinai", "Mt Sinai Heart & Lung"),
        ("sinai heart and lung", "Mt Sinai Heart & Lung"),
        ("ucsf", "University of California San Francisco"),
        ("chop", "Children's Hospital of Philadelphia"),
        ("univ of california", "University of California San Francisco"),
        ("obrien", "O'Brien Family Medicine"),
        ("o brien", "O'Brien Family Medicine"),
        ("o\u2019brien family", "O'Brien Family Medicine"),
        ("sykiatry", "Evergreen Psychiatry Associates, P.C."),
        ("filadelfia childrens", "Children's Hospital of Philadelphia"),
        ("hopital general", "Hôpital Général de Montréal"),
        ("HÔPITAL", "Hôpital Général de Montréal"),
        ("北京", "北京协和医院"),
        ("مستشفى", "مستشفى النور"),
        ("smith", "Dr. J. B. Smith"),
        ("north western memorial", "Northwestern Memorial Hospital"),
    ],
)
def test_text_finds_the_name_first(find, text, name):
    assert find(text)[0] == name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("NY - Rebecca Fishman MD", "NY - Rebecca Fishman MD"),
        ("ca rebeca fishman", "CA - Rebecca Fishman MD"),
        ("rebecca fishman new york", "NY - Rebecca Fishman MD"),
        ("fishman california", "CA - Rebecca Fishman MD"),
    ],
)
def test_state_decides_between_facilities_of_one_name(find, text, name):
    assert find(text)[0] == name


CODES_THAT_ARE_WORDS = ("CO", "DC", "DE", "IN", "LA", "MD", "OR", "PA", "SC")


@pytest.mark.parametrize("code", [*CODES_THAT_ARE_WORDS, "TX", "ME"])
@pytest.mark.parametrize(
    "text", ["neal dermatology {}", "{} neal dermatology", "neal drematology {}", "neal {}"]
)
def test_state_decides_though_its_code_is_a_word(code, text):
    names = [(f"{each} - Neal Dermatology", "") for each in ("AK", *CODES_THAT_ARE_WORDS, "TX")]
    names.append(("ME - The Neal Dermatology Center", ""))
    assert search_names(names, text.format(code.lower()))[0].startswith(code)


def test_state_comes_before_how_the_name_matches():
    names = [("GA - Woodstock", ""), ("Woodstock", ""), ("OR - New Woodstock Inc", "")]
    found = search_names(names, "woodstock or")
    assert found == ["OR - New Woodstock Inc", "Woodstock", "GA - Woodstock"]


def test_word_that_is_also_a_code_is_found_as_a_word():
    names = [("IN - Clinic Walk", ""), ("Walk In Clinic", ""), ("TX - Walk Clinic", "")]
    assert search_names(names, "walk in")[0] == "Walk In Clinic"


def test_vendor_prefix_does_not_hide_the_beginning_of_the_name(index):
    found = search_index(index, "rebecca fi")
    assert [each.tier for each in found[:2]] == [Tier.NAME_BEGINS] * 2


def test_order_is_exact_then_beginning_then_word_then_similar():
    names = [
        ("Lake Mercy Clinic", ""),
        ("Merci", ""),
        ("Mercy Clinic", ""),
        ("Mercy", ""),
    ]
    assert search_names(names, "mercy") == ["Mercy", "Mercy Clinic", "Lake Mercy Clinic", "Merci"]


def test_whole_system_comes_before_the_practice():
    names = [("Mercy Dental LLC", ""), ("Mercy Health System of Dover County", "")]
    assert search_names(names, "mercy")[0] == "Mercy Health System of Dover County"


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("brigham", "Brigham and Women's Hospital"),
        ("brigam", "Brigham and Women's Hospital"),
        ("md anderson", "The University of Texas MD Anderson Cancer Center"),
        ("northwell", "Northwell Health - PROD01"),
        ("epic", "Epic Pediatrics LLC"),
    ],
)
def test_hospital_comes_before_the_practice_and_the_trial(text, first):
    names = [
        ("Brigham Foot Care", "athena"),
        ("Brigham and Women's Hospital", "epic"),
        ("DC - Ronald L Anderson MD", "athena"),
        ("Norman H. Anderson, M.D., P.A.", ""),
        ("The University of Texas MD Anderson Cancer Center", "epic"),
        ("Northwell Health QA", "epic"),
        ("Northwell Health - PROD01", "epic"),
        ("Epic Dev Env", "epic"),
        ("Epic Pediatrics LLC", "epic"),
    ]
    assert search_names(names, text)[0] == first


def test_trial_that_is_named_exactly_comes_first():
    names = [("Mercy QA Center", ""), ("Mercy QA", "")]
    assert search_names(names, "mercy qa")[0] == "Mercy QA"


def test_words_typed_together_come_before_scattered_ones():
    names = [("Lake Heart Dover Clinic", ""), ("New Lake Dover Heart Clinic", "")]
    assert search_names(names, "dover heart")[0] == "New Lake Dover Heart Clinic"


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("doctor patel", "Patel Clinic"),
        ("dr patel", "Patel Clinic"),
        ("drs wen", "Drs. Wen and Shah"),
        ("dearborn gyn", "Advanced OB-GYN of Dearborn, PC"),
        ("dearbon gyn", "Advanced OB-GYN of Dearborn, PC"),
    ],
)
def test_patients_words_find_the_name_first(text, first):
    names = [
        ("Doctors Care", ""),
        ("My Doctor, P.A.", ""),
        ("Patel Clinic", ""),
        ("Drs. Wen and Shah", ""),
        ("NJ - Bona Dea Gynecology", ""),
        ("Advanced OB-GYN of Dearborn, PC", ""),
    ]
    assert search_names(names, text)[0] == first


def test_short_word_has_one_slip_at_most():
    assert search_names([("Mt Sinai", ""), ("Court Clinic", "")], "county") == []


@pytest.mark.parametrize("text", ["skyinepediatrics", "skylinepeediatrics", "pediatrcsskyline"])
def test_one_of_two_words_run_together_may_be_misspelt(text):
    names = [
        *((f"Anson{number} Pediatrics", "") for number in range(100)),
        ("Skyline Pediatrics", ""),
    ]
    assert search_names(names, text)[0] == "Skyline Pediatrics"


def test_misspelt_word_that_the_catalog_has_is_found_among_many():
    names = [
        *((f"Adams{number} Family Clini", "") for number in range(100)),
        ("The Family Clinic", ""),
    ]
    names.append(("Clinix Healthcare", ""))
    assert search_names(names, "the family clinix")[0] == "The Family Clinic"


def test_whole_word_comes_before_its_beginning():
    names = [("Mercyhealth", ""), ("Mercy Clinic", "")]
    assert search_names(names, "mercy")[0] == "Mercy Clinic"


def test_shorter_comes_first_among_equals():
    names = [("Dover Heart Institute of the North", ""), ("Dover Heart Institute", "")]
    assert search_names(names, "dover")[0] == "Dover Heart Institute"


def test_more_chosen_comes_first_among_equals():
    names = [("Dover Heart Institute", ""), ("Dover Heart Institute of the North", "")]
    found = search_names(names, "dover", chosen={1: 3})
    assert found[0] == "Dover Heart Institute of the North"


@pytest.mark.parametrize(
    "text", ["riverside clinic", "riverside clinc", "rivrside clinic", "clinic riverside"]
)
def test_more_chosen_comes_first_among_those_as_similar(text):
    index = FacilityIndex(IndexEntry(key, "Riverside Clinic") for key in range(100))
    assert search_index(index, text, chosen={80: 3, 90: 5})[0].key == 90


def test_more_chosen_comes_first_among_the_same_initials():
    names = [("Urban Clinic San Fernando", ""), ("University of California San Francisco", "")]
    found = search_names(names, "ucsf", chosen={0: 1, 1: 2})
    assert found[0] == "University of California San Francisco"
    assert search_names(names, "ucsf", chosen={0: 2, 1: 1})[0] == "Urban Clinic San Fernando"


def test_chosen_is_found_among_very_many():
    names = [(f"Mercy {number:04}", "") for number in range(1000)]
    assert search_names(names, "mercy", chosen={999: 5})[0] == "Mercy 0999"


def test_little_words_choose_between_names_that_both_hold_the_rest():
    names = [("Northern Eye Group", ""), ("Eye Group of the North", "")]
    assert search_names(names, "group of north eye")[0] == "Eye Group of the North"


@pytest.mark.parametrize(
    ("text", "contains"),
    [
        ("riverside", True),
        ("hospital riverside", True),
        ("ucsf", True),
        ("fishman new york", True),
        ("childrens hospitl of philadelphia", True),
        ("rivrside genral", True),  # whoever makes slips in two words means this one
        ("bstn chldrens hospitl", False),
        ("boston childrens hospital", False),  # a word that nothing matches
        ("mayo clinic", False),
    ],
)
def test_found_contains_the_query_or_is_only_similar(index, text, contains):
    assert any(each.contains_query for each in search_index(index, text)) is contains


def test_word_that_many_names_hold_does_not_make_up_for_a_misspelt_one():
    names = ["Bader Health", *(f"Dover{number} Health" for number in range(50))]
    index = FacilityIndex(IndexEntry(key, name) for key, name in enumerate(names))
    (found,) = search_index(index, "baker health")
    assert not found.contains_query


def test_slip_in_a_long_word_leaves_no_doubt():
    names = ["Riverside Health", *(f"Dover{number} Health" for number in range(50))]
    index = FacilityIndex(IndexEntry(key, name) for key, name in enumerate(names))
    (found,) = search_index(index, "rivrside health")
    assert found.contains_query


def test_name_that_lacks_a_word_is_left_out_where_another_has_all():
    names = [("Cleveland Clinic", ""), ("Cleveland Head and Neck", ""), ("Clinic of Dover", "")]
    assert search_names(names, "cleveland clinc") == ["Cleveland Clinic"]


def test_name_that_is_hardly_similar_is_not_found():
    names = [("Sloan Lance", ""), ("Memorial Hospital", ""), ("Dover Clinic", "")]
    assert search_names(names, "memorial sloan kettering cancer") == []


def test_match_has_the_name_it_was_found_by():
    index = FacilityIndex([IndexEntry(1, "Brigham Hospital"), IndexEntry(1, "NY - Peter Bent")])
    assert [each.found_as for each in search_index(index, "bent")] == ["peter bent"]


def test_search_returns_no_more_than_asked_for():
    names = [(f"Mercy {number}", "") for number in range(50)]
    assert len(search_names(names, "mercy", most=7)) == 7


def test_facility_under_several_names_is_found_once():
    index = FacilityIndex([IndexEntry(1, "Brigham Hospital"), IndexEntry(1, "the Brigham")])
    assert [each.key for each in search_index(index, "brigham")] == [1]


def test_kind_filters_by_record_system(find):
    assert find("riverside", kind="cerner") == ["Lake Riverside Clinic"]


def test_kind_that_is_not_there_finds_nothing(find):
    assert find("riverside", kind="unheard_of") == []


def test_kind_filters_similar_names_too(find):
    assert find("rivrsidee", kind="athena") == ["Riverside Dental, LLC"]


def test_empty_catalog_finds_nothing():
    assert search_index(FacilityIndex([]), "riverside") == []


@pytest.mark.parametrize(
    "text", ["", " ", "%", "%_", "'", '"', "\x00", "😀", "...", "---", "\u202e\u200f", "\ud800"]
)
def test_text_without_letters_finds_nothing(find, text):
    assert find(text) == []


@pytest.mark.parametrize("text", ["zzqxv", "qqq www eee", "x" * 10_000, "\U0001d54f" * 100])
def test_text_that_is_similar_to_no_name_finds_nothing(find, text):
    assert find(text) == []


def test_long_text_is_read_to_64_characters(find):
    name = "Children's Hospital of Philadelphia"
    padded = name + " " * (64 - len(name))
    assert find(padded + "riverside" * 1000) == find(padded)


def test_long_text_takes_no_longer(index):
    def measure(text):
        spent = []
        for _repeat in range(20):
            began = time.perf_counter()
            search_index(index, text)
            spent.append(time.perf_counter() - began)
        return min(spent)

    words = "riversid genral hospitl northwestrn medcal cntr psychiatri assoc"[:64]
    assert measure(words * 160) < 3 * measure(words) + 0.001
