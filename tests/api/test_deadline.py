"""Servers that drip, flood, hang up or lie, on real sockets."""

from __future__ import annotations

import gzip
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from medblocks_connect.api import (
    AuthenticationError,
    MedblocksAPIError,
    MedblocksClient,
    MedblocksConnectionError,
    MedblocksError,
    NoAnswerError,
    RateLimitError,
    ServerError,
    UnexpectedReplyError,
    deadline,
)
from tests.api.conftest import KEY, RawServer, Request, reply, reply_json
from tests.api.strict import session

Serve = Callable[..., RawServer]
MakeClient = Callable[..., MedblocksClient]
HEALTHY = reply_json({"ok": True})
# Seconds: what holds its deadline is done long before, on a busy machine too.
LONG_AFTER = 8


def echo(connection: socket.socket, request: Request) -> bool:
    """Answer with the session that the path asks for."""
    connection.sendall(reply_json(session(session_id=request.target.rpartition("/")[2])))
    return True


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
def test_deadline_holds(serve: Serve, make_client: MakeClient, start: bytes, piece: bytes) -> None:
    servers: list[RawServer] = []
    servers.append(serve(drip(servers, start, piece)))
    with pytest.raises(NoAnswerError):  # and not later, or never: the server drips until then
        make_client(servers[0].url, timeout=0.5, max_retries=2).health()
    assert len(servers[0].requests) == 1


def test_deadline_holds_for_an_error_that_keeps_its_status(
    serve: Serve, make_client: MakeClient
) -> None:
    servers: list[RawServer] = []
    start = b"HTTP/1.1 500 Oh\r\nContent-Length: 99\r\n\r\n"
    servers.append(serve(drip(servers, start, b" ")))
    with pytest.raises(ServerError):  # case 15: and not later, or never
        make_client(servers[0].url, timeout=0.5, max_retries=2).health()
    assert len(servers[0].requests) == 1


