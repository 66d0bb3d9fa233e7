"""A server of the same site with sixteen threads, whose connections to PostgreSQL are few.

``python -m tests.faults.pooled '<job as JSON>'`` serves the site on the database that
``DATABASE_URL`` names, with the job's ``options`` for it, sends all of the job's ``events`` to it
and asks for all of its ``pages`` at once, and prints what came of it as JSON. A process of its own,
because a pool is made with a process's first connection.
"""

from __future__ import annotations

import json
import os
import socketserver
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import django
import requests
from django.conf import settings
from django.core.wsgi import get_wsgi_application

THREADS = 16
SECONDS = 60  # for all of it, were it broken


class Server(WSGIServer):
    """Answers in ``THREADS`` threads; more requests wait."""

    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.threads = ThreadPoolExecutor(THREADS)
        self.set_app(get_wsgi_application())

    def process_request(self, request: Any, client_address: Any) -> None:
        self.threads.submit(self._answer, request, client_address)

    def _answer(self, request: Any, client_address: Any) -> None:
        try:
            socketserver.BaseServer.finish_request(self, request, client_address)
        finally:
            self.shutdown_request(request)


class Handler(WSGIRequestHandler):
    """Says nothing of each request."""

    def log_message(self, *args: Any) -> None:
        pass


def hear_with_a_query() -> list[int]:
    """Let a receiver of the host's ask the database; return the list of what it was told."""
    from medblocks_connect import signals
    from medblocks_connect.models import AttemptEvent

    heard: list[int] = []

    def count_events(attempt: Any, **kwargs: object) -> None:
        heard.append(AttemptEvent.objects.filter(attempt=attempt).count())

    signals.attempt_succeeded.connect(count_events, weak=False)
    return heard


def send_all(address: str, job: dict[str, Any]) -> list[tuple[int, float]]:
    """Send every event and ask for every page at once; return each status, and its seconds."""
    from tests.faults.events import WEBHOOK, sign_now

    together = threading.Barrier(len(job["events"]) + len(job["pages"]))

    def measure(method: str, path: str, **how: Any) -> tuple[int, float]:
        together.wait(SECONDS)
        began = time.monotonic()
        answer = requests.request(
            method, address + path, timeout=SECONDS, allow_redirects=False, **how
        )
        return answer.status_code, time.monotonic() - began

    def send(event: dict[str, Any]) -> tuple[int, float]:
        body = json.dumps(event).encode()
        return measure("POST", WEBHOOK, data=body, headers={"Medblocks-Signature": sign_now(body)})

    def look(path: str) -> tuple[int, float]:
        return measure("GET", path, cookies={"sessionid": job["session_key"]})

    with ThreadPoolExecutor(together.parties) as callers:
        answers = [callers.submit(send, event) for event in job["events"]]
        answers += [callers.submit(look, path) for path in job["pages"]]
        return [answer.result(SECONDS) for answer in answers]


def main() -> None:
    job = json.loads(sys.argv[1])
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    settings.DATABASES["default"]["OPTIONS"] = job["options"]
    settings.MEDBLOCKS_CONNECT = job["settings"]
    django.setup()
    heard = hear_with_a_query()
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        answers = send_all(f"http://127.0.0.1:{server.server_port}", job)
        server.shutdown()
        server.threads.shutdown()  # once the receivers, who come after the answers, are through
    sys.stdout.write(json.dumps({"answers": answers, "heard": len(heard)}))


if __name__ == "__main__":
    main()
