"""Errors: their classes, their text, and the properties that decide what to ask again."""

from __future__ import annotations

import pytest

from medblocks_connect.api import (
    AuthenticationError,
    BillingError,
    ConflictError,
    EHRError,
    InvalidRequestError,
    MedblocksAPIError,
    MedblocksBusyError,
    MedblocksConnectionError,
    MedblocksError,
    NoAnswerError,
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
def test_type_and_status_choose_the_error_class(
    error_type: str, status: int, expected: type[MedblocksAPIError]
) -> None:
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
def test_str_and_repr_hold_no_message(error: MedblocksError, shown: str) -> None:
    assert str(error) == shown
    assert repr(error) == f"{type(error).__name__}({shown!r})"


UNANSWERED = {"is_unanswered", "is_unavailable", "is_temporary"}
UNAVAILABLE = {"is_unavailable", "is_temporary"}
RATE_LIMITED = {"is_rate_limited", "is_temporary"}
KEY_REFUSED = {"is_key_refused"}
NOTHING: set[str] = set()

PROPERTIES_OF_ERRORS: list[tuple[MedblocksError, set[str]]] = [
    (MedblocksConnectionError(), UNANSWERED),
    (MedblocksBusyError(), UNANSWERED),
    (NoAnswerError(), UNANSWERED),
    (ServerError(status_code=500), UNAVAILABLE),
    (ServerError(status_code=599), UNAVAILABLE),
    (EHRError(status_code=502), UNAVAILABLE),
    (MedblocksAPIError(status_code=503), UNAVAILABLE),
    (RateLimitError(status_code=429), RATE_LIMITED),
    (RateLimitError(status_code=403), RATE_LIMITED),
    (BillingError(status_code=429), RATE_LIMITED),
    (RateLimitError(status_code=503), UNAVAILABLE | RATE_LIMITED),
    (AuthenticationError(status_code=401), KEY_REFUSED),
    (PermissionDeniedError(status_code=403), KEY_REFUSED),
    (BillingError(status_code=402), NOTHING),
    (ConflictError(status_code=409), NOTHING),
    (EHRError(status_code=400), NOTHING),
    (InvalidRequestError(), NOTHING),
    (InvalidRequestError(status_code=499), NOTHING),
    (NotFoundError(status_code=404), NOTHING),
    (UnexpectedReplyError(), NOTHING),
    (UnexpectedReplyError(status_code=200), NOTHING),
    (MedblocksAPIError(), NOTHING),
    (MedblocksError(), NOTHING),
]


def list_error_classes(error_class: type[MedblocksError]) -> set[type[MedblocksError]]:
    subclasses = [list_error_classes(subclass) for subclass in error_class.__subclasses__()]
    return {error_class}.union(*subclasses)


def test_properties_table_has_every_error_class() -> None:
    ours = {
        error_class
        for error_class in list_error_classes(MedblocksError)
        if error_class.__module__ == MedblocksError.__module__
    }
    assert {type(error) for error, _ in PROPERTIES_OF_ERRORS} == ours


@pytest.mark.parametrize(
    "name",
    ["is_unanswered", "is_unavailable", "is_rate_limited", "is_key_refused", "is_temporary"],
)
@pytest.mark.parametrize(
    ("error", "true_properties"),
    PROPERTIES_OF_ERRORS,
    ids=[f"{type(error).__name__}-{error.status_code}" for error, _ in PROPERTIES_OF_ERRORS],
)
def test_error_has_property_exactly_as_listed(
    error: MedblocksError, true_properties: set[str], name: str
) -> None:
    assert getattr(error, name) is (name in true_properties)


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