@pytest.fixture
def trusted_certificate(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The certificate, in the place of the certifi bundle that ``verify=True`` stands for."""
    send = deadline.MeteredAdapter.send

    def send_trusting(adapter: Any, request: Any, *, verify: Any, **options: Any) -> Any:
        assert verify is True
        return send(adapter, request, verify=str(certificate), **options)

    monkeypatch.setattr(deadline.MeteredAdapter, "send", send_trusting)
    return certificate


def test_deadline_holds_over_tls(
    serve: Serve, make_client: MakeClient, trusted_certificate: Path
) -> None:
    servers: list[RawServer] = []
    servers.append(serve(drip(servers, HEALTHY[:-5], b""), certificate=trusted_certificate))
    with pytest.raises(NoAnswerError):
        make_client(servers[0].url, timeout=0.5).health()
    assert len(servers[0].requests) == 1


def test_tls_works(serve: Serve, make_client: MakeClient, trusted_certificate: Path) -> None:
    server = serve(HEALTHY, certificate=trusted_certificate)
    client = make_client(server.url)
    assert client.health().ok
    assert client.health().ok
    assert server.connection_count == 1


def test_tls_untrusted_certificate(
    serve: Serve, make_client: MakeClient, certificate: Path
) -> None:
    server = serve(HEALTHY, certificate=certificate)
    with pytest.raises(MedblocksConnectionError):
        make_client(server.url).health()
    assert server.requests == []


def test_tls_broken_after_sending_does_not_repeat_post(
    serve: Serve, make_client: MakeClient, trusted_certificate: Path
) -> None:
    """Case 9: a TLS error mostly comes before the request, but not here."""

    def answer(connection: socket.socket, request: Request) -> None:
        os.write(connection.fileno(), b"this is no TLS record" * 10)

    server = serve(answer, certificate=trusted_certificate)
    with pytest.raises(NoAnswerError):
        make_client(server.url, max_retries=2).patient_sessions.create(
            patient_id="p1", return_url="https://r/"
        )
    assert len(server.requests) == 1


def test_tls_against_plain_server(serve: Serve, make_client: MakeClient) -> None:
    server = serve(HEALTHY)
    with pytest.raises(MedblocksConnectionError):
        make_client(server.url.replace("http", "https")).health()


@pytest.fixture
def silent_port() -> Any:
    """Connects, as the system does that for it, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_tls_handshake_never_answered(make_client: MakeClient, silent_port: int) -> None:
    with pytest.raises(MedblocksConnectionError):  # and not never
        make_client(f"https://127.0.0.1:{silent_port}", connect_timeout=0.3).health()


def test_tls_handshake_reset(make_client: MakeClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def reset() -> None:
            connection, _ = listener.accept()
            connection.recv(1)  # the handshake has begun
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()

        resetting = threading.Thread(target=reset)
        resetting.start()
        with pytest.raises(MedblocksConnectionError):
            make_client(f"https://127.0.0.1:{listener.getsockname()[1]}").health()
        resetting.join()


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
def test_too_large(serve: Serve, make_client: MakeClient, answer: Any) -> None:
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


@pytest.mark.parametrize(
    "status", [pytest.param(s, id=f"case-14-{s}") for s in (301, 302, 303, 307, 308, 304)]
)
def test_redirect_is_not_followed(serve: Serve, make_client: MakeClient, status: int) -> None:
    elsewhere = serve(HEALTHY)
    server = serve(reply(b"", f"{status} Moved", Location=f"{elsewhere.url}/health"))
    with pytest.raises(UnexpectedReplyError) as caught:
        make_client(server.url, max_retries=2).health()
    assert caught.value.status_code == status
    assert (len(server.requests), len(elsewhere.requests)) == (1, 0)


def test_cookie_is_not_kept(serve: Serve, make_client: MakeClient) -> None:
    server = serve(reply_json({"ok": True}, Set_Cookie="case14=1; Path=/"))
    client = make_client(server.url)
    client.health()
    client.health()
    assert len(server.requests) == 2
    assert not any("cookie" in request.headers for request in server.requests)


def test_environment_changes_nothing(
    serve: Serve, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Case 13."""
    trap = serve(HEALTHY)
    server = serve(reply_json(session()))
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login thief password thief\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, trap.url)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, "/nonsense")
    make_client(server.url).patient_sessions.retrieve("ps_1")
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    assert trap.requests == []
    # The trap works: a plain session does fall into it.
    assert requests.get(server.url, timeout=5).status_code == 200
    assert len(trap.requests) == 1


def test_environment_ca_bundle_nonsense_over_tls(
    serve: Serve,
    make_client: MakeClient,
    trusted_certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Case 13."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonsense")
    assert make_client(serve(HEALTHY, certificate=trusted_certificate).url).health().ok


def test_connection_is_kept(serve: Serve, make_client: MakeClient) -> None:
    server = serve(echo)
    client = make_client(server.url)
    for number in range(5):
        client.patient_sessions.retrieve(f"ps_{number}")
    assert server.connection_count == 1


def test_kept_connection_case_17_closed_repeats_get(serve: Serve, make_client: MakeClient) -> None:
    """It closes when the second request is already there."""

    def answer(connection: socket.socket, request: Request) -> bool:
        if len(server.requests) == 2:
            return False
        return echo(connection, request)

    server = serve(answer)
    client = make_client(server.url, max_retries=1)
    client.patient_sessions.retrieve("ps_1")
    assert client.patient_sessions.retrieve("ps_2").id == "ps_2"
    assert [request.connection for request in server.requests] == [1, 1, 2]


def test_closed_after_sending_does_not_repeat_post(serve: Serve, make_client: MakeClient) -> None:
    """Case 9."""
    server = serve(lambda *_: False)
    with pytest.raises(NoAnswerError):
        make_client(server.url, max_retries=2).patient_sessions.create(
            patient_id="p1", return_url="https://r/"
        )
    assert len(server.requests) == 1


def test_idle_connection_closed_by_server_is_replaced(
    serve: Serve, make_client: MakeClient
) -> None:
    def answer(connection: socket.socket, request: Request) -> bool:
        echo(connection, request)
        return False

    server = serve(answer)
    client = make_client(server.url)
    client.patient_sessions.retrieve("ps_1")
    time.sleep(0.1)
    assert client.patient_sessions.retrieve("ps_2").id == "ps_2"


def test_threads_case_17_get_their_own_answers(serve: Serve, make_client: MakeClient) -> None:
    """``retrieve`` raises when the answer is another session's."""
    server = serve(echo)
    client = make_client(server.url, timeout=20)

    def ask(number: int) -> list[str]:
        asked = [f"ps_{number}_{turn}" for turn in range(10)]
        return [client.patient_sessions.retrieve(one).id for one in asked if one]

    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(ask, range(32)))
    assert answers == [[f"ps_{n}_{turn}" for turn in range(10)] for n in range(32)]


def test_fork_case_17_shares_no_socket(serve: Serve, make_client: MakeClient) -> None:
    server = serve(echo)
    client = make_client(server.url)
    client.patient_sessions.retrieve("ps_before")
    child = os.fork()
    if child == 0:
        # The child leaves by os._exit, so that it runs nothing of pytest's.
        code = 1
        try:
            for turn in range(20):
                client.patient_sessions.retrieve(f"ps_child_{turn}")
            code = 0
        finally:
            os._exit(code)
    for turn in range(20):
        client.patient_sessions.retrieve(f"ps_parent_{turn}")
    assert os.waitpid(child, 0)[1] == 0
    connections_of = {
        who: {r.connection for r in server.requests if f"ps_{who}" in r.target}
        for who in ("before", "child", "parent")
    }
    assert connections_of["before"] == connections_of["parent"]
    assert not connections_of["child"] & connections_of["parent"]


def test_refused(make_client: MakeClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(MedblocksConnectionError):
        make_client(f"http://127.0.0.1:{port}").health()


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)


def test_second_address_is_tried(
    serve: Serve, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(HEALTHY)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()
    resolve_to(monkeypatch, closed, ("127.0.0.1", server.port))
    assert make_client("http://two.example").health().ok


@pytest.fixture
def full_address() -> Any:
    """Its queue is full, so a further connection is neither taken nor refused."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()
        for one in waiting:
            one.close()


def test_connect_timeout_spans_all_addresses(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, full_address: tuple[str, int]
) -> None:
    """Case 8."""
    resolve_to(monkeypatch, *[full_address] * 40)
    started = time.monotonic()
    with pytest.raises(MedblocksConnectionError):
        make_client("http://many.example", connect_timeout=0.4, timeout=60).health()
    assert 0.3 < time.monotonic() - started < LONG_AFTER


def test_connect_is_within_the_deadline(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, full_address: tuple[str, int]
) -> None:
    resolve_to(monkeypatch, full_address)
    started = time.monotonic()
    with pytest.raises(MedblocksConnectionError):
        make_client("http://one.example", timeout=0.3, connect_timeout=30).health()
    assert time.monotonic() - started < LONG_AFTER


def test_working_address_after_a_silent_one(
    serve: Serve,
    make_client: MakeClient,
    monkeypatch: pytest.MonkeyPatch,
    full_address: tuple[str, int],
) -> None:
    server = serve(HEALTHY)
    resolve_to(monkeypatch, full_address, ("127.0.0.1", server.port))
    assert make_client("http://two.example", connect_timeout=0.4).health().ok


@pytest.mark.parametrize("error", [socket.gaierror("unknown"), UnicodeError("label too long")])
def test_name_without_address(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Case 8."""

    def fail(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(MedblocksConnectionError):
        make_client("http://nowhere.example").health()


def test_name_with_no_addresses_at_all(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch)
    with pytest.raises(MedblocksConnectionError):
        make_client("http://empty.example").health()


def test_slow_resolver(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case 8."""
    done = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: done.wait(30) and [])
    with pytest.raises(MedblocksConnectionError):
        make_client("http://slow.example", connect_timeout=0.3).health()
    assert not done.is_set()
    done.set()


def test_server_that_does_not_read(
    make_client: MakeClient, silent_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large body fills the buffers; sending is within the deadline too."""
    with pytest.raises(NoAnswerError):  # and not never
        make_client(f"http://127.0.0.1:{silent_port}", timeout=0.5).patient_sessions.create(
            patient_id="p1", return_url="https://r/", metadata={"a": "x" * 20_000_000}
        )


def test_time_used_up_before_an_address() -> None:
    with pytest.raises(TimeoutError):
        deadline._connect_to_any([(0, 0, 0, "", "never tried")], time.monotonic() - 1)


def test_time_used_up_before_a_try() -> None:
    exchange = deadline.Exchange(deadline=time.monotonic() - 1, connect_timeout=1)
    with pytest.raises(TimeoutError):
        exchange.seconds_left()


def test_urllib3_logs_nothing_of_a_call(
    serve: Serve, make_client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = serve(reply_json({"id": "patient-77"}))
    make_client(server.url).patients.retrieve("patient-77")
    assert "patient-77" not in caplog.text
    assert {record.name for record in caplog.records} == {"medblocks_connect.api"}


def test_urllib3_still_logs_for_others(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    requests.get(serve(HEALTHY).url, timeout=5)
    assert any(record.name == "urllib3.connectionpool" for record in caplog.records)


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
