"""A clinic's site and its Medblocks in one process: quick enough for a test of every case.

The calls to Medblocks are caught where ``requests`` would send them and are answered by the
sandbox's own views, so that an answer can be changed, delayed or lost on its way.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests
import responses
from django.http import HttpResponse
from django.test import Client

from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.sandbox.models import SandboxSession
from medblocks_connect.sandbox.portal import return_url_with_outcome
from tests.faults.events import SECRET, post_event

KEY = "mb_sk_sbx_key_of_the_clinic"
BASE_URL = "https://medblocks.test/medblocks-sandbox"
RIVERSIDE = "fhirsrc_riverside_general"
RETURN = "/records/return/"
SESSION = "/patient-sessions/"

Payload = dict[str, Any]
Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Medblocks:
    """The sandbox, and what is done to its answers: by method and start of the path."""

    calls: list[tuple[str, str]] = field(default_factory=list)
    _without_sandbox: dict[str, Answer] = field(default_factory=dict)
    _changes: list[tuple[str, str, Callable[[Answer], Answer]]] = field(default_factory=list)

    def answer(self, request: requests.PreparedRequest) -> Answer:
        path = urlsplit(request.url).path.removeprefix("/medblocks-sandbox")
        self.calls.append((request.method, path))
        answered = self._without_sandbox.get(request.method) or self._ask_sandbox(request)
        for method, start, change in self._changes:
            if request.method == method and path.startswith(start):
                answered = change(answered)
        return answered

    def _ask_sandbox(self, request: requests.PreparedRequest) -> Answer:
        parts = urlsplit(request.url)
        response = Client().generic(
            request.method,
            f"{parts.path}?{parts.query}",
            request.body or b"",
            content_type=request.headers.get("Content-Type", ""),
            headers={"Authorization": request.headers["Authorization"]},
            secure=True,
        )
        headers = {
            name: response.headers[name]
            for name in ("X-Request-Id", "Retry-After")
            if name in response.headers
        }
        return response.status_code, headers, response.content

    def change(self, method: str, start: str, how: Callable[[Payload], Payload]) -> None:
        """Change the JSON that calls of ``start`` are answered with."""
        self.intercept(
            method, start, lambda answer: (*answer[:2], json.dumps(how(json.loads(answer[2]))))
        )

    def replace(self, method: str, start: str, body: bytes, status: int = 200) -> None:
        """Answer calls of ``start`` with ``body``, after the sandbox has done its work."""
        self.intercept(method, start, lambda _answer: (status, {"X-Request-Id": "req_odd"}, body))

    def take_over(self, method: str, answer: Answer) -> None:
        """Give calls by ``method`` this answer, and leave the sandbox out of it."""
        self._without_sandbox[method] = answer

    def lose(self, method: str, start: str) -> None:
        """Lose the answer to calls of ``start``, after the sandbox has done its work."""

        def raise_timeout(_answer: Answer) -> Answer:
            raise requests.ReadTimeout

        self.intercept(method, start, raise_timeout)

    def intercept(self, method: str, start: str, change: Callable[[Answer], Answer]) -> None:
        self._changes.append((method, start, change))

    def mend(self) -> None:
        """Undo all of it."""
        self._changes.clear()

    def count(self, method: str, start: str) -> int:
        return sum(each[0] == method and each[1].startswith(start) for each in self.calls)


@dataclass
class Clinic:
    """The site as a patient's browser has it, and the patient's actions at the portal."""

    client: Client
    medblocks: Medblocks
    prefix: str = "/records"  # of the app's URLs
    script_name: str = ""  # what the server takes off an address before the site sees it

    def start(self, connection_id: str = RIVERSIDE, **extra: Any) -> HttpResponse:
        return self.post(f"{self.prefix}/start/", {"connection_id": connection_id}, **extra)

    def start_hosted(self) -> PatientConnectionAttempt:
        """An attempt whose patient is at Medblocks' own page, to choose there."""
        answered = self.post(f"{self.prefix}/start/elsewhere/", {})
        assert answered.status_code == 303, answered.content.decode()
        return self.attempt

    def start_by_json(self, connection_id: Any = RIVERSIDE, **body: Any) -> HttpResponse:
        return self.client.post(
            f"{self.prefix}/api/patient-sessions/",
            json.dumps({"connection_id": connection_id, **body}),
            content_type="application/json",
            headers={"X-CSRFToken": self.csrf_token()},
        )

    def post(self, path: str, data: dict[str, str | bytes], **extra: Any) -> HttpResponse:
        """Post as a page of the site does it."""
        form = urlencode({"csrfmiddlewaretoken": self.csrf_token(), **data})
        kind = "application/x-www-form-urlencoded"
        return self.client.post(path, form, content_type=kind, **extra)

    def csrf_token(self) -> str:
        # Any secret of this length that the form repeats is a valid one (Django's CSRF docs).
        token = self.client.cookies.get("csrftoken")
        if token is None:
            self.client.cookies["csrftoken"] = secrets.token_hex(16)
        return self.client.cookies["csrftoken"].value

    @property
    def session(self) -> SandboxSession:
        """The newest session that Medblocks has."""
        return SandboxSession.objects.latest("pk")

    def started(self, connection_id: str = RIVERSIDE) -> PatientConnectionAttempt:
        """An attempt whose patient is at the portal."""
        answered = self.start(connection_id)
        assert answered.status_code == 303, answered.content.decode()
        return self.attempt

    @property
    def attempt(self) -> PatientConnectionAttempt:
        """The newest attempt, as the database has it."""
        return PatientConnectionAttempt.objects.latest("pk")

    def come_back(self, client: Client | None = None, **changed: str | None) -> HttpResponse:
        """Follow the portal's redirect back; ``changed`` parameters replace its own."""
        parts = urlsplit(return_url_with_outcome(self.session))
        query = dict(pair.split("=", 1) for pair in parts.query.split("&"))
        query |= changed
        kept = "&".join(f"{name}={value}" for name, value in query.items() if value is not None)
        path = parts.path.removeprefix(self.script_name)
        return (client or self.client).get(f"{path}?{kept}")

    def page(self) -> str:
        """Return the newest attempt's page, as the patient reads it."""
        address = self.attempt.get_absolute_url().removeprefix(self.script_name)
        answered = self.client.get(address)
        assert answered.status_code == 200
        return answered.content.decode()

    def read_refusal(self, answered: HttpResponse) -> str:
        """Return the page that a start that was refused leads to, by a redirect that is a GET."""
        assert answered.status_code == 303
        address = self.attempt.get_absolute_url()
        assert answered.headers["Location"] == address
        assert "no-store" in answered.headers["Cache-Control"]
        return self.page()

    def send(self, event: Payload, **how: Any) -> HttpResponse:
        """Deliver a webhook event to the site, signed."""
        how.setdefault("path", f"{self.prefix}/webhook/")
        return post_event(Client(enforce_csrf_checks=True), event, **how)


def everything(attempt: PatientConnectionAttempt) -> dict[str, object]:
    row = PatientConnectionAttempt.objects.filter(pk=attempt.pk).values().get()
    return {**row, "events": attempt.events.count()}


def catch_calls(medblocks: Medblocks) -> responses.RequestsMock:
    """Return the mock that leads every call of the client to ``medblocks``, once entered."""
    mock = responses.RequestsMock(assert_all_requests_are_fired=False)
    for method in (responses.GET, responses.POST, responses.PATCH, responses.DELETE):
        mock.add_callback(method, re.compile(re.escape(BASE_URL)), callback=medblocks.answer)
    return mock


SETTINGS = {"API_KEY": KEY, "BASE_URL": BASE_URL, "WEBHOOK_SECRETS": [SECRET], "MAX_RETRIES": 0}
