"""Connecting: names and addresses that refuse, swallow or never resolve."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from medblocks_connect.api import MedblocksConnectionError, deadline
from tests.api.conftest import HEALTHY, MakeClient, Serve

# Seconds: what holds its deadline is done long before, on a busy machine too.
LONG_AFTER = 8


def test_refused_connection_is_a_connection_error(make_client: MakeClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(MedblocksConnectionError):
        make_client(f"http://127.0.0.1:{port}").health()


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)


def test_second_address_is_tried_where_the_first_refuses(
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


def test_working_address_after_a_silent_one_is_reached(
    serve: Serve,
    make_client: MakeClient,
    monkeypatch: pytest.MonkeyPatch,
    full_address: tuple[str, int],
) -> None:
    server = serve(HEALTHY)
    resolve_to(monkeypatch, full_address, ("127.0.0.1", server.port))
    assert make_client("http://two.example", connect_timeout=0.4).health().ok


@pytest.mark.parametrize("error", [socket.gaierror("unknown"), UnicodeError("label too long")])
def test_name_that_does_not_resolve_is_a_connection_error(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Case 8."""

    def fail(*_: Any) -> Any:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(MedblocksConnectionError):
        make_client("http://nowhere.example").health()


def test_name_with_no_addresses_is_a_connection_error(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolve_to(monkeypatch)
    with pytest.raises(MedblocksConnectionError):
        make_client("http://empty.example").health()


def test_slow_resolver_ends_at_the_connect_timeout(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case 8."""
    done = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: done.wait(30) and [])
    with pytest.raises(MedblocksConnectionError):
        make_client("http://slow.example", connect_timeout=0.3).health()
    assert not done.is_set()
    done.set()


def test_connecting_with_no_time_left_raises_timeout_error() -> None:
    with pytest.raises(TimeoutError):
        deadline._connect_to_any([(0, 0, 0, "", "never tried")], time.monotonic() - 1)
