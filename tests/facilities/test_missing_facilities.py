"""Counting what nobody found, without who looked for it."""

from __future__ import annotations

import pytest

from medblocks_connect.facilities import missing_facilities
from medblocks_connect.facilities.missing_facilities import count_search, request_facility
from medblocks_connect.models import FacilityRequest, MissingFacility
from medblocks_connect.patients import Patient

pytestmark = pytest.mark.django_db

PATIENT = Patient("p-1", name="Pat")


def configure(settings, **changes):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, **changes}


def test_same_words_are_counted_in_one_row():
    for text in ("St. Elsewhere", "st elsewhere", "ST ELSEWHERE!"):
        count_search(text)
    row = MissingFacility.objects.get()
    assert (row.text, row.searches, row.requests) == ("St. Elsewhere", 3, 0)


def test_request_is_counted_beside_the_searches():
    count_search("St. Elsewhere")
    request_facility(PATIENT, "St. Elsewhere")
    row = MissingFacility.objects.get()
    assert (row.searches, row.requests) == (1, 1)


def test_request_keeps_nothing_of_the_patient_by_default():
    request_facility(PATIENT, "St. Elsewhere", "in the old town")
    assert not FacilityRequest.objects.exists()


def test_note_is_kept_where_the_host_asks_for_it(settings):
    configure(settings, REQUEST_NOTES=True)
    request_facility(PATIENT, "St. Elsewhere", "in the old\x00 town")
    kept = FacilityRequest.objects.get()
    assert (kept.note, kept.patient_id) == ("in the old town", "")


def test_patient_is_kept_where_the_host_asks_for_it(settings):
    configure(settings, REQUESTS_NAME_PATIENT=True)
    request_facility(PATIENT, "St. Elsewhere", "in the old town")
    kept = FacilityRequest.objects.get()
    assert (kept.note, kept.patient_id) == ("", "p-1")


@pytest.mark.parametrize("text", ["", "  ", "%_", "\x00", "😀", "..."])
def test_text_without_letters_is_not_counted(text):
    count_search(text)
    assert not MissingFacility.objects.exists()


@pytest.mark.parametrize(
    "text", ["x" * 10_000, "北京协和医院", "مستشفى", "a\x00b", "ﷺ" * 100, "Ünïcödé \U0001f3e5"]
)
def test_any_other_text_is_stored(text):
    count_search(text)
    count_search(text)
    assert MissingFacility.objects.get().searches == 2


@pytest.fixture
def full(monkeypatch):
    """A table that holds as many texts as it may: three."""
    monkeypatch.setattr(missing_facilities, "_MOST_KEPT", 3)
    for number in range(3):
        count_search(f"nowhere {number}")


def test_texts_beyond_the_limit_are_counted_in_one_row_without_them(full):
    for number in range(3, 5):
        count_search(f"nowhere {number}")
    assert not request_facility(PATIENT, "nowhere 9")
    assert MissingFacility.objects.count() == 4
    row = MissingFacility.objects.get(folded="")
    assert (row.text, row.searches, row.requests, row.is_beyond_limit) == ("", 2, 1, True)
    assert str(row) == "(further names, once the list was full)"


def test_text_that_is_kept_is_counted_beyond_the_limit_too(full):
    count_search("nowhere 1")
    assert request_facility(PATIENT, "nowhere 1")
    row = MissingFacility.objects.get(folded="nowhere 1")
    assert (row.searches, row.requests) == (2, 1)
    assert not MissingFacility.objects.filter(folded="").exists()


def test_note_beyond_the_limit_is_not_kept(full, settings):
    configure(settings, REQUEST_NOTES=True, REQUESTS_NAME_PATIENT=True)
    assert not request_facility(PATIENT, "nowhere 9", "in the old town")
    assert not FacilityRequest.objects.exists()
