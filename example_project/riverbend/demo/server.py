"""The demo's server: threads of this process, loopback only, and no line per request."""

import logging
import socketserver
import threading
from typing import Final

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler
from django.core.wsgi import get_wsgi_application

HOST: Final = "127.0.0.1"


class QuietRequestHandler(WSGIRequestHandler):
    """Django's own handler, without its log of requests."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
        """Say nothing."""


class DemoServer:
    """The clinic's site on a port of this machine, taken at once and served from a thread."""

    def __init__(self, port: int) -> None:
        """Take ``port``, or any free one for 0. Raises ``OSError`` where it cannot be had."""
        self._server = ThreadedWSGIServer((HOST, port), QuietRequestHandler)
        self.port: int = self._server.server_address[1]
        self.url = f"http://{HOST}:{self.port}"

    def start(self) -> None:
        """Serve from a thread of its own."""
        _show_errors_only()
        self._server.set_app(StaticFilesHandler(get_wsgi_application()))
        threading.Thread(target=self._server.serve_forever, name="demo", daemon=True).start()

    def stop(self) -> None:
        """Stop serving, and give the port back. A request that is under way is cut off."""
        self._server.shutdown()
        # Not the threading server's own: it would wait for browsers that keep connections open.
        socketserver.TCPServer.server_close(self._server)


def _show_errors_only() -> None:
    # Refused starts are part of the demo (Django logs a line for each 4xx and 5xx); a view that
    # breaks is not, and its traceback is always shown.
    logging.getLogger("django.request").addFilter(_has_traceback)
    # What a logger below sends up passes no filter of the logger, but those of its handlers.
    logging.getLogger("medblocks_connect").addHandler(logging.StreamHandler())
    for name in ("django", "medblocks_connect"):
        for handler in logging.getLogger(name).handlers:
            handler.addFilter(_has_traceback)


def _has_traceback(record: logging.LogRecord) -> bool:
    return record.exc_info is not None
