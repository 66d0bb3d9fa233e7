"""A Medblocks for several sites at one address: what it answers depends on the API key alone.

One address, because the base URL is a part of every cache key and would hide a mixing of worlds.
Every name, session and connection of a world holds the world's mark; the ids of the facilities
and of the patients are the same in all of them.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LONG_AGO = "2026-11-02T12:00:00.000Z"
SHARED = "fhirsrc_shared"
EYES = "fhirsrc_eyes"
MEADOWS = tuple(f"fhirsrc_meadow_{number:02}" for number in range(1, 26))

Json = dict[str, Any]
Answer = tuple[int, Json]


class World:
    """What one workspace has: facilities, patients with connections, and sessions."""

    def __init__(self, mark: str, record_system: str = "epic") -> None:
        self.mark = mark
        self.record_system = record_system
        self.only_here = f"fhirsrc_only_{mark}"
        self.reset()

    def reset(self) -> None:
        """Begin anew: nobody has started a session, and patient 1 has one old connection."""
        name = self.mark.title()
        names = {
            SHARED: f"{name} Shared Hospital",
            EYES: f"{name} Eye Institute",
            self.only_here: f"{name} Private Hospital",
            **{key: f"{name} Meadow Hospital {key[-2:]}" for key in MEADOWS},
        }
        self.facilities = {key: self._describe(key, name) for key, name in names.items()}
        self.sessions: dict[str, Json] = {}
        self.connections = {"1": [self._connect(f"conn_{self.mark}_0", SHARED)]}
        self.requests = 0

    def _describe(self, connection_id: str, name: str) -> Json:
        return {
            "id": connection_id,
            "resource_type": "fhir_source",
            "name": name,
            "type": self.record_system,
            "fhir_base_url": f"https://fhir.{self.mark}.example/{connection_id}/r4",
            "logo_url": f"https://logos.{self.mark}.example/{connection_id}.png",
            "portal_url": f"https://portal.{self.mark}.example/",
        }

    def _connect(self, connection: str | None, facility: str, **changes: Any) -> Json:
        return {
            "id": connection,
            "resource_type": "connection",
            "connection_id": facility,
            "status": "active",
            "failure_code": None,
            "failure_at": None,
            "created_at": LONG_AGO,
            "updated_at": LONG_AGO,
            "patient_session_id": None,
            "scopes": [],
            **changes,
        }

    def start(self, wanted: Json) -> Answer:
        facility = wanted.get("connection_id")
        if facility and facility not in self.facilities:
            return NOT_FOUND
        number = len(self.sessions) + 1
        key = f"ps_{self.mark}_{number}"
        self.connections.setdefault(wanted["patient_id"], [])
        self.sessions[key] = {
            "id": key,
            "resource_type": "patient_session",
            "status": "open",
            "url": f"https://portal.{self.mark}.example/c/{number:032x}",
            "patient_id": wanted["patient_id"],
            "connection_id": facility,
            "recommended_connection_ids": wanted.get("recommended_connection_ids"),
            "return_url": wanted["return_url"],
            "return_button_label": None,
            "connections": [],
            "expires_at": "2099-01-01T00:00:00.000Z",
            "metadata": wanted.get("metadata", {}),
            "created_at": LONG_AGO,
        }
        return 200, self.sessions[key]

    def newest_session(self) -> Json:
        return list(self.sessions.values())[-1]

    def approve(self, session: Json, facility: str = "") -> Json:
        """Let the patient of ``session`` have connected; return the connection."""
        facility = facility or session["connection_id"]
        number = session["id"].rpartition("_")[2]
        made = self._connect(f"conn_{self.mark}_{number}", facility)
        made["patient_session_id"] = session["id"]
        self.connections[session["patient_id"]].insert(0, made)
        session.update(status="complete", connections=[made])
        return made

    def fail(self, session: Json) -> None:
        """Let the patient of ``session`` have been refused by the portal."""
        failed = {"status": "failed", "failure_code": "oauth_error", "failure_at": LONG_AGO}
        made = self._connect(None, session["connection_id"], **failed)
        session.update(status="complete", connections=[made])

    def lose(self, connection: Json) -> None:
        """Let the portal no longer renew the access of ``connection``."""
        connection.update(status="refresh_failed")

    def search(self, query: Json) -> Answer:
        wanted, kind = query.get("q", "").casefold(), query.get("type", "")
        found = [
            facility
            for facility in self.facilities.values()
            if wanted in facility["name"].casefold() and kind in ("", facility["type"])
        ]
        start, limit = int(query.get("starting_after") or 0), int(query.get("limit", 10))
        end = start + limit
        has_more = end < len(found)
        page = {"has_more": has_more, "next_cursor": str(end) if has_more else None}
        return 200, {"resource_type": "list", "data": found[start:end], **page}

    def disconnect(self, patient: str, connection: str) -> Answer:
        for row in self.connections.get(patient, ()):
            if row["id"] == connection:
                row["status"] = "disconnected"
                ended = {"id": connection, "resource_type": "connection", "disconnected": True}
                return 200, ended
        return NOT_FOUND

    def patient(self, patient: str) -> Answer:
        if patient not in self.connections:
            return NOT_FOUND
        about = {"email": None, "name": None, "metadata": {}, "created_at": LONG_AGO}
        rows = self.connections[patient]
        return 200, {"id": patient, "resource_type": "patient", **about, "connections": rows}

    def sessions_of(self, patient: str) -> Answer:
        found = [each for each in self.sessions.values() if each["patient_id"] == patient]
        page = {"has_more": False, "next_cursor": None}
        return 200, {"resource_type": "list", "data": found, **page}


def refuse(status: int, code: str) -> Answer:
    error = {"type": "error", "code": code, "message": code, "param": None}
    return status, {"error": {**error, "doc_url": "", "request_id": "req"}}


def find_in(rows: dict[str, Json], key: str) -> Answer:
    return (200, rows[key]) if key in rows else NOT_FOUND


NOT_FOUND = refuse(404, "resource_not_found")
NO_ENDPOINTS = {"resource_type": "list", "data": [], "has_more": False, "next_cursor": None}
Handler = Callable[[World, Json, Json, list[str]], Answer]

# What is asked, by method and path: the world, the query, the body and the path's ids.
ROUTES: dict[tuple[str, str], Handler] = {
    ("GET", "connections"): lambda world, query, _body, _ids: world.search(query),
    ("GET", "connections/*"): lambda world, _q, _body, ids: find_in(world.facilities, ids[0]),
    ("POST", "patient-sessions"): lambda world, _query, body, _ids: world.start(body),
    ("GET", "patient-sessions/*"): lambda world, _q, _body, ids: find_in(world.sessions, ids[0]),
    ("GET", "patients/*"): lambda world, _query, _body, ids: world.patient(ids[0]),
    ("GET", "patients/*/patient-sessions"): lambda world, _q, _b, ids: world.sessions_of(ids[0]),
    ("GET", "webhooks"): lambda _world, _query, _body, _ids: (200, NO_ENDPOINTS),
    ("DELETE", "patients/*/connections/*"): lambda world, _q, _b, ids: world.disconnect(*ids),
}


class FakeMedblocks:
    """The server; ``worlds`` has each API key's world, and several keys may open one."""

    def __init__(self) -> None:
        self.worlds: dict[str, World] = {}
        self.calls: list[tuple[str, str, str]] = []  # key, method and path
        self.is_away = False
        self._lock = threading.Lock()
        medblocks = self

        class Request(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                key = self.headers.get("Authorization", "").removeprefix("Bearer ")
                status, headers, answer = medblocks.answer(key, self.command, self.path, body)
                sent = json.dumps(answer).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = do_DELETE = answer  # noqa: N815 - http.server's names

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

        self._server = Server(("127.0.0.1", 0), Request)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FakeMedblocks:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(
        self, key: str, method: str, path: str, body: bytes
    ) -> tuple[int, dict[str, str], Json]:
        """Return the status, the headers and the JSON for one call."""
        parts = urlsplit(path)
        with self._lock:
            self.calls.append((key, method, path))
            world = self.worlds.get(key)
            if world is None:
                return (401, {}, refuse(401, "invalid_api_key")[1])
            if self.is_away:
                return (503, {}, refuse(503, "internal_error")[1])
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            status, answer = self._find_answer(world, method, parts.path, query, body)
            headers = {}
            if "session" in path:
                # Only these are kept and shown, and there are as many of them in each walk.
                world.requests += 1
                headers["X-Request-Id"] = f"req_{world.mark}_{world.requests}"
            return status, headers, answer

    def _find_answer(
        self, world: World, method: str, path: str, query: Json, body: bytes
    ) -> Answer:
        for (wanted, route), handle in ROUTES.items():
            found = re.fullmatch(f"/{route}".replace("*", "([^/]+)"), path)
            if found and wanted == method:
                ids = [unquote(part) for part in found.groups()]
                return handle(world, query, json.loads(body or b"{}"), ids)
        return NOT_FOUND

    def count_calls(self, key: str, start: str = "/") -> int:
        """Return how often ``key`` asked for a path that begins with ``start``."""
        return sum(each[0] == key and each[2].startswith(start) for each in self.calls)
