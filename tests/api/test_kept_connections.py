"""Kept connections: reused, replaced when closed, and never shared by threads or processes."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from medblocks_connect.api import MedblocksClient, NoAnswerError
from medblocks_connect.api.kept_connections import IDLE_SECONDS
from tests.api.conftest import HeldClock, MakeClient, Request, Serve, reply_json
from tests.api.strict import session


def echo(connection: socket.socket, request: Request) -> bool:
    """Answer with the session that the path asks for."""
    connection.sendall(reply_json(session(session_id=request.target.rpartition("/")[2])))
    return True


def test_five_calls_share_one_connection(serve: Serve, make_client: MakeClient) -> None:
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


class Gateway:
    """Answers the first request of a connection, and resets the connection under the next."""

    def __init__(self) -> None:
        self.known: set[int] = set()

    def __call__(self, connection: socket.socket, request: Request) -> bool:
        if request.connection in self.known:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            return False
        self.known.add(request.connection)
        answer = {**session("p1", "ps_1"), "disconnected": True}
        if request.method == "DELETE":
            answer["id"] = "conn_1"
        connection.sendall(reply_json(answer))
        return True


def post(client: MedblocksClient) -> object:
    return client.patient_sessions.create(patient_id="p1", return_url="https://r.example/")


def delete(client: MedblocksClient) -> object:
    return client.patients.disconnect_connection("p1", "conn_1")


def get(client: MedblocksClient) -> object:
    return client.patient_sessions.retrieve("ps_1")


@pytest.mark.parametrize(("send", "method"), [(post, "POST"), (delete, "DELETE")])
def test_connection_reset_after_long_idleness_case_59_does_not_cost_the_call(
    serve: Serve,
    make_client: MakeClient,
    held_clock: HeldClock,
    send: Callable[[MedblocksClient], object],
    method: str,
) -> None:
    server = serve(Gateway())
    client = make_client(server.url, max_retries=2)
    get(client)
    held_clock.time += 600
    send(client)
    assert [(r.method, r.connection) for r in server.requests] == [("GET", 1), (method, 2)]


def test_get_that_is_never_repeated_case_59_gets_a_fresh_connection_too(
    serve: Serve, make_client: MakeClient, held_clock: HeldClock
) -> None:
    server = serve(Gateway())
    client = make_client(server.url, max_retries=0)
    get(client)
    held_clock.time += 600
    get(client)
    assert [request.connection for request in server.requests] == [1, 2]


def test_get_case_59_is_repeated_on_a_fresh_connection(
    serve: Serve, make_client: MakeClient, held_clock: HeldClock
) -> None:
    server = serve(Gateway())
    client = make_client(server.url, max_retries=1)
    get(client)
    held_clock.time += 600
    get(client)
    assert [request.connection for request in server.requests] == [1, 1, 2]


def test_connection_that_idled_for_a_moment_is_kept_for_a_post(
    serve: Serve, make_client: MakeClient, held_clock: HeldClock
) -> None:
    server = serve(reply_json(session("p1", "ps_1")))
    client = make_client(server.url)
    get(client)
    held_clock.time += IDLE_SECONDS
    post(client)
    assert server.connection_count == 1
