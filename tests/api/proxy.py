"""A real proxy on loopback: it opens tunnels, forwards plain HTTP, and can be told to refuse."""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, urlsplit

import requests


@dataclass
class Proxy:
    """``asked`` are the request lines that came, ``headers`` what came with each."""

    user: str = ""
    refuses_with: int = 0
    is_silent: bool = False
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stopped = threading.Event()
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        user = f"{quote(self.user, safe=':')}@" if self.user else ""
        return f"http://{user}127.0.0.1:{self._server.server_address[1]}"

    def refusal(self, headers: dict[str, str]) -> int:
        """Return the status to refuse with, 0 for none."""
        expected = "Basic " + base64.b64encode(self.user.encode()).decode()
        if self.user and headers.get("proxy-authorization") != expected:
            return 407
        return self.refuses_with

    def wait_stopped(self, seconds: float) -> bool:
        return self._stopped.wait(seconds)

    def is_stopped(self) -> bool:
        return self._stopped.is_set()

    def stop(self) -> None:
        self._stopped.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass

    def _is_let_through(self) -> bool:
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.proxy.asked.append(self.requestline)
        self.proxy.headers.append(headers)
        if self.proxy.is_silent:
            self.proxy.wait_stopped(30)
        if refusal := self.proxy.refusal(headers):
            self.send_response(refusal)
            self.send_header("Content-Length", "0")
            self.end_headers()
        return not refusal and not self.proxy.is_silent

    def do_CONNECT(self) -> None:
        self.close_connection = True
        if not self._is_let_through():
            return
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host.strip("[]"), int(port))) as there:
            self.send_response(200)
            self.end_headers()
            self.wfile.flush()
            with contextlib.suppress(OSError):
                self._relay(self.connection, there)

    def _relay(self, here: socket.socket, there: socket.socket) -> None:
        there.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while not self.proxy.is_stopped():
            for ready in select.select([here, there], [], [], 0.05)[0]:
                data = ready.recv(65536)
                if not data:
                    return
                (there if ready is here else here).sendall(data)

    def do_GET(self) -> None:
        self._forward()

    def do_POST(self) -> None:
        self._forward()

    def _forward(self) -> None:
        """Forward plain HTTP, without what is for the proxy alone."""
        if not self._is_let_through():
            return
        assert urlsplit(self.path).scheme == "http"
        headers = {n: v for n, v in self.headers.items() if not n.lower().startswith("proxy-")}
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(self.command, self.path, headers=headers, data=body, timeout=5)
        self.send_response(answer.status_code)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)
