"""The time and the bytes that a call may take of its sockets: one allowance for all of it.

A timeout of ``requests`` starts anew with every byte that arrives, so a server that drips one byte
a second holds a worker for ever. Here each wait for the socket, to resolve, connect, send or
receive, gets only what is left of the call's time; and each byte received counts, whatever the
headers say about it.
"""

from __future__ import annotations

import http.client
import io
import logging
import queue
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from medblocks_connect.api import clock

MAX_BODY_BYTES = 2 * 1024 * 1024
# A page of 100 facilities is about 40 KB. The rest is room for headers and framing.
_MAX_WIRE_BYTES = MAX_BODY_BYTES + 256 * 1024
_SEND_BYTES = 16 * 1024
_TUNNEL_STATUS = re.compile(r"Tunnel connection failed: ([0-9]{3})\b")
_SHORTEST_WAIT = 0.001  # 0 would mean "do not block" to a socket

NETWORK_FAILURES = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
    ValueError,  # http.client's, for framing such as a negative chunk size
)
"""Whatever a request may raise while it is built, sent and answered."""

_URL_LOGGERS = ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry")


class Exchange:
    """One request and its answer: the time and bytes it may take, and whether it was sent."""

    def __init__(self, deadline: float, connect_timeout: float) -> None:
        self.sent = False
        self.too_large = False
        self.tunnel_refusal = ""  # in a sentence, where a proxy opened no tunnel
        self._connect_timeout = connect_timeout
        self._deadline = deadline
        self._connect_deadline: float | None = None
        self._received = 0

    @contextmanager
    def connecting(self) -> Iterator[None]:
        """Hold all of a connection's making to the time to connect.

        That is to resolve and reach, to have a proxy open a tunnel, and to agree on TLS.
        """
        self._connect_deadline = clock.monotonic() + self._connect_timeout
        try:
            yield
        finally:
            self._connect_deadline = None

    def note_sending(self) -> None:
        """Note that the request may have reached Medblocks; what asks a proxy for a way may not."""
        if self._connect_deadline is None:
            self.sent = True

    def seconds_left(self) -> float:
        """Return the seconds that are left; raises ``TimeoutError`` when there are none."""
        ends = (self._deadline, self._connect_deadline or self._deadline)
        left = min(ends) - clock.monotonic()
        if left <= 0:
            raise TimeoutError("the call's time is used up")
        return max(left, _SHORTEST_WAIT)

    def count_received(self, size: int) -> None:
        """Count ``size`` bytes; raises ``OSError`` when there were too many."""
        self._received += size
        if self._received > _MAX_WIRE_BYTES:
            self.too_large = True
            raise OSError("the answer is too large")


_current_exchange: ContextVar[Exchange] = ContextVar("medblocks_connect_exchange")


@contextmanager
def meter_sockets(exchange: Exchange) -> Iterator[None]:
    """Count the time and bytes of every socket that is used inside the block on ``exchange``."""
    token = _current_exchange.set(exchange)
    try:
        yield
    finally:
        _current_exchange.reset(token)


class _UrlLogFilter(logging.Filter):
    """Drops urllib3's lines about our calls: they show paths and queries, which name patients."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - logging's signature
        return _current_exchange.get(None) is None


for _name in _URL_LOGGERS:
    logging.getLogger(_name).addFilter(_UrlLogFilter())


class _MeteredReader(io.RawIOBase):
    """A socket's stream, whose every read waits no longer than the call's time that is left."""

    def __init__(self, connected: socket.socket, stream: io.RawIOBase) -> None:
        self._socket = connected
        self._stream = stream
        self._exchange = _current_exchange.get()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(self._exchange.seconds_left())
        received = self._stream.readinto(buffer) or 0
        self._exchange.count_received(received)
        return received

    def close(self) -> None:
        # The stream counts as a user of the socket; without this the socket would stay open.
        self._stream.close()
        super().close()


class _MeteredResponse(http.client.HTTPResponse):
    """An answer that is read through the meter, status line and headers included."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_MeteredReader(sock, self.fp.detach()))


