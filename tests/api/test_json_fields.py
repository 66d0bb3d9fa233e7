"""Single fields of Medblocks' JSON: a count is a count, or nothing."""

from __future__ import annotations

import pytest

from medblocks_connect.api import read_count
from medblocks_connect.api.replies import parse_json


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("3", 3),
        ("1.0", 1),
        ("1e3", 1000),
        ("-0.0", 0),
        ("9007199254740991", 2**53 - 1),
        ("9007199254740992", None),
        ("1" + "0" * 30, None),
        ("1e30", None),
        ("-1", None),
        ("1.5", None),
        ("true", None),
        ("false", None),
        ("null", None),
        ('"3"', None),
        ("[3]", None),
    ],
)
def test_number_case_65_is_a_count_or_none(text: str, count: int | None) -> None:
    read = read_count(parse_json(text.encode()))
    assert (read, type(read)) == (count, type(count))


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_number_that_json_has_not_is_no_count(number: float) -> None:
    """Case 65: Python's own parser lets them through."""
    assert read_count(number) is None
