"""Servers that drip or fall silent: every wait ends at the deadline."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from medblocks_connect.api import NoAnswerError, ServerError, deadline
from tests.api.conftest import HEALTHY, MakeClient, RawServer, Request, Serve, reply


def drip(server: list[RawServer], start: bytes, piece: bytes) -> Callable[..., None]:
    def answer(connection: socket.socket, request: Request) -> None:
        connection.sendall(start)
        while not server[0].wait_stopped(0.05):
            connection.sendall(piece)

    return answer


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        pytest.param(b"", b"", id="case-9-silence"),
        pytest.param(b"", b"H", id="case-15-drips-status-line"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-A: ", b"a", id="case-15-drips-one-header"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="case-15-drips-continue"),
        pytest.param(
            reply(b"")[:-23] + b"Content-Length: 99\r\n\r\n", b" ", id="case-15-drips-body"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", b" ", id="case-15-drips-until-close"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"1\r\n \r\n",
            id="case-15-drips-chunks",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
            b"X: y\r\n",
            id="case-15-drips-trailers",
        ),
    ],
)
def test_answer_that_drips_or_is_silent_ends_at_the_deadline(
    serve: Serve, make_client: MakeClient, start: bytes, piece: bytes
) -> None:
    servers: list[RawServer] = []
    servers.append(serve(drip(servers, start, piece)))
    with pytest.raises(NoAnswerError):  # and not later, or never: the server drips until then
        make_client(servers[0].url, timeout=0.5, max_retries=2).health()
    assert len(servers[0].requests) == 1


def test_error_that_drips_ends_at_the_deadline_with_its_status(
    serve: Serve, make_client: MakeClient
) -> None:
    servers: list[RawServer] = []
    start = b"HTTP/1.1 500 Oh\r\nContent-Length: 99\r\n\r\n"
    servers.append(serve(drip(servers, start, b" ")))
    with pytest.raises(ServerError):  # case 15: and not later, or never
        make_client(servers[0].url, timeout=0.5, max_retries=2).health()
    assert len(servers[0].requests) == 1


def test_tls_answer_that_stops_ends_at_the_deadline(
    serve: Serve, make_client: MakeClient, trusted_certificate: Path
) -> None:
    servers: list[RawServer] = []
    servers.append(serve(drip(servers, HEALTHY[:-5], b""), certificate=trusted_certificate))
    with pytest.raises(NoAnswerError):
        make_client(servers[0].url, timeout=0.5).health()
    assert len(servers[0].requests) == 1


def test_server_that_does_not_read_ends_at_the_deadline(
    make_client: MakeClient, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large body fills the buffers; sending is within the deadline too."""
    with pytest.raises(NoAnswerError):  # and not never
        make_client(f"http://127.0.0.1:{silent_port}", timeout=0.5).patient_sessions.create(
            patient_id="p1", return_url="https://r/", metadata={"a": "x" * 20_000_000}
        )


def test_seconds_left_after_the_deadline_raises_timeout_error() -> None:
    exchange = deadline.Exchange(deadline=time.monotonic() - 1, connect_timeout=1)
    with pytest.raises(TimeoutError):
        exchange.seconds_left()