class _MeteredHTTPConnection(HTTPConnection):
    """A connection that opens, sends and reads within the call's time."""

    response_class = _MeteredResponse

    def connect(self) -> None:
        """Connect; every failure here is one before the request, and is named as such."""
        try:
            with _current_exchange.get().connecting():
                super().connect()
        except TimeoutError:
            raise ConnectTimeoutError(self, "The connection was not ready in time.") from None
        except ssl.SSLError:
            raise
        except OSError:
            # A reset during the TLS handshake: nothing of the request was sent.
            raise NewConnectionError(self, "The connection was not completed.") from None

    def _new_conn(self) -> socket.socket:
        exchange = _current_exchange.get()
        seconds = exchange.seconds_left()
        give_up_at = clock.monotonic() + seconds
        connected = _connect_to_any(_resolve(self.host, self.port, seconds), give_up_at)
        # What is left of the time to connect is what a TLS handshake has.
        connected.settimeout(exchange.seconds_left())
        return connected

    def _tunnel(self) -> None:
        """Have the proxy open a way to Medblocks; the rest of the time is the handshake's."""
        exchange = _current_exchange.get()
        try:
            super()._tunnel()
        except OSError as error:
            # Of its message only the status: the rest is the proxy's own words.
            if status := _TUNNEL_STATUS.search(str(error)):
                exchange.tunnel_refusal = f"The proxy opened no tunnel (HTTP {status[1]})."
            raise
        self.sock.settimeout(exchange.seconds_left())

    def send(self, data: Any) -> None:
        """Send, and note that from now on the request may have reached Medblocks."""
        if self.sock is None:
            self.connect()
        exchange = _current_exchange.get()
        view = memoryview(data)
        for start in range(0, len(view), _SEND_BYTES):
            self.sock.settimeout(exchange.seconds_left())
            exchange.note_sending()
            super().send(view[start : start + _SEND_BYTES])


class _MeteredHTTPSConnection(_MeteredHTTPConnection, HTTPSConnection):
    """A metered connection over TLS."""


def _resolve(host: str, port: int, seconds: float) -> list[tuple[Any, ...]]:
    """Return the addresses of ``host``; raises ``TimeoutError`` after ``seconds``, ``OSError``.

    ``getaddrinfo`` takes no timeout and a resolver may try for half a minute, so it runs in a
    thread that is left alone when its time is over.
    """
    answer: queue.SimpleQueue[list[tuple[Any, ...]] | str] = queue.SimpleQueue()

    def look_up_host() -> None:
        try:
            answer.put([*socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)])
        except (OSError, UnicodeError):
            answer.put("the name has no address")

    threading.Thread(target=look_up_host, name="medblocks-resolve", daemon=True).start()
    try:
        addresses = answer.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError("the name was not resolved in time") from None
    if isinstance(addresses, str):
        raise OSError(addresses)
    return addresses


def _connect_to_any(addresses: list[tuple[Any, ...]], give_up_at: float) -> socket.socket:
    """Return a socket connected to the first address that answers; raises ``OSError``.

    Each address but the last gets half of what is left, so that one that swallows packets does
    not use up the others' time.
    """
    failure: OSError = OSError("the name has no address")
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        left = give_up_at - clock.monotonic()
        if left <= 0:
            raise TimeoutError("no address answered in time")
        share = left if index == len(addresses) - 1 else left / 2
        try:
            return _connect(socket.socket(family, kind, protocol), address, share)
        except OSError as error:
            failure = error
    raise failure


def _connect(candidate: socket.socket, address: Any, seconds: float) -> socket.socket:
    try:
        # A request is two small writes; with Nagle's algorithm the second waits for the first.
        candidate.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        candidate.settimeout(max(seconds, _SHORTEST_WAIT))
        candidate.connect(address)
    except OSError:
        candidate.close()
        raise
    return candidate


class _MeteredHTTPPool(HTTPConnectionPool):
    ConnectionCls = _MeteredHTTPConnection


class _MeteredHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _MeteredHTTPSConnection


_METERED_POOLS: Final = {"http": _MeteredHTTPPool, "https": _MeteredHTTPSPool}


class MeteredAdapter(HTTPAdapter):
    """``requests``' adapter over metered connections; one thread's, with one kept connection."""

    def __init__(self) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pool manager open metered connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _METERED_POOLS

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        """Make the pool manager of a proxy open metered connections."""
        manager = super().proxy_manager_for(proxy, **proxy_kwargs)
        manager.pool_classes_by_scheme = _METERED_POOLS
        return manager
