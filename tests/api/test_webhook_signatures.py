"""Signing and verifying webhooks."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medblocks_connect.api import InvalidSignatureError, sign, verify

BODY, SECRET, NOW = b'{"id":"evt_1"}', "whsec_1", 1_700_000_000
DIGEST = hmac.new(b"whsec_1", b"1700000000." + BODY, hashlib.sha256).hexdigest()


def refusal(header: Any, *, body: bytes = BODY, secrets: Any = (SECRET,), now: float = NOW) -> str:
    with pytest.raises(InvalidSignatureError) as caught:
        verify(body, header, secrets, now=now)
    assert str(caught.value) == caught.value.reason
    return caught.value.reason


def test_sign_writes_time_and_digest() -> None:
    assert sign(BODY, SECRET, NOW) == f"t=1700000000,v1={DIGEST}"


@pytest.mark.parametrize(
    "header",
    [
        f"t={NOW},v1={DIGEST}",
        f"v1={DIGEST},t={NOW}",
        f"t={NOW}, v1={DIGEST}",
        f"t={NOW},v0=abc,new,v1={DIGEST},",
        f"t={NOW}," + "v1=00," * 99 + f"v1={DIGEST}",
    ],
)
def test_verify_takes_a_valid_header_however_ordered(header: str) -> None:
    verify(BODY, header, [SECRET], now=NOW)


@pytest.mark.parametrize("shift", [0, 300, -300, 300.9])
def test_verify_takes_a_time_within_tolerance(shift: float) -> None:
    """Case 31."""
    verify(BODY, sign(BODY, SECRET, NOW), [SECRET], now=NOW + shift)


@pytest.mark.parametrize("shift", [301, -301, 10**9, -(10**9)])
def test_verify_refuses_a_time_outside_tolerance(shift: float) -> None:
    """Case 31."""
    assert refusal(sign(BODY, SECRET, NOW), now=NOW + shift) == "outside_tolerance"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        pytest.param("", "missing", id="case-30-empty"),
        pytest.param(None, "missing", id="case-30-missing"),
        pytest.param(f"v1={DIGEST}", "malformed", id="case-30-without-t"),
        pytest.param(f"t={NOW}", "malformed", id="case-30-without-v1"),
        pytest.param(f"t={NOW},v0={DIGEST}", "malformed", id="case-30-v0-only"),
        pytest.param(f"t={NOW},t={NOW},v1={DIGEST}", "malformed", id="case-30-two-t"),
        pytest.param(
            f"t={NOW}," + "v1=00," * 100 + f"v1={DIGEST}",
            "too_many_signatures",
            id="case-30-101-v1",
        ),
        pytest.param(f"t={NOW},v1=é", "malformed", id="case-30-non-ascii"),
        pytest.param(f"t=1_7,v1={DIGEST}", "malformed", id="case-30-underscore"),
        pytest.param(f"t=\u0661\u0667,v1={DIGEST}", "malformed", id="case-30-arabic-digits"),
        pytest.param(f"t=-{NOW},v1={DIGEST}", "malformed", id="case-30-negative"),
        pytest.param(f"t=+{NOW},v1={DIGEST}", "malformed", id="case-30-plus"),
        pytest.param(f"t={NOW}.0,v1={DIGEST}", "malformed", id="case-30-fraction"),
        pytest.param(f"t={'9' * 13},v1={DIGEST}", "malformed", id="case-30-huge"),
        pytest.param(f"t={'9' * 12},v1={DIGEST}", "outside_tolerance", id="case-30-12-digits"),
        pytest.param(f"t={NOW},v1=", "mismatch", id="empty-v1"),
        pytest.param(f"t={NOW},v1={DIGEST.upper()}", "mismatch", id="upper-case"),
        pytest.param(f"t={NOW},v1={DIGEST[:-1]}", "mismatch", id="cut"),
        pytest.param(f"t=0{NOW},v1={DIGEST}", "mismatch", id="t-written-otherwise"),
    ],
)
def test_verify_refuses_header_with_its_reason(header: Any, reason: str) -> None:
    assert refusal(header) == reason


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_verify_refuses_a_body_with_one_byte_changed(position: int, change: int) -> None:
    """Case 32."""
    changed = bytearray(BODY)
    changed[position] ^= change
    assert refusal(sign(BODY, SECRET, NOW), body=bytes(changed)) == "mismatch"


def test_verify_refuses_a_body_spaced_otherwise() -> None:
    """Case 32."""
    assert refusal(sign(BODY, SECRET, NOW), body=b'{"id": "evt_1"}') == "mismatch"


def test_verify_takes_both_secrets_of_a_rotation() -> None:
    """Case 33."""
    for secret in ("old", "new"):
        verify(BODY, sign(BODY, secret, NOW), ["old", "new"], now=NOW)
    assert refusal(sign(BODY, "old", NOW), secrets=["new"]) == "mismatch"


@pytest.mark.parametrize("secrets", [[], [""], ["  "]])
def test_verify_refuses_empty_secrets(secrets: list[str]) -> None:
    """Case 33."""
    assert refusal(sign(BODY, "", NOW), secrets=secrets) == "no_secret"


def test_verify_never_takes_an_empty_secret_among_others() -> None:
    assert refusal(sign(BODY, "", NOW), secrets=["", SECRET]) == "mismatch"


def test_verify_with_one_secret_for_a_list_raises_type_error() -> None:
    with pytest.raises(TypeError):
        verify(BODY, sign(BODY, "w", NOW), SECRET, now=NOW)


def test_verify_compares_every_secret_with_every_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return one == other

    monkeypatch.setattr(hmac, "compare_digest", compare)
    verify(BODY, sign(BODY, SECRET, NOW) + ",v1=aa,v1=bb", [SECRET, "b", "c"], now=NOW)
    assert len(compared) == 9


@given(st.text(), st.floats(0, 1e12))
def test_verify_refuses_any_random_header(header: str, now: float) -> None:
    refusal(header, now=now)
