"""A site of a project in this folder, in a process of its own, and its visitors over HTTP."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from medblocks_connect.api import sign
from tests.hosts.medblocks import Payload, Workspace, return_address

ROOT = Path(__file__).parents[2]
RECORDS = "/records"


@dataclass
class Project:
    """A Django project in ``folder``, with ``added`` in its environment."""

    folder: Path
    database_url: str
    added: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str, **added: str) -> subprocess.CompletedProcess[str]:
        """Run ``manage.py`` with ``command`` to its end, with ``added`` in its environment."""
        return subprocess.run(
            [sys.executable, "-W", "error", "manage.py", *command],
            cwd=self.folder,
            env={**self.environment, **added},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def manage(self, *command: str, **added: str) -> str:
        """Run a command that has to succeed; return what it printed."""
        done = self.run(*command, **added)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def environment(self) -> dict[str, str]:
        not_ours = ("DJANGO_SETTINGS_MODULE", "PYTEST_", "MEDBLOCKS_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(not_ours)}
        ours = {"PYTHONPATH": str(ROOT), "DATABASE_URL": self.database_url}
        return {**kept, **ours, **self.added}

    @contextmanager
    def serve(self, log: Path) -> Iterator[int]:
        """Serve the site by one process with a thread for each connection; give its port."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = ["manage.py", "runserver", "--noreload", "--skip-checks", f"127.0.0.1:{port}"]
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-W", "error", *command],
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            _wait_until_it_listens(process, port, log)
            yield port
        finally:
            process.terminate()
            process.wait(timeout=20)


def _wait_until_it_listens(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 30
    while True:
        assert process.poll() is None, log.read_text()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)


@dataclass
class Visitor:
    """A browser at one of a site's hosts, and the workspace of Medblocks that is behind it."""

    host: str
    port: int
    workspace: Workspace
    secret: str
    browser: requests.Session = field(default_factory=requests.Session)

    def request(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        headers = {"Host": f"{self.host}:{self.port}", **kwargs.pop("headers", {})}
        url = f"http://127.0.0.1:{self.port}{path}"
        return self.browser.request(method, url, headers=headers, timeout=20, **kwargs)

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        return self.request("GET", path, **kwargs)

    def post(self, path: str, **data: str) -> requests.Response:
        """Post a form as a page of the site does; where it leads to is not gone to."""
        data["csrfmiddlewaretoken"] = self.browser.cookies.get("csrftoken", "")
        return self.request("POST", path, data=data, allow_redirects=False)

    def sign_in(self, name: str) -> None:
        self.get("/login/")
        answered = self.post("/login/", username=name, password="secret", next="/records/search/")
        assert answered.status_code == 302, answered.text

    def search(self, text: str) -> list[str]:
        """Return the names that are found."""
        answered = self.get(f"{RECORDS}/api/connections/", params={"q": text})
        assert answered.status_code == 200, answered.text
        return [each["name"] for each in answered.json()["data"]]

    def start(self, facility: str = "fhirsrc_0") -> Payload:
        """Start a connection; return Medblocks' session."""
        answered = self.post(f"{RECORDS}/start/", connection_id=facility)
        assert answered.status_code == 303, answered.text
        token = answered.headers["Location"].rpartition("/")[2]
        return self.workspace.sessions[f"ps_{token}"]

    def come_back(self, session: Payload, **outcome: bool) -> str:
        """Come back from the portal; return what the page says, without its tags."""
        answered = self.get(return_address(session, **outcome))
        assert answered.status_code == 200, answered.text
        return read_text(answered)

    def connect(self, facility: str = "fhirsrc_0") -> str:
        """Go the whole way through the portal; return the page at its end."""
        return self.come_back(self.workspace.approve(self.start(facility)["id"]))

    def read(self, path: str) -> str:
        answered = self.get(path)
        assert answered.status_code == 200, answered.text
        return read_text(answered)

    def send_completed(self, session: Payload, secret: str | None = None) -> int:
        """Deliver the event that ``session`` is complete; return the status."""
        return self.send("patient_session.completed", session, secret)

    def send(self, kind: str, about: Payload, secret: str | None = None) -> int:
        """Deliver an event as Medblocks does, signed; return the status."""
        event = {
            "id": f"evt_{about['id']}",
            "object": "event",
            "type": kind,
            "api_version": "2026-04-25",
            "created_at": "2026-11-22T12:00:00.000Z",
            "data": {"object": about},
        }
        body = json.dumps(event).encode()
        signature = sign(body, secret or self.secret, int(time.time()))
        headers = {"Medblocks-Signature": signature, "Content-Type": "application/json"}
        path = f"{RECORDS}/webhook/"
        return self.request("POST", path, data=body, headers=headers).status_code


def wait_until(is_true: Callable[[], bool]) -> None:
    """Wait for what follows an answer, such as a webhook's signals."""
    deadline = time.monotonic() + 10
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def read_text(answered: requests.Response) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", answered.text).split())
