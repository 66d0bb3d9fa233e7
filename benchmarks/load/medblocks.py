"""The stand-in for Medblocks: an asynchronous server on loopback with sessions, a portal, webhooks.

``python -m benchmarks.load.medblocks`` prints the ports of its API and of its portal as JSON and
serves until it is ended. The portal's port also has the switch: ``POST /control`` changes what
``Switch`` holds, ``GET /control`` counts what happened, ``GET /truth`` is what it knows.

Every call to the API takes ``latency`` seconds. ``mode`` is one of ``MODES``; in the mode
``answers`` a share of the calls fails as ``faults`` says. A fault may strike before or after the
call did its work. Each event is sent twice, each time after a delay of its own, so that copies and
events come late and shuffled; a copy that is not answered by 2xx is sent again.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit

from benchmarks.names import make_names

FACILITIES = 20_000
SECRET = "whsec_of_the_load_test"
MODES = ("answers", "slow", "fails", "limits", "hangs", "resets", "garbage", "gone")
SLOW = (2.0, 5.0)  # seconds of a call in the mode "slow"
LONGEST_HANG = 60.0
WEBHOOK_SECONDS = 5.0  # as long as Medblocks waits for a receiver
WEBHOOK_TRIES = 9
WEBHOOKS_AT_ONCE = 8
REASONS = {200: "OK", 303: "See Other", 404: "Not Found", 429: "Too Many Requests"}

Answer = tuple[int, dict[str, str], bytes]


class NoAnswerError(Exception):
    """The connection is to be reset."""


@dataclass
class Switch:
    """What the stand-in does at the moment."""

    mode: str = "answers"
    faults: dict[str, float] = field(default_factory=dict)
    latency: tuple[float, float] = (0.05, 0.3)
    webhook_url: str = ""
    webhook_delay: tuple[float, float] = (0.0, 8.0)


@dataclass
class Session:
    """A patient session, with the one facility that it is for."""

    id: str
    token: str
    patient_id: str
    connection_id: str
    return_url: str
    metadata: Mapping[str, Any]
    created_at: float
    expires_at: float
    connection: dict[str, Any] | None = None

    @property
    def status(self) -> str:
        if self.connection is not None:
            return "complete"
        return "expired" if time.time() > self.expires_at else "open"


def write_time(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, timezone.utc)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def write_error(status: int, kind: str, code: str) -> Answer:
    error = {"type": kind, "code": code, "message": code, "param": None, "doc_url": None}
    return status, {}, json.dumps({"error": {**error, "request_id": "req_x"}}).encode()


def write_list(items: list[dict[str, Any]], query: Mapping[str, str]) -> Answer:
    begin = int(query.get("starting_after", "0"))
    end = begin + int(query.get("limit", "10"))
    more = end < len(items)
    page = {
        "resource_type": "list",
        "data": items[begin:end],
        "has_more": more,
        "next_cursor": str(end) if more else None,
    }
    return 200, {}, json.dumps(page).encode()


class Medblocks:
    """What the stand-in knows, and its answers."""

    def __init__(self) -> None:
        self.switch = Switch()
        self.chance = random.Random(7)
        self.counts: Counter[str] = Counter()
        self.sessions: dict[str, Session] = {}
        self.by_token: dict[str, Session] = {}
        self.by_patient: dict[str, list[Session]] = {}
        self.portal_url = ""
        self.open_webhooks = 0
        self.slowest_webhook = 0.0
        self.webhook_gate = asyncio.Semaphore(WEBHOOKS_AT_ONCE)
        self.tasks: set[asyncio.Task[None]] = set()
        self.facilities: list[dict[str, Any]] = [
            {
                "id": f"fhirsrc_{number}",
                "resource_type": "fhir_source",
                "name": name,
                "type": kind or None,
                "fhir_base_url": f"https://fhir-{number}.example/r4",
                "logo_url": None,
                "portal_url": None,
            }
            for number, (name, kind) in enumerate(make_names(FACILITIES, seed=5))
        ]
        self.folded = [item["name"].casefold() for item in self.facilities]
        self.by_id = {item["id"]: item for item in self.facilities}

    # The API

    async def answer_api(self, method: str, target: str, body: bytes) -> Answer:
        """Answer a call, late and sometimes wrongly."""
        self.counts["calls"] += 1
        switch, chance = self.switch, self.chance
        await asyncio.sleep(chance.uniform(*(SLOW if switch.mode == "slow" else switch.latency)))
        fault = self.choose_fault()
        if not fault:
            return self.work(method, target, body)
        self.counts[f"fault: {fault}"] += 1
        # A limit refuses; whatever else breaks may break after the work was done.
        has_worked = fault != "limits" and (fault == "garbage" or chance.random() < 0.5)
        if has_worked:
            self.work(method, target, body)
        if fault == "hangs":
            await asyncio.sleep(LONGEST_HANG)
        if fault in {"hangs", "resets"}:
            raise NoAnswerError
        if fault == "garbage":
            return (
                200,
                {},
                chance.choice([b"<html>Bad gateway", b'{"id": "ps_', b"[]", b"\xff\xfe"]),
            )
        if fault == "limits":
            status, _headers, answer = write_error(429, "rate_limit_error", "throttled")
            return status, {"Retry-After": "1"}, answer
        return write_error(500, "api_error", "internal_error")

    def choose_fault(self) -> str:
        if self.switch.mode not in {"answers", "slow"}:
            return self.switch.mode
        rest = self.chance.random()
        for fault, share in self.switch.faults.items():
            if rest < share:
                return fault
            rest -= share
        return ""

    def work(self, method: str, target: str, body: bytes) -> Answer:
        parts = urlsplit(target)
        names = [unquote(name) for name in parts.path.strip("/").split("/")]
        query = dict(parse_qsl(parts.query))
        match (method, *names):
            case ("GET", "connections"):
                return write_list(self.find_facilities(query), query)
            case ("GET", "connections", facility) if facility in self.by_id:
                return 200, {}, json.dumps(self.by_id[facility]).encode()
            case ("POST", "patient-sessions"):
                return self.open_session(json.loads(body))
            case ("GET", "patient-sessions", session) if session in self.sessions:
                return 200, {}, json.dumps(self.describe(self.sessions[session])).encode()
            case ("GET", "patients", patient, "patient-sessions") if patient in self.by_patient:
                newest = reversed(self.by_patient[patient])
                return write_list([self.describe(session) for session in newest], query)
            case ("GET", "patients", patient) if patient in self.by_patient:
                return 200, {}, json.dumps(self.describe_patient(patient)).encode()
            case ("GET", "webhooks"):
                return write_list([], query)
        return write_error(404, "not_found_error", "resource_not_found")

    def find_facilities(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        text = query.get("q", "").casefold()
        if not text:
            return self.facilities
        found = zip(self.facilities, self.folded, strict=True)
        return [item for item, name in found if text in name]

    def open_session(self, asked: Mapping[str, Any]) -> Answer:
        if asked["connection_id"] not in self.by_id:
            return write_error(404, "not_found_error", "resource_not_found")
        number = len(self.sessions)
        now = time.time()
        session = Session(
            id=f"ps_{number}",
            token=f"{self.chance.getrandbits(128):032x}",
            patient_id=asked["patient_id"],
            connection_id=asked["connection_id"],
            return_url=asked["return_url"],
            metadata=asked.get("metadata", {}),
            created_at=now,
            expires_at=now + asked.get("expires_in", 1800),
        )
        self.sessions[session.id] = self.by_token[session.token] = session
        self.by_patient.setdefault(session.patient_id, []).append(session)
        return 200, {}, json.dumps(self.describe(session)).encode()

    def describe(self, session: Session) -> dict[str, Any]:
        return {
            "id": session.id,
            "resource_type": "patient_session",
            "status": session.status,
            "url": f"{self.portal_url}/c/{session.token}",
            "patient_id": session.patient_id,
            "connection_id": session.connection_id,
            "recommended_connection_ids": None,
            "return_url": session.return_url,
            "return_button_label": None,
            "connections": [session.connection] if session.connection else [],
            "expires_at": write_time(session.expires_at),
            "metadata": session.metadata,
            "created_at": write_time(session.created_at),
        }

    def describe_patient(self, patient: str) -> dict[str, Any]:
        sessions = self.by_patient[patient]
        connections = [
            {
                **session.connection,
                "resource_type": "connection",
                "patient_session_id": session.id,
                "scopes": ["patient/*.read"],
                "updated_at": session.connection["created_at"],
            }
            for session in reversed(sessions)
            if session.connection
        ]
        return {
            "id": patient,
            "resource_type": "patient",
            "email": None,
            "name": None,
            "metadata": {},
            "created_at": write_time(sessions[0].created_at),
            "connections": connections,
        }

    # The portal and the switch

    async def answer_portal(self, method: str, target: str, body: bytes) -> Answer:
        """Answer a patient's browser, or whoever turns the switch."""
        parts = urlsplit(target)
        if parts.path == "/control":
            if method == "POST":
                await self.turn(json.loads(body))
            told = {"open_webhooks": self.open_webhooks, "slowest_webhook": self.slowest_webhook}
            return 200, {}, json.dumps({**self.counts, **told}).encode()
        if parts.path == "/truth":
            return 200, {}, json.dumps(self.list_truth()).encode()
        session = self.by_token.get(parts.path.removeprefix("/c/"))
        if session is None:
            return 404, {}, b"no such session"
        (choice,) = parse_qs(parts.query).get("answer", [""])
        if not choice:
            return 200, {"Content-Type": "text/html"}, b"<h1>Sign in to your hospital</h1>"
        if session.status == "open":
            self.decide(session, "" if choice == "approve" else "user_denied")
        return 303, {"Location": self.build_return(session)}, b""

    async def turn(self, changes: Mapping[str, Any]) -> None:
        if changes.get("expire"):
            for session in self.sessions.values():
                session.expires_at = min(session.expires_at, session.created_at + 1)
        for name, value in changes.items():
            if name != "expire":
                assert hasattr(self.switch, name), name
                setattr(self.switch, name, value)
        assert self.switch.mode in MODES, self.switch.mode

    def decide(self, session: Session, failure: str) -> None:
        now = write_time(time.time())
        session.connection = {
            "id": None if failure else f"conn_{session.id}",
            "connection_id": session.connection_id,
            "status": "failed" if failure else "active",
            "failure_code": failure or None,
            "failure_at": now if failure else None,
            "created_at": now,
        }
        self.send_event(
            f"evt_done_{session.id}", "patient_session.completed", self.describe(session)
        )
        if not failure:
            records = {
                "resource_type": "records_sync",
                "patient_id": session.patient_id,
                "connection_id": session.connection_id,
                "total": 12,
                "errors": 0,
                "duration_ms": 900,
            }
            self.send_event(f"evt_records_{session.id}", "records.sync.completed", records)

    def build_return(self, session: Session) -> str:
        told = {"patient_id": session.patient_id, "patient_session_id": session.id}
        connection = session.connection or {"status": "expired", "failure_code": "session_expired"}
        if connection["status"] == "active":
            told |= {"success": "true", "connection_id": session.connection_id}
        else:
            told |= {"success": "false", "error": connection["failure_code"]}
        return f"{session.return_url}?{urlencode(told)}"

    def list_truth(self) -> list[dict[str, str]]:
        """Return what became of each session: ``active``, a failure's code, or ``""``."""
        return [
            {
                "id": session.id,
                "attempt": str(session.metadata.get("attempt", "")),
                "outcome": (session.connection["failure_code"] or session.connection["status"])
                if session.connection
                else "",
            }
            for session in self.sessions.values()
        ]

    # The webhooks

    def send_event(self, event_id: str, kind: str, about: Mapping[str, Any]) -> None:
        if not self.switch.webhook_url:
            return
        event = {
            "id": event_id,
            "object": "event",
            "type": kind,
            "api_version": "2026-04-25",
            "created_at": write_time(time.time()),
            "data": {"object": about},
        }
        for _copy in range(2):
            task = asyncio.create_task(self.send_copy(json.dumps(event).encode()))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def send_copy(self, body: bytes) -> None:
        self.open_webhooks += 1
        try:
            for _try in range(WEBHOOK_TRIES):
                await asyncio.sleep(self.chance.uniform(*self.switch.webhook_delay))
                if not self.switch.webhook_url:  # that host is not served any more
                    return
                async with self.webhook_gate:
                    began = time.monotonic()
                    status = await self.post_event(body)
                    self.slowest_webhook = max(self.slowest_webhook, time.monotonic() - began)
                self.counts["webhooks sent"] += 1
                if 200 <= status < 300:
                    return
                self.counts[f"webhooks answered {status or 'not at all'}"] += 1
            self.counts["webhooks given up"] += 1
        finally:
            self.open_webhooks -= 1

    async def post_event(self, body: bytes) -> int:
        """Return the status of the host's answer, 0 for none."""
        parts = urlsplit(self.switch.webhook_url)
        head = (
            f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"Medblocks-Signature: {sign(body)}\r\n\r\n"
        )
        exchange = self.exchange(parts.hostname, parts.port, head.encode() + body)
        try:
            line = await asyncio.wait_for(exchange, WEBHOOK_SECONDS)
        except (OSError, TimeoutError, asyncio.TimeoutError):
            return 0
        return int(line.split()[1]) if line else 0

    async def exchange(self, host: str | None, port: int | None, message: bytes) -> bytes:
        """Return the first line of the answer to ``message``."""
        reader, writer = await asyncio.open_connection(host, port)
        try:
            writer.write(message)
            return await reader.readline()
        finally:
            writer.close()


