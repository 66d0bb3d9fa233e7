"""Answers that flood, break off or lie, on real sockets."""

from __future__ import annotations

import gzip
import socket
from typing import Any

import pytest

from medblocks_connect.api import (
    AuthenticationError,
    MedblocksAPIError,
    MedblocksError,
    NoAnswerError,
    RateLimitError,
    ServerError,
    UnexpectedReplyError,
)
from tests.api.conftest import HEALTHY, MakeClient, Request, Serve, reply


def endless(connection: socket.socket, request: Request) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b" " * 65536)


def endless_chunk(connection: socket.socket, request: Request) -> None:
    # http.client reads a chunk of size -1 until the connection closes.
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n")
    while True:
        connection.sendall(b" " * 65536)


def bomb(connection: socket.socket, request: Request) -> None:
    packed = gzip.compress(b" " * 100_000_000)
    assert len(packed) < 150_000
    connection.sendall(reply(packed, Content_Encoding="gzip"))


def promise_much(connection: socket.socket, request: Request) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
    while True:
        connection.sendall(b" " * 65536)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(endless, id="case-15-endless"),
        pytest.param(endless_chunk, id="case-15-endless-chunk"),
        pytest.param(bomb, id="case-15-bomb"),
        pytest.param(promise_much, id="case-15-promises-100-gb"),
    ],
)
def test_answer_without_end_is_too_large(
    serve: Serve, make_client: MakeClient, answer: Any
) -> None:
    with pytest.raises(UnexpectedReplyError) as caught:
        make_client(serve(answer).url).health()
    assert "too large" in caught.value.message


def test_negative_chunk_is_no_answer(serve: Serve, make_client: MakeClient) -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc"
    with pytest.raises(NoAnswerError):
        make_client(serve(answer).url).health()


def test_cut_off_body_is_no_answer(serve: Serve, make_client: MakeClient) -> None:
    def cut(connection: socket.socket, request: Request) -> None:
        connection.sendall(HEALTHY[:-5])

    server = serve(cut)
    with pytest.raises(NoAnswerError):
        make_client(server.url).health()


@pytest.mark.parametrize(
    ("status", "expected", "tries"),
    [
        (b"401 No", AuthenticationError, 1),
        (b"429 Slow", RateLimitError, 2),
        (b"503 Away", ServerError, 2),
    ],
)
def test_cut_off_error_keeps_its_status(
    serve: Serve,
    make_client: MakeClient,
    status: bytes,
    expected: type[MedblocksAPIError],
    tries: int,
) -> None:
    head = b"HTTP/1.1 " + status + b"\r\nContent-Length: 99\r\nRetry-After: 0\r\n\r\n"
    server = serve(lambda connection, _request: connection.sendall(head + b'{"error": {'))
    with pytest.raises(expected) as caught:
        make_client(server.url, max_retries=1).patient_sessions.create(
            patient_id="p-1", return_url="https://r/"
        )
    assert (caught.value.status_code, caught.value.retry_after) == (int(status[:3]), 0)
    assert len(server.requests) == tries


def test_fuzzed_answers_raise_only_our_errors(serve: Serve, make_client: MakeClient) -> None:
    broken = [
        b"\r\n\r\n",
        b"\x00\xff" * 50,
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000 + b"\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
        b"HTTP/1.1 200 OK\r\n no name\r\n: x\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 204 No Content\r\n\r\n",
    ]

    def answer(connection: socket.socket, request: Request) -> None:
        connection.sendall(broken[len(server.requests) - 1])

    server = serve(answer)
    client = make_client(server.url)
    for _ in broken:
        with pytest.raises(MedblocksError) as caught:
            client.health()
        assert caught.value.__context__ is None
