"""Retries of a call, its errors, and that no log and no error tells of the patient."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import pytest
import requests
import responses
from urllib3.exceptions import MaxRetryError, NewConnectionError

from medblocks_connect.api import (
    MedblocksClient,
    MedblocksConnectionError,
    MedblocksError,
    NoAnswerError,
    RateLimitError,
    ServerError,
    UnexpectedReplyError,
)
from tests.api.conftest import KEY, HeldClock
from tests.api.strict import session

BASE = "https://app.medblocks.com"
REFUSED = requests.ConnectionError(
    MaxRetryError(None, "/", NewConnectionError(None, "refused"))  # type: ignore[arg-type]
)
PATIENT_ID, EMAIL = "p-1234", "ann@example.org"
Send = Callable[[MedblocksClient], Any]


def get(client: MedblocksClient) -> Any:
    return client.patient_sessions.retrieve("ps_1")


def post(client: MedblocksClient) -> Any:
    return client.patient_sessions.create(
        patient_id=PATIENT_ID, return_url="https://r/", patient_email=EMAIL
    )


def delete(client: MedblocksClient) -> Any:
    return client.patients.disconnect_connection("p-1234", "conn_1")


def answer_all(**answer: Any) -> None:
    responses.get(f"{BASE}/patient-sessions/ps_1", **answer)
    responses.post(f"{BASE}/patient-sessions", **answer)
    responses.delete(f"{BASE}/patients/p-1234/connections/conn_1", **answer)


@pytest.fixture
def client() -> MedblocksClient:
    return MedblocksClient(KEY, timeout=10)


def failure_of(send: Send, client: MedblocksClient) -> MedblocksError:
    with pytest.raises(MedblocksError) as caught:
        send(client)
    return caught.value


@responses.activate
@pytest.mark.parametrize("send", [get, post, delete])
@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_temporary_status_is_repeated(
    client: MedblocksClient, held_clock: HeldClock, send: Send, status: int
) -> None:
    answer_all(status=status)
    assert failure_of(send, client).code == f"http_{status}"
    assert len(responses.calls) == 3
    assert 0.25 <= held_clock.sleeps[0] <= 0.5 <= held_clock.sleeps[1] <= 0.75


@responses.activate
@pytest.mark.parametrize("send", [get, post, delete])
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 409, 413, 500, 501, 301])
def test_other_status_is_not_repeated(
    client: MedblocksClient, held_clock: HeldClock, send: Send, status: int
) -> None:
    answer_all(status=status)
    failure_of(send, client)
    assert len(responses.calls) == 1


@responses.activate
def test_retry_after_a_503_returns_the_session(
    client: MedblocksClient, held_clock: HeldClock
) -> None:
    responses.post(f"{BASE}/patient-sessions", status=503)
    responses.post(f"{BASE}/patient-sessions", json=session("p-1234"))
    assert post(client).id == "ps_1"


@responses.activate
@pytest.mark.parametrize("send", [get, post, delete])
@pytest.mark.parametrize(
    "error",
    [
        pytest.param(REFUSED, id="case-8-refused"),
        pytest.param(
            requests.ConnectionError(NewConnectionError(None, "dns")),  # type: ignore[arg-type]
            id="case-8-dns",
        ),
        pytest.param(requests.ConnectTimeout("slow"), id="case-8-connect-timeout"),
        pytest.param(requests.exceptions.SSLError("bad"), id="case-8-certificate"),
    ],
)
def test_request_never_sent_is_repeated(
    client: MedblocksClient, held_clock: HeldClock, send: Send, error: Exception
) -> None:
    answer_all(body=error)
    failure = failure_of(send, client)
    assert (type(failure), failure.code) == (MedblocksConnectionError, "connection_failed")
    assert len(responses.calls) == 3


@responses.activate
@pytest.mark.parametrize(("send", "calls"), [(get, 3), (post, 1), (delete, 1)])
@pytest.mark.parametrize(
    "error",
    [
        pytest.param(requests.ReadTimeout("slow"), id="case-9-read-timeout"),
        pytest.param(requests.ConnectionError("closed"), id="case-9-closed"),
        pytest.param(requests.exceptions.ChunkedEncodingError("cut"), id="case-9-cut"),
    ],
)
def test_no_answer_repeats_get_only(
    client: MedblocksClient, held_clock: HeldClock, send: Send, calls: int, error: Exception
) -> None:
    answer_all(body=error)
    failure = failure_of(send, client)
    assert (type(failure), failure.code) == (NoAnswerError, "no_answer")
    assert len(responses.calls) == calls


@responses.activate
def test_max_retries_zero_tries_once(held_clock: HeldClock) -> None:
    answer_all(status=503)
    failure_of(get, MedblocksClient(KEY, max_retries=0))
    assert (len(responses.calls), held_clock.sleeps) == (1, [])


@responses.activate
def test_backoff_waits_lie_in_their_windows(held_clock: HeldClock) -> None:
    answer_all(status=503)
    failure_of(get, MedblocksClient(KEY, max_retries=5, timeout=60))
    windows = [(0.25, 0.5), (0.5, 0.75), (1, 1.25), (2, 2.25), (2, 2.25)]
    assert len(held_clock.sleeps) == 5
    for slept, (shortest, longest) in zip(held_clock.sleeps, windows, strict=True):
        assert shortest <= slept <= longest


@responses.activate
def test_backoff_stays_before_deadline(held_clock: HeldClock) -> None:
    answer_all(status=503)
    failure_of(get, MedblocksClient(KEY, max_retries=50, timeout=3))
    assert 1 < sum(held_clock.sleeps) < 3


@responses.activate
@pytest.mark.parametrize(
    ("header", "retry_after", "calls"),
    [
        pytest.param("2", 2.0, 3, id="case-16-seconds"),
        pytest.param("0", 0.0, 3, id="case-16-zero"),
        pytest.param("10", 10.0, 1, id="case-16-ends-at-the-deadline"),
        pytest.param("999999", 999999.0, 1, id="case-16-far-away"),
        pytest.param("9" * 5000, None, 3, id="case-16-5000-digits"),
        pytest.param("-5", None, 3, id="case-16-negative"),
        pytest.param("Thu, 01 Jan 1970 00:16:43 GMT", 3.0, 3, id="case-16-date"),
        pytest.param("Thu, 01 Jan 1970 00:16:43 -0000", 3.0, 3, id="case-16-date-without-zone"),
        pytest.param("Thu, 01 Jan 1970 00:00:01 GMT", 0.0, 3, id="case-16-date-past"),
        pytest.param("Thu, 01 Jan 9999 00:00:01 GMT", 253370763801.0, 1, id="case-16-date-far"),
        pytest.param("Thu, 99 Foo 1970 00:00:01 GMT", None, 3, id="case-16-no-date"),
        pytest.param("soon", None, 3, id="case-16-garbage"),
        pytest.param("٣", None, 3, id="case-16-arabic-digit"),
        pytest.param(None, None, 3, id="case-16-absent"),
    ],
)
def test_retry_after_header_is_waited_for(
    client: MedblocksClient,
    held_clock: HeldClock,
    header: str | None,
    retry_after: float | None,
    calls: int,
) -> None:
    held_clock.time = 1000.0
    seen: list[float | None] = []

    def answer(request: Any) -> Any:
        seen.append(held_clock.time)
        return 429, {"Retry-After": header} if header is not None else {}, ""

    responses.add_callback("GET", f"{BASE}/patient-sessions/ps_1", answer)
    failure = failure_of(get, MedblocksClient(KEY, timeout=10, max_retries=2))
    assert isinstance(failure, RateLimitError)
    assert len(seen) == calls
    assert held_clock.time < 1010
    if calls == 1:
        assert failure.retry_after == retry_after
    elif retry_after is None:
        assert failure.retry_after is None
    else:
        # A date comes nearer from try to try; whole seconds are asked for each time.
        assert held_clock.sleeps[0] >= retry_after


@responses.activate
def test_timeout_of_one_call_ends_its_retries(
    client: MedblocksClient, held_clock: HeldClock
) -> None:
    answer_all(status=503)
    with pytest.raises(ServerError):
        client.patient_sessions.retrieve("ps_1", timeout=0.2)
    assert len(responses.calls) == 1


ENVELOPE = {
    "error": {
        "type": "not_found_error",
        "code": "resource_not_found",
        "message": "No p-1234 for ann@example.org",
        "param": "connection_id",
        "doc_url": "https://docs",
        "request_id": "req_1",
    }
}


@responses.activate
def test_error_shows_no_message_and_keeps_no_request(client: MedblocksClient) -> None:
    answer_all(status=404, json=ENVELOPE)
    failure = failure_of(post, client)
    assert str(failure) == "resource_not_found (HTTP 404, request req_1)"
    assert failure.message == "No [redacted] for [redacted]"
    assert failure.__cause__ is None
    assert failure.__context__ is None


@responses.activate
@pytest.mark.parametrize(
    "answer",
    [
        {"body": requests.ConnectionError("closed " + KEY)},
        {"status": 404, "json": ENVELOPE},
        {"status": 200, "body": '{"cut": "ann@example.org'},
        {"status": 200, "json": session("another", patient_name="ann@example.org")},
        {"status": 302, "headers": {"Location": "https://evil.example/"}},
    ],
)
def test_error_frames_hold_no_key_and_no_patient(
    client: MedblocksClient, answer: dict[str, Any]
) -> None:
    """Django's error page prints the local variables of each frame of a traceback."""
    answer_all(**answer)
    failure = failure_of(post, client)
    assert failure.__context__ is None
    shown = [repr(failure), repr(vars(failure)), "".join(traceback.format_exception(failure))]
    ours = [
        frame.f_locals
        for frame, _ in traceback.walk_tb(failure.__traceback__)
        if "medblocks_connect/api" in frame.f_code.co_filename
    ]
    assert ours
    shown += [repr(value) for local in ours for value in local.values()]
    for private in (KEY, "ann@example.org", "p-1234", "/c/0123"):
        assert private not in "".join(shown)


