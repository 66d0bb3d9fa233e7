"""What may stay of a text from Medblocks."""

from __future__ import annotations

import time

import pytest

from medblocks_connect.api.redaction import Redactor

KEY = "plain-key-77"


def redact(text: object, *private: str) -> str:
    return Redactor(KEY, private).redact(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"key {KEY}!", "key [redacted]!"),
        ("use mb_sk_live_aB3-x_9, not", "use [redacted], not"),
        ("MB_SK_SBX_1 whsec_2", "[redacted] [redacted]"),
        ("see https://app.medblocks.com/c/0123456789abcdef now", "see [redacted] now"),
        ("see (app/c/0123456789ABCDEF).", "see [redacted]"),
        ("mb_sk\x00_live_abc", "[redacted]"),
        ("see https://docs.medblocks.com/c/errors", "see https://docs.medblocks.com/c/errors"),
        (None, ""),
        ({"a": 1}, ""),
    ],
)
def test_secrets(text: object, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize(
    ("text", "private", "expected"),
    [
        ("Ann Lee <Ann@Example.org>", ("Ann Lee", "ann@example.org"), "[redacted] <[redacted]>"),
        ("GET /patients/a%2Fb%20c failed", ("a/b c",), "GET /patients/[redacted] failed"),
        ("patient 1 of 401", ("1",), "patient [redacted] of 401"),
        ("xabcdx", ("abcd",), "x[redacted]x"),
        ("ann.lee@x.org", ("ann.lee", "ann.lee@x.org"), "[redacted]"),
        ("nothing here", ("", ""), "nothing here"),
        ("a.c abc", ("a.c",), "[redacted] abc"),
        ("Jose\u0301 Garcia", ("Jos\u00e9 Garcia",), "[redacted]"),
        ('bad "\\u00c9va \\u0141uk"', ("\u00c9va \u0141uk",), 'bad "[redacted]"'),
        ('bad "E\\u0301va Luk"', ("E\u0301va Luk",), 'bad "[redacted]"'),
        ('bad "\u00c9va \\"Luk\\""', ('\u00c9va "Luk"',), 'bad "[redacted]"'),
    ],
)
def test_private_values(text: str, private: tuple[str, ...], expected: str) -> None:
    assert redact(text, *private) == expected


def test_secret_at_the_cut() -> None:
    shown = redact("x" * 495 + " mb_sk_live_secret")
    assert len(shown) <= 500
    assert "mb_" not in shown


def test_private_value_at_the_cut() -> None:
    note = "b" * 3_000
    assert "bb" not in redact(f"a {note} c {note}", note)


def test_hostile_text_costs_little() -> None:
    started = time.process_time()
    redact("/c/" * 2_000_000, "aaaa")
    redact("mb_sk_" * 1_000_000, "a" * 200)
    assert time.process_time() - started < 0.5


def test_request_id_keeps_numbers() -> None:
    assert Redactor(KEY, ("1",)).redact_secrets("req 1", 100) == "req 1"
