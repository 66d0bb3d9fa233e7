"""Redaction of texts from Medblocks, and the mask of a secret."""

from __future__ import annotations

import pprint
import sys
import time

import pytest
from django.views.debug import ExceptionReporter

from medblocks_connect.api.redaction import Redactor, Secret

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
def test_keys_and_session_urls_are_redacted(text: object, expected: str) -> None:
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
def test_private_values_are_redacted(text: str, private: tuple[str, ...], expected: str) -> None:
    assert redact(text, *private) == expected


def test_key_at_the_cut_is_redacted() -> None:
    shown = redact("x" * 495 + " mb_sk_live_secret")
    assert len(shown) <= 500
    assert "mb_" not in shown


def test_private_value_at_the_cut_is_redacted() -> None:
    note = "b" * 3_000
    assert "bb" not in redact(f"a {note} c {note}", note)


def test_hostile_text_costs_little() -> None:
    started = time.process_time()
    redact("/c/" * 2_000_000, "aaaa")
    redact("mb_sk_" * 1_000_000, "a" * 200)
    assert time.process_time() - started < 0.5


def test_request_id_keeps_a_number_that_is_a_patient_id() -> None:
    assert Redactor(KEY, ("1",)).redact_secrets("req 1", 100) == "req 1"


@pytest.mark.parametrize(
    ("text", "mask"),
    [
        ("mb_sk_live_abc", "'mb_sk_live_********'"),
        ("mb_sk_sbx_abc", "'mb_sk_sbx_********'"),
        ("mb_sk_abc", "'********'"),
        ("whsec_abc", "'********'"),
        ("", "'********'"),
    ],
)
def test_secret_shows_its_mask_in_repr_and_pprint(text: str, mask: str) -> None:
    secret = Secret(text)
    assert repr(secret) == mask
    assert pprint.pformat({"a": [secret]}, width=1) == f"{{'a': [{mask}]}}"


@pytest.mark.parametrize("secret", [Secret("mb_sk_live_abc"), Secret(Secret("mb_sk_live_abc"))])
def test_secret_formatted_or_printed_is_masked(secret) -> None:
    assert f"Bearer {secret}" == "Bearer mb_sk_live_********"
    assert "%s" % secret == str(secret) == "mb_sk_live_********"  # noqa: UP031 - how logging does it
    assert secret.reveal() == "mb_sk_live_abc"
    assert type(secret.reveal()) is str


def test_secret_in_a_frame_is_masked_on_djangos_error_page() -> None:
    def fail(held: Secret) -> None:
        raise LookupError

    try:
        fail(Secret("mb_sk_live_" + "abc" * 3))  # the page quotes these lines, too
    except LookupError:
        page = ExceptionReporter(None, *sys.exc_info()).get_traceback_html()
    assert "mb_sk_live_********" in page
    assert "abc" * 3 not in page
