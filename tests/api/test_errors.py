"""How errors are classed and what they say."""

from __future__ import annotations

import pytest

from medblocks_connect.api import (
    AuthenticationError,
    BillingError,
    ConflictError,
    EHRError,
    InvalidRequestError,
    MedblocksAPIError,
    MedblocksConnectionError,
    MedblocksError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    UnexpectedReplyError,
)
from medblocks_connect.api.errors import choose_error_class, without_frames


@pytest.mark.parametrize(
    ("error_type", "status", "expected"),
    [
        pytest.param("authentication_error", 401, AuthenticationError, id="case-10-401"),
        pytest.param("permission_error", 403, PermissionDeniedError, id="case-10-403"),
        pytest.param("invalid_request_error", 413, InvalidRequestError, id="case-10-413"),
        pytest.param("not_found_error", 404, NotFoundError, id="case-10-404"),
        pytest.param("conflict_error", 409, ConflictError, id="case-10-409"),
        pytest.param("rate_limit_error", 429, RateLimitError, id="case-10-429"),
        pytest.param("billing_error", 402, BillingError, id="case-10-402"),
        pytest.param("ehr_error", 502, EHRError, id="case-10-502"),
        pytest.param("api_error", 500, ServerError, id="case-10-500"),
        ("", 401, AuthenticationError),
        ("", 402, BillingError),
        ("", 403, PermissionDeniedError),
        ("", 404, NotFoundError),
        ("", 409, ConflictError),
        ("", 429, RateLimitError),
        ("", 400, InvalidRequestError),
        ("new_error", 418, InvalidRequestError),
        ("new_error", 502, ServerError),
        ("ehr_error", 400, EHRError),
    ],
)
def test_class(error_type: str, status: int, expected: type[MedblocksAPIError]) -> None:
    assert choose_error_class(error_type, status) is expected


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (MedblocksError("secret"), "error"),
        (MedblocksConnectionError("secret"), "connection_failed"),
        (UnexpectedReplyError("secret", status_code=200), "unexpected_reply (HTTP 200)"),
        (NotFoundError("secret", code="x", request_id="req_1"), "x (request req_1)"),
        (
            NotFoundError("secret", code="x", request_id="req_1", status_code=404),
            "x (HTTP 404, request req_1)",
        ),
    ],
)
def test_str_has_no_message(error: MedblocksError, shown: str) -> None:
    assert str(error) == shown
    assert repr(error) == f"{type(error).__name__}({shown!r})"


def test_without_frames_strips_any_exception() -> None:
    @without_frames
    def fail(value: str) -> None:
        try:
            int(value)
        except ValueError as error:
            raise LookupError("mine") from error

    with pytest.raises(LookupError, match="mine") as caught:
        fail("p-1234")
    assert {entry.name for entry in caught.traceback} <= {
        "test_without_frames_strips_any_exception",
        "call",
    }
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
