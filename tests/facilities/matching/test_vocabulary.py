"""The words of a catalog that a typed word may mean."""

from __future__ import annotations

import pytest

from medblocks_connect.facilities.matching.vocabulary import PackedLists, Vocabulary

WORDS = (
    "riverside",
    "river",
    "general",
    "center",
    "medical",
    "med",
    "hospital",
    "cardiology",
    "psychiatry",
    "shah",
    "smith",
    "lee",
    "northwestern",
    "philadelphia",
)


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary(WORDS)


def best(vocabulary, typed, **options):
    similarity = vocabulary.find_misspelt(typed, **options)
    return vocabulary.words[max(similarity, key=similarity.get)] if similarity else ""


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("rivrside", "riverside"),
        ("iverside", "riverside"),
        ("riversdie", "riverside"),
        ("rriverside", "riverside"),
        ("genral", "general"),
        ("shha", "shah"),
        ("hsah", "shah"),
        ("simth", "smith"),
        ("smit", "smith"),
        ("cardiolgy", "cardiology"),
        ("nortwhesten", "northwestern"),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_misspelt_word_means_the_nearest(vocabulary, typed, meant):
    assert best(vocabulary, typed) == meant


def test_unlike_spelling_is_found_by_sound_only(vocabulary):
    assert best(vocabulary, "filadelfia", by_sound=True) == "philadelphia"
    assert best(vocabulary, "filadelfia") == ""


def test_nearer_spelling_is_more_similar(vocabulary):
    once = max(vocabulary.find_misspelt("rivrside").values())
    twice = max(vocabulary.find_misspelt("rivrsde").values())
    assert 1 > once > twice > 0


def test_meanings_are_kept_within_bounds(vocabulary, monkeypatch):
    monkeypatch.setattr("medblocks_connect.facilities.matching.vocabulary._MEANINGS_KEPT", 3)
    for number in range(10):
        vocabulary.find_misspelt(f"general{number}")
        assert len(vocabulary._meanings) <= 3


def test_beginning_is_a_range_of_words(vocabulary):
    found = vocabulary.find_beginning("river")
    assert [vocabulary.words[number] for number in found] == ["river", "riverside"]


def test_word_that_is_not_there_is_none(vocabulary):
    assert vocabulary.find("riversid") is None


def test_short_form_is_a_word_that_the_longer_begins_with(vocabulary):
    found = vocabulary.find_short_forms("medical")
    assert [vocabulary.words[number] for number in found] == ["med"]


def test_lists_keep_what_they_are_given():
    lists = PackedLists([[1, 2], [], [3]])
    assert [list(lists[number]) for number in range(3)] == [[1, 2], [], [3]]
    assert list(lists.span(range(3))) == [1, 2, 3]
    assert (lists.length(0), lists.span_length(range(1, 3))) == (2, 1)
