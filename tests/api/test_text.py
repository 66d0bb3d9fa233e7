"""Text that every database stores alike."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medblocks_connect.api import clean_text


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("plain", "plain"),
        ("  ends\t", "ends"),
        ("a\r\n\u2028b", "a b"),
        ("a\x00b\x1fc\x7fd\x9fe", "abcde"),
        ("a\ud800b\udfffc", "abc"),
        ("a\ufffeb\uffffc", "abc"),
        ("a\u202eb\u2066c\u200fd\u061ce", "abcde"),
        ("e\u0301", "\u00e9"),
        ("\U0001f468\u200d\U0001f469", "\U0001f468\u200d\U0001f469"),
        (None, ""),
        (7, ""),
        (b"bytes", ""),
        (["x"], ""),
    ],
)
def test_clean_text_removes_what_no_database_stores(given_text: object, expected: str) -> None:
    assert clean_text(given_text, 100) == expected


@pytest.mark.parametrize(
    ("given_text", "length", "expected"),
    [
        ("abc", 3, "abc"),
        ("abcd", 3, "ab\u2026"),
        ("a bcd", 3, "a\u2026"),
        ("\x00" * 1000 + "abc", 3, "\u2026"),
    ],
)
def test_clean_text_cuts_with_an_ellipsis(given_text: str, length: int, expected: str) -> None:
    assert clean_text(given_text, length) == expected


# Hypothesis' own text has no lone surrogates.
ANY_TEXT = st.text(st.characters(categories=None) | st.sampled_from("\ud800\udfff\x00\u202e\n"))


@given(ANY_TEXT, st.integers(1, 50))
def test_clean_text_is_storable_and_stable(text: str, length: int) -> None:
    cleaned = clean_text(text, length)
    assert len(cleaned) <= length
    cleaned.encode("utf-8")
    assert "\x00" not in cleaned
    assert clean_text(cleaned, length) == cleaned
