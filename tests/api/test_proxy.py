"""Through a proxy: what holds without one holds with one, on real sockets."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from medblocks_connect.api import (
    MedblocksClient,
    MedblocksConnectionError,
    NoAnswerError,
    UnexpectedReplyError,
)
from tests.api.conftest import HEALTHY, KEY, HeldClock, MakeClient, Serve, reply_json
from tests.api.proxy import Proxy
from tests.api.strict import session
from tests.api.test_broken_answers import bomb, endless
from tests.api.test_kept_connections import Gateway, delete, echo, get, post

MakeProxy = Callable[..., Proxy]


@pytest.fixture
def make_proxy() -> Iterator[MakeProxy]:
    proxies: list[Proxy] = []

    def make(**options: Any) -> Proxy:
        proxies.append(Proxy(**options))
        return proxies[-1]

    yield make
    for proxy in proxies:
        proxy.stop()


@pytest.fixture
def proxy(make_proxy: MakeProxy) -> Proxy:
    return make_proxy()


@pytest.fixture
def connect(
    serve: Serve, make_client: MakeClient, certificate: Path, proxy: Proxy
) -> Callable[..., Any]:
    """Start a Medblocks over TLS; return it, and a client that reaches it through the proxy."""

    def start(answer: Any, *, through: Proxy = proxy, **settings: Any) -> Any:
        server = serve(answer, certificate=certificate)
        settings = {"proxy": through.url, "ca_bundle": certificate, **settings}
        return server, make_client(server.url, **settings)

    return start


def test_tunnel_is_opened_once_for_several_calls(connect: Callable[..., Any], proxy: Proxy) -> None:
    server, client = connect(echo)
    get(client)
    get(client)
    (asked,) = proxy.asked
    assert asked.startswith(f"CONNECT 127.0.0.1:{server.port} ")
    assert server.connection_count == 1


def test_proxy_sees_neither_key_nor_path(connect: Callable[..., Any], proxy: Proxy) -> None:
    server, client = connect(echo)
    get(client)
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    seen = f"{proxy.asked} {proxy.headers}"
    assert KEY not in seen
    assert "ps_1" not in seen


def test_plain_http_is_forwarded(serve: Serve, make_client: MakeClient, proxy: Proxy) -> None:
    server = serve(reply_json(session("p1", "ps_1")))
    client = make_client(server.url, proxy=proxy.url)
    get(client)
    post(client)
    assert [line.split()[:2] for line in proxy.asked] == [
        ["GET", f"{server.url}/patient-sessions/ps_1"],
        ["POST", f"{server.url}/patient-sessions"],
    ]


def test_proxy_gets_its_user_and_password(
    connect: Callable[..., Any], make_proxy: MakeProxy
) -> None:
    server, client = connect(echo, through=make_proxy(user="clinic:p@ss"))
    get(client)
    assert "proxy-authorization" not in server.requests[0].headers


@pytest.mark.parametrize("status", [403, 407, 502])
def test_tunnel_refused_case_9_is_a_connection_error(
    connect: Callable[..., Any], make_proxy: MakeProxy, status: int
) -> None:
    """Nothing of the request was sent, so that a POST may be tried again."""
    proxy = make_proxy(refuses_with=status)
    server, client = connect(HEALTHY, through=proxy, max_retries=1)
    with pytest.raises(MedblocksConnectionError) as caught:
        post(client)
    assert (len(proxy.asked), server.requests) == (2, [])
    assert caught.value.message == f"The proxy opened no tunnel (HTTP {status})."


def test_proxy_that_is_not_there_is_a_connection_error(connect: Callable[..., Any]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    _, client = connect(HEALTHY, proxy=f"http://127.0.0.1:{port}")
    with pytest.raises(MedblocksConnectionError):
        post(client)


def test_proxy_that_never_answers_ends_at_the_connect_timeout(
    connect: Callable[..., Any], make_proxy: MakeProxy
) -> None:
    _, client = connect(
        HEALTHY, through=make_proxy(is_silent=True), timeout=30, connect_timeout=0.3
    )
    started = time.monotonic()
    with pytest.raises(MedblocksConnectionError):
        post(client)
    assert time.monotonic() - started < 8


def test_proxy_whose_answer_drips_ends_at_the_connect_timeout(
    serve: Serve, connect: Callable[..., Any]
) -> None:
    """Case 15."""

    def drip(connection: socket.socket, request: Any) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not dripping.wait_stopped(0.05):
            connection.sendall(b"y")

    dripping = serve(drip)
    _, client = connect(HEALTHY, proxy=dripping.url, timeout=30, connect_timeout=0.3)
    started = time.monotonic()
    with pytest.raises(MedblocksConnectionError):
        post(client)
    assert time.monotonic() - started < 8


def test_silence_in_the_tunnel_case_9_ends_at_the_deadline_and_is_not_repeated(
    connect: Callable[..., Any],
) -> None:
    server, client = connect(lambda *_: server.wait_stopped(30), timeout=0.7, max_retries=2)
    with pytest.raises(NoAnswerError):
        post(client)
    assert len(server.requests) == 1


def test_tunnel_closed_after_sending_case_9_does_not_repeat_post(
    connect: Callable[..., Any],
) -> None:
    server, client = connect(lambda *_: False, max_retries=2)
    with pytest.raises(NoAnswerError):
        post(client)
    assert len(server.requests) == 1


def test_answer_that_drips_through_the_tunnel_case_15_ends_at_the_deadline(
    connect: Callable[..., Any],
) -> None:
    def drip(connection: socket.socket, request: Any) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not server.wait_stopped(0.05):
            connection.sendall(b" ")

    server, client = connect(drip, timeout=0.7)
    with pytest.raises(NoAnswerError):
        client.health()


@pytest.mark.parametrize("answer", [endless, bomb])
def test_answer_without_end_case_15_is_too_large_through_the_tunnel(
    connect: Callable[..., Any], answer: Any
) -> None:
    _, client = connect(answer, timeout=20)
    with pytest.raises(UnexpectedReplyError) as caught:
        client.health()
    assert "too large" in caught.value.message


def test_threads_case_17_get_their_own_answers_through_the_proxy(
    connect: Callable[..., Any], proxy: Proxy
) -> None:
    server, client = connect(echo, timeout=30, connect_timeout=20)

    def ask(number: int) -> list[str]:
        names = [f"ps_{number}_{turn}" for turn in range(5)]
        return [client.patient_sessions.retrieve(name).id for name in names]

    with ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(ask, range(16)))
    assert answers == [[f"ps_{n}_{turn}" for turn in range(5)] for n in range(16)]
    assert len(proxy.asked) == server.connection_count


def test_fork_case_17_shares_no_tunnel(connect: Callable[..., Any]) -> None:
    server, client = connect(echo)
    get(client)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            client.patient_sessions.retrieve("ps_child")
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    client.patient_sessions.retrieve("ps_parent")
    connections = {r.target.rpartition("/")[2]: r.connection for r in server.requests}
    assert connections["ps_1"] == connections["ps_parent"] != connections["ps_child"]


def test_kept_tunnel_case_17_closed_repeats_get(connect: Callable[..., Any]) -> None:
    def answer(connection: socket.socket, request: Any) -> bool:
        return len(server.requests) != 2 and echo(connection, request)

    server, client = connect(answer, max_retries=1)
    client.patient_sessions.retrieve("ps_1")
    assert client.patient_sessions.retrieve("ps_2").id == "ps_2"
    assert [request.connection for request in server.requests] == [1, 1, 2]


@pytest.mark.parametrize("send", [post, delete])
def test_tunnel_reset_after_long_idleness_case_59_does_not_cost_the_call(
    connect: Callable[..., Any],
    proxy: Proxy,
    held_clock: HeldClock,
    send: Callable[[MedblocksClient], object],
) -> None:
    server, client = connect(Gateway(), max_retries=2)
    get(client)
    held_clock.time += 600
    send(client)
    assert [request.connection for request in server.requests] == [1, 2]
    assert len(proxy.asked) == 2


def test_environment_case_13_replaces_no_proxy(
    connect: Callable[..., Any], proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonsense")
    _, client = connect(HEALTHY)
    assert client.health().ok
    assert len(proxy.asked) == 1


def test_certificate_of_another_authority_gets_no_request_through_the_tunnel(
    connect: Callable[..., Any],
) -> None:
    server, client = connect(HEALTHY, ca_bundle="")
    with pytest.raises(MedblocksConnectionError):
        post(client)
    assert server.requests == []


def test_handshake_never_answered_in_the_tunnel_ends_at_the_connect_timeout(
    make_client: MakeClient, proxy: Proxy, silent_port: int
) -> None:
    client = make_client(
        f"https://127.0.0.1:{silent_port}", proxy=proxy.url, timeout=30, connect_timeout=0.4
    )
    started = time.monotonic()
    with pytest.raises(MedblocksConnectionError):
        client.health()
    assert time.monotonic() - started < 8


def test_password_of_the_proxy_is_in_no_repr_and_no_error(
    connect: Callable[..., Any], make_proxy: MakeProxy, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    proxy = make_proxy(user="clinic:opensesame", refuses_with=403)
    _, client = connect(HEALTHY, through=proxy)
    with pytest.raises(MedblocksConnectionError) as caught:
        client.health()
    transport = client.patients._transport
    kept = transport._kept_connections
    shown = [repr(client), repr(vars(client)), repr(vars(transport)), repr(vars(kept))]
    shown += [repr(caught.value), caught.value.message, caplog.text]
    assert "opensesame" not in " ".join(shown)
