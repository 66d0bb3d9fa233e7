"""Answers that are not what the API promises, and errors with and without their envelope."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc
import zlib
from email.utils import formatdate
from typing import Any

import pytest
import responses

from medblocks_connect.api import (
    BillingError,
    ConflictError,
    EHRError,
    InvalidRequestError,
    MedblocksAPIError,
    MedblocksClient,
    NotFoundError,
    RateLimitError,
    ServerError,
    UnexpectedReplyError,
)
from medblocks_connect.api.replies import parse_retry_after
from tests.api.conftest import KEY

HEALTH = "https://app.medblocks.com/health"
OK = b'{"ok": true}'


@pytest.fixture
def client() -> MedblocksClient:
    return MedblocksClient(KEY, max_retries=0)


@responses.activate
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="case-11-empty"),
        pytest.param(b"<html>Welcome</html>", id="case-11-html"),
        pytest.param(b"null", id="case-11-null"),
        pytest.param(b"[]", id="case-11-list"),
        pytest.param(b'"ok"', id="case-11-string"),
        pytest.param(b'{"ok": tr', id="case-11-cut-off"),
        pytest.param(b'{"ok": true, "x": NaN}', id="case-11-nan"),
        pytest.param(b'{"ok": true, "x": -Infinity}', id="case-11-infinity"),
        pytest.param(b'{"ok": true, "x": 1e999}', id="case-11-number-too-large"),
        pytest.param(b'{"ok": true, "x": ' + b"[" * 100_000 + b"}", id="case-11-brackets"),
        pytest.param(
            b'{"ok": true, "x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            id="case-11-brackets-closed",
        ),
        pytest.param(b'{"ok": true, "x": ' + b"9" * 5000 + b"}", id="case-11-5000-digits"),
        pytest.param(b'{"ok": true, "x": "\xff"}', id="case-11-not-utf-8"),
        pytest.param('{"ok": true}'.encode("utf-16"), id="case-11-utf-16"),
        pytest.param(b'{"ok": "yes"}', id="case-11-wrong-type"),
        pytest.param(b"{}", id="case-11-missing"),
        pytest.param(OK + b" " * 2 * 1024 * 1024, id="case-15-larger-than-the-cap"),
    ],
)
def test_unreadable_body_is_an_unexpected_reply(client: MedblocksClient, body: bytes) -> None:
    responses.get(HEALTH, body=body, headers={"X-Request-Id": "req_1"})
    with pytest.raises(UnexpectedReplyError) as caught:
        client.health()
    error = caught.value
    assert (error.code, error.status_code, error.request_id) == ("unexpected_reply", 200, "req_1")
    assert error.__context__ is None
    assert error.message


@responses.activate
@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (None, OK),
        ("identity", OK),
        ("gzip", gzip.compress(OK, mtime=0)),
        (" X-GZIP ", gzip.compress(OK, mtime=0)),
        (None, b'{"ok": true, "new": {"deep": [1, 2.5, -1e3]}}'),
    ],
)
def test_plain_or_gzip_body_is_read(
    client: MedblocksClient, encoding: str | None, body: bytes
) -> None:
    responses.get(HEALTH, body=body, headers={"Content-Encoding": encoding} if encoding else {})
    assert client.health().ok


@responses.activate
@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("br", OK),
        ("deflate", zlib.compress(OK)),
        ("gzip, gzip", gzip.compress(gzip.compress(OK, mtime=0), mtime=0)),
        ("gzip", OK),
        ("gzip", b""),
        ("gzip", gzip.compress(OK, mtime=0)[:-4]),
        ("gzip", gzip.compress(OK, mtime=0) + b"more"),
        ("gzip", gzip.compress(OK + b" " * 3_000_000, mtime=0)),
    ],
)
def test_wrong_or_broken_encoding_is_an_unexpected_reply(
    client: MedblocksClient, encoding: str, body: bytes
) -> None:
    responses.get(HEALTH, body=body, headers={"Content-Encoding": encoding})
    with pytest.raises(UnexpectedReplyError):
        client.health()


@responses.activate
def test_gzip_bomb_is_not_unpacked(client: MedblocksClient) -> None:
    """Case 15: refused is not enough, the 100 MB must never be in memory."""
    packed = gzip.compress(b" " * 100_000_000, mtime=0)
    responses.get(HEALTH, body=packed, headers={"Content-Encoding": "gzip"})
    tracemalloc.start()
    with pytest.raises(UnexpectedReplyError):
        client.health()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000


def envelope(**fields: Any) -> bytes:
    return json.dumps({"error": fields}).encode()


@responses.activate
@pytest.mark.parametrize(
    ("status", "body", "expected", "code"),
    [
        (404, envelope(type="not_found_error", code="resource_not_found"), NotFoundError, ""),
        (402, envelope(type="billing_error", code="quota_exceeded"), BillingError, ""),
        (409, envelope(type="conflict_error", code="already_linked"), ConflictError, ""),
        (502, envelope(type="ehr_error", code="oauth_error"), EHRError, ""),
        (429, envelope(type="unheard_of", code="throttled"), RateLimitError, ""),
        (400, envelope(code="unheard_of"), InvalidRequestError, ""),
        (502, b"<html>Bad gateway</html>", ServerError, "http_502"),
        (404, b'{"error": "no"}', NotFoundError, "http_404"),
        (404, b"[1]", NotFoundError, "http_404"),
        (503, b"x" * 3_000_000, ServerError, "http_503"),
        (500, envelope(type=["x"], code={"y": 1}, message=3, param=[]), ServerError, "http_500"),
        (418, b"", InvalidRequestError, "http_418"),
    ],
)
def test_error_answer_has_class_code_and_request_id(
    client: MedblocksClient,
    status: int,
    body: bytes,
    expected: type[MedblocksAPIError],
    code: str,
) -> None:
    responses.get(HEALTH, status=status, body=body, headers={"X-Request-Id": "req_h"})
    with pytest.raises(MedblocksAPIError) as caught:
        client.health()
    error = caught.value
    assert type(error) is expected
    assert error.code == (code or json.loads(body)["error"]["code"])
    assert (error.status_code, error.request_id) == (status, "req_h")
    assert error.__context__ is None


@responses.activate
def test_error_fields_are_bounded(client: MedblocksClient) -> None:
    long = "ab " * 5000
    body = envelope(type=long, code=long, message=long, param=long, request_id="req_\x00e")
    responses.get(HEALTH, status=400, body=body, headers={"X-Request-Id": "req_h"})
    with pytest.raises(InvalidRequestError) as caught:
        client.health()
    error = caught.value
    lengths = [len(text) for text in (error.type, error.code, error.message, error.param)]
    assert all(
        0 < length <= most for length, most in zip(lengths, (50, 100, 500, 100), strict=True)
    )
    assert error.request_id == "req_e"


@responses.activate
@pytest.mark.parametrize("status", [199, 304, 600, 999])
def test_status_neither_success_nor_error_is_an_unexpected_reply(
    client: MedblocksClient, status: int
) -> None:
    responses.get(HEALTH, status=status, body=OK)
    with pytest.raises(UnexpectedReplyError) as caught:
        client.health()
    assert caught.value.status_code == status


def test_retry_after_date_counts_from_now() -> None:
    """Case 16."""
    seconds = parse_retry_after(formatdate(time.time() + 60, usegmt=True))
    assert seconds is not None
    assert 55 < seconds <= 60
