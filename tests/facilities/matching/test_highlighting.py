"""The parts of a name that are marked as what was typed."""

from __future__ import annotations

import pytest

from medblocks_connect.facilities.matching.highlighting import mark_match


def marked(name, typed):
    return [part.text for part in mark_match(name, typed) if part.is_match]


@pytest.mark.parametrize(
    ("name", "typed", "parts"),
    [
        ("Riverside General", "riverside", ["Riverside"]),
        ("Riverside General", "river gen", ["River", "Gen"]),
        ("Riverside General", "rivrside genral", ["Riverside", "General"]),
        ("Riverside General", "riversidegeneral", ["Riverside", "General"]),
        ("St. Mary's Hosp.", "saint marys hospital", ["St", "Mary's", "Hosp"]),
        ("Women\u2019s Health", "womens", ["Women\u2019s"]),
        ("Hôpital Général", "hopital", ["Hôpital"]),
        ("Lake Clinic", "river", []),
        ("Lake Clinic", "", []),
        ("Lake Clinic", "%_", []),
        ("", "lake", []),
        ("北京协和医院", "北京", ["北京"]),
    ],
)
def test_typed_text_marks_the_parts_it_matches(name, typed, parts):
    assert marked(name, typed) == parts


@pytest.mark.parametrize("typed", ["riverside", "gen", "x", "rivrside genral", ""])
def test_parts_make_the_whole_name(typed):
    name = "  The (Riverside) General-Hospital & Clinic  "
    assert "".join(part.text for part in mark_match(name, typed)) == name
