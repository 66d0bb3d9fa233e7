"""Servers that behave, misbehave, or complain, on real sockets; and a clock that tests hold."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from medblocks_connect.api import MedblocksClient, clock, deadline
from tests.api.strict import StrictMedblocks

KEY = "mb_sk_sbx_key_of_the_tests"


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int


Answer = Callable[[socket.socket, Request], "bool | None"]
MakeClient = Callable[..., MedblocksClient]


def reply(body: bytes = b"{}", status: str = "200 OK", **headers: str) -> bytes:
    """A whole HTTP answer; ``Content_Type="x"`` becomes a header of that name."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def reply_json(payload: Any, status: str = "200 OK", **headers: str) -> bytes:
    return reply(json.dumps(payload).encode(), status, **headers)


@dataclass
class RawServer:
    """Gives every request to ``answer``; a true result keeps the connection open."""

    answer: Answer
    certificate: Path | None = None
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopped = threading.Event()
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return self._listener.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http{'s' if self.certificate else ''}://127.0.0.1:{self.port}"

    @property
    def connection_count(self) -> int:
        return len(self._connections)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while not self._stopped.is_set():
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                threading.Thread(
                    target=self._serve, args=(connection, len(self._connections)), daemon=True
                ).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        # A client that gives up is what many of these tests are about.
        with contextlib.suppress(OSError), connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            channel: socket.socket = connection
            if self.certificate:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(self.certificate)
                channel = context.wrap_socket(connection, server_side=True)
            with channel, channel.makefile("rb") as stream:
                while request := _read_request(stream, number):
                    self.requests.append(request)
                    if not self.answer(channel, request):
                        return

    def wait_stopped(self, seconds: float) -> bool:
        """Sleep as a slow server does, but wake when the test is over."""
        return self._stopped.wait(seconds)

    def stop(self) -> None:
        self._stopped.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            connection.close()


def _read_request(stream: Any, number: int) -> Request | None:
    line = stream.readline().decode("latin-1").split()
    if len(line) != 3:  # the end, or a TLS handshake
        return None
    method, target, _ = line
    headers: dict[str, str] = {}
    while header := stream.readline().decode("latin-1").strip():
        name, _, value = header.partition(":")
        headers[name.strip().lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body, number)


Serve = Callable[..., RawServer]
HEALTHY = reply_json({"ok": True})


@pytest.fixture
def serve() -> Iterator[Callable[..., RawServer]]:
    """Start a ``RawServer`` for an ``answer`` function or fixed bytes."""
    servers: list[RawServer] = []

    def start(answer: Answer | bytes, *, certificate: Path | None = None) -> RawServer:
        def send_bytes(connection: socket.socket, request: Request) -> bool:
            connection.sendall(answer)
            return True

        servers.append(RawServer(send_bytes if isinstance(answer, bytes) else answer, certificate))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def make_client() -> Callable[..., MedblocksClient]:
    """Make a client; it never tries twice unless told to."""

    def make(base_url: str, **settings: Any) -> MedblocksClient:
        settings = {"timeout": 5, "max_retries": 0, **settings}
        return MedblocksClient(KEY, base_url=base_url, **settings)

    return make


@dataclass
class HeldClock:
    """Time that stands still but for ``sleep``."""

    time: float = 1000.0
    sleeps: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.time += seconds


@pytest.fixture
def held_clock(monkeypatch: pytest.MonkeyPatch) -> HeldClock:
    held = HeldClock()
    monkeypatch.setattr(clock, "monotonic", lambda: held.time)
    monkeypatch.setattr(clock, "now", lambda: held.time)
    monkeypatch.setattr(clock, "sleep", held.sleep)
    return held


@pytest.fixture
def strict(serve: Callable[..., RawServer]) -> Iterator[StrictMedblocks]:
    """A Medblocks that takes exactly what its API page names; complaints fail the test."""
    medblocks = StrictMedblocks(KEY)

    def answer(connection: socket.socket, request: Request) -> bool:
        status, payload = medblocks.answer(
            request.method, request.target, request.headers, request.body
        )
        connection.sendall(reply_json(payload, status, X_Request_Id="req_strict"))
        return True

    medblocks.url = serve(answer).url
    yield medblocks
    assert medblocks.complaints == []


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1 that nobody trusts, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    key, signed = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(signed)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs the openssl command to make a certificate")
    both = folder / "both.pem"
    both.write_text(key.read_text() + signed.read_text())
    return both


@pytest.fixture
def trusted_certificate(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The certificate, in the place of the certifi bundle that ``verify=True`` stands for."""
    send = deadline.MeteredAdapter.send

    def send_trusting(adapter: Any, request: Any, *, verify: Any, **options: Any) -> Any:
        assert verify is True
        return send(adapter, request, verify=str(certificate), **options)

    monkeypatch.setattr(deadline.MeteredAdapter, "send", send_trusting)
    return certificate


@pytest.fixture
def silent_port() -> Any:
    """Connects, as the system does that for it, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]