def sign(body: bytes) -> str:
    now = int(time.time())
    signed = hmac.new(SECRET.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={now},v1={signed}"


class Listener:
    """A port with an answer to each request; kept connections are served until they close."""

    def __init__(self, answer: Callable[[str, str, bytes], Any]) -> None:
        self.answer = answer
        self.port = 0
        self.server: asyncio.Server | None = None

    async def open(self) -> None:
        self.server = await asyncio.start_server(
            self.serve, "127.0.0.1", self.port, backlog=512, reuse_address=True
        )
        self.port = self.server.sockets[0].getsockname()[1]

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
            self.server = None

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self.serve_one(reader, writer):
                pass
        except (NoAnswerError, OSError, asyncio.IncompleteReadError):
            writer.transport.abort()
        finally:
            writer.close()

    async def serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        except asyncio.IncompleteReadError:
            return False
        first, *lines = head.split("\r\n")
        method, target, _version = first.split(" ")
        headers = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in lines}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if self.server is None:  # gone: a connection that was kept is of no use either
            raise NoAnswerError
        status, more, content = await self.answer(method, target, body)
        all_headers = {
            "Content-Type": "application/json",
            "X-Request-Id": "req_load",
            **more,
            "Content-Length": str(len(content)),
        }
        told = "".join(f"{name}: {value}\r\n" for name, value in all_headers.items())
        reason = REASONS.get(status, "Error")
        writer.write(f"HTTP/1.1 {status} {reason}\r\n{told}\r\n".encode() + content)
        await writer.drain()
        return True


class SwitchedMedblocks(Medblocks):
    """The stand-in with its API's port, which is closed in the mode ``gone``."""

    def __init__(self) -> None:
        super().__init__()
        self.api = Listener(self.answer_api)

    async def turn(self, changes: Mapping[str, Any]) -> None:
        await super().turn(changes)
        if self.switch.mode == "gone":
            self.api.close()
        elif self.api.server is None:
            await self.api.open()


async def main() -> None:
    medblocks = SwitchedMedblocks()
    portal = Listener(medblocks.answer_portal)
    await medblocks.api.open()
    await portal.open()
    medblocks.portal_url = f"http://127.0.0.1:{portal.port}"
    sys.stdout.write(json.dumps({"api": medblocks.api.port, "portal": portal.port}) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