def test_request_that_cannot_be_built_is_our_error_and_shows_nothing(
    client: MedblocksClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(request: requests.Request) -> None:
        raise requests.exceptions.InvalidURL(request.url)

    monkeypatch.setattr(requests.Request, "prepare", refuse)
    failure = failure_of(lambda each: each.patients.retrieve(PATIENT_ID), client)
    assert type(failure) is MedblocksConnectionError
    assert failure.__context__ is None
    assert PATIENT_ID not in repr(vars(failure))


@responses.activate
def test_error_that_quotes_the_whole_request_keeps_nothing_of_it(client: MedblocksClient) -> None:
    def quote(request: requests.PreparedRequest) -> tuple[int, dict[str, str], str]:
        message = f"bad body: {request.body.decode()}"  # type: ignore[union-attr]
        return 400, {}, json.dumps({"error": {"code": "invalid_data", "message": message}})

    responses.add_callback("POST", f"{BASE}/patient-sessions", quote)
    told = {"born": "1950-02-03", "ids": ["123-45-6789", {"chart": 4477}], "is_new": True}
    with pytest.raises(MedblocksError) as caught:
        client.patient_sessions.create(
            patient_id=PATIENT_ID,
            return_url="https://clinic.example/return/",
            patient_name="Ann \u0141uczak",
            metadata=told,
        )
    assert "bad body" in caught.value.message
    for private in ("1950", "6789", "4477", "uczak", PATIENT_ID, "clinic.example"):
        assert private not in caught.value.message


@responses.activate
def test_error_survives_pickle(client: MedblocksClient) -> None:
    answer_all(status=404, json=ENVELOPE)
    failure = failure_of(post, client)
    again = pickle.loads(pickle.dumps(failure))
    assert type(again) is type(failure)
    assert vars(again) == vars(failure)
    assert (str(again), again.args) == (str(failure), failure.args)


@responses.activate
def test_log_names_template_only(client: MedblocksClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answer_all(
        status=200, json={"id": "conn_1", "disconnected": True}, headers={"X-Request-Id": "r7"}
    )
    delete(client)
    record = caplog.records[-1]
    assert record.name == "medblocks_connect.api"
    assert record.levelno == logging.DEBUG
    template = "/patients/{patient_id}/connections/{patient_connection_id}"
    assert record.getMessage().startswith(f"DELETE {template}: 200, request r7, ")
    assert "p-1234" not in caplog.text
    assert "conn_1" not in caplog.text


@responses.activate
def test_log_of_no_answer_names_no_key(
    client: MedblocksClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer_all(body=requests.ReadTimeout(KEY))
    failure_of(post, client)
    assert "POST /patient-sessions: no answer, request unknown" in caplog.text
    assert KEY not in caplog.text


@responses.activate
def test_unexpected_reply_is_not_repeated(client: MedblocksClient) -> None:
    answer_all(status=200, body="<html>")
    assert isinstance(failure_of(post, client), UnexpectedReplyError)
    assert len(responses.calls) == 1
