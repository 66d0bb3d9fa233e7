"""Calls behind a gate: few wait, nobody sleeps, one repetition; and without one all as before."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import responses

from medblocks_connect.api import (
    Gate,
    MedblocksBusyError,
    MedblocksClient,
    MedblocksError,
    NoAnswerError,
    RateLimitError,
    WaitingRoom,
)
from medblocks_connect.api.gate import FAILURES_IN_A_ROW
from tests.api.conftest import HEALTHY, KEY, HeldClock, Request, Serve
from tests.api.test_transport import BASE, answer_all, delete, failure_of, get, post

SEATS, THREADS = 4, 16
LONGEST_WAIT = 0.3


def make_gated(base_url: str = BASE, **settings: Any) -> MedblocksClient:
    settings = {"timeout": 10, "max_retries": 1, "max_retry_wait": LONGEST_WAIT, **settings}
    gate = Gate(WaitingRoom(SEATS))
    return MedblocksClient(KEY, base_url=base_url, gate=gate, **settings)


@responses.activate
@pytest.mark.parametrize("send", [get, post, delete])
@pytest.mark.parametrize("status", [502, 503, 504])
def test_gated_call_is_repeated_once_within_a_third_of_a_second(
    held_clock: HeldClock, send: Callable[[MedblocksClient], Any], status: int
) -> None:
    answer_all(status=status)
    assert failure_of(send, make_gated()).code == f"http_{status}"
    assert len(responses.calls) == 2
    (slept,) = held_clock.sleeps
    assert 0 < slept <= LONGEST_WAIT


@responses.activate
@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("retry_after", ["1", "3600"])
def test_gated_call_sleeps_out_no_retry_after(
    held_clock: HeldClock, status: int, retry_after: str
) -> None:
    answer_all(status=status, headers={"Retry-After": retry_after})
    failure_of(get, make_gated())
    assert len(responses.calls) == 1
    assert held_clock.sleeps == []


@responses.activate
def test_gated_calls_after_a_429_are_not_sent(held_clock: HeldClock) -> None:
    answer_all(status=429, headers={"Retry-After": "3600"})
    client = make_gated()
    assert isinstance(failure_of(get, client), RateLimitError)
    for send in (get, post, delete):
        assert isinstance(failure_of(send, client), MedblocksBusyError)
    assert len(responses.calls) == 1
    held_clock.time += 10
    assert isinstance(failure_of(get, client), RateLimitError)


@responses.activate
def test_gated_calls_after_five_failures_are_not_sent_until_one_is_answered(
    held_clock: HeldClock,
) -> None:
    answer_all(status=503)
    client = make_gated()
    while not client.gate or not client.gate.state.is_closed:
        failure_of(get, client)
    # The last of them was not repeated: the gate was closed by then.
    assert len(responses.calls) == FAILURES_IN_A_ROW
    assert isinstance(failure_of(get, client), MedblocksBusyError)
    held_clock.time += 5
    responses.get(f"{BASE}/health", json={"ok": True})
    assert client.health().ok
    assert not client.gate.state.is_closed


@responses.activate
@pytest.mark.parametrize("retry_after", [2, 9])
def test_call_without_a_gate_waits_for_as_long_as_medblocks_asks(
    held_clock: HeldClock, retry_after: int
) -> None:
    responses.get(f"{BASE}/health", status=429, headers={"Retry-After": str(retry_after)})
    responses.get(f"{BASE}/health", json={"ok": True})
    assert MedblocksClient(KEY, timeout=10).health().ok
    assert held_clock.sleeps[0] >= retry_after


def test_of_sixteen_threads_four_wait_and_the_others_fail_at_once(serve: Serve) -> None:
    over = threading.Event()

    def hang(connection: socket.socket, _request: Request) -> bool:
        over.wait(20)
        connection.sendall(HEALTHY)
        return True

    server = serve(hang)
    client = make_gated(server.url, timeout=30)
    failed = threading.Semaphore(0)

    def ask(_number: int) -> type[MedblocksError] | None:
        try:
            client.health()
        except MedblocksError as error:
            failed.release()
            return type(error)
        return None

    with ThreadPoolExecutor(THREADS) as pool:
        asking = pool.map(ask, range(THREADS))
        # All of these while the others are still waiting.
        for _ in range(THREADS - SEATS):
            assert failed.acquire(timeout=10)
        over.set()
        ends = list(asking)
    assert ends.count(MedblocksBusyError) == THREADS - SEATS
    assert ends.count(None) == SEATS == len(server.requests)


def test_calls_that_hang_close_the_gate_for_all(serve: Serve) -> None:
    def hang(connection: socket.socket, _request: Request) -> None:
        connection.settimeout(20)
        connection.recv(1)

    server = serve(hang)
    client = make_gated(server.url, timeout=0.6)
    failures = [type(failure_of(get, client)) for _ in range(FAILURES_IN_A_ROW + 3)]
    assert failures == [NoAnswerError] * FAILURES_IN_A_ROW + [MedblocksBusyError] * 3
    assert len(server.requests) == FAILURES_IN_A_ROW
