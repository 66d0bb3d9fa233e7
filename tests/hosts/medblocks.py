"""A Medblocks over HTTP with several workspaces: what it answers depends on the key alone.

Facilities have the same ids in every workspace: an answer of the wrong one is taken for right.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

Payload = dict[str, Any]
Answer = tuple[int, Payload]

CREATED_AT = "2026-11-22T12:00:00.000Z"
NOT_FOUND: Answer = (404, {"error": {"type": "not_found_error", "code": "resource_not_found"}})
BAD_KEY: Answer = (401, {"error": {"type": "authentication_error", "code": "invalid_api_key"}})


@dataclass
class Workspace:
    """What one key opens: facilities ``fhirsrc_0``, ``fhirsrc_1``, … of these names; sessions."""

    names: Sequence[str]
    sessions: dict[str, Payload] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def count(self, call: str) -> int:
        """Return how many calls began with ``call``, such as ``GET /connections``."""
        return sum(each.startswith(call) for each in self.calls)

    def approve(self, session_id: str) -> Payload:
        """Let the patient of a session sign in at the portal; return the session."""
        session = self.sessions[session_id]
        connection = {
            "id": f"conn_{session_id}",
            "connection_id": session["connection_id"],
            "status": "active",
            "failure_code": None,
            "failure_at": None,
            "created_at": CREATED_AT,
        }
        session |= {"status": "complete", "connections": [connection]}
        return session

    def answer(self, method: str, target: str, body: bytes, base_url: str) -> Answer:
        parts = urlsplit(target)
        self.calls.append(f"{method} {parts.path}")
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        match (method, *map(unquote, parts.path.strip("/").split("/"))):
            case ("GET", "connections"):
                return self._list_facilities(query)
            case ("GET", "connections", facility):
                found = (each for each in self._facilities() if each["id"] == facility)
                return next(((200, each) for each in found), NOT_FOUND)
            case ("POST", "patient-sessions"):
                return 200, self._create_session(json.loads(body), base_url)
            case ("GET", "patient-sessions", session):
                return (200, self.sessions[session]) if session in self.sessions else NOT_FOUND
            case ("GET", "patients", patient):
                return self._describe_patient(patient)
            case ("GET", "patients", patient, "patient-sessions"):
                return 200, _list_of(self._list_sessions(patient))
            case ("GET", "webhooks"):
                return 200, _list_of([])
        return NOT_FOUND

    def _facilities(self) -> list[Payload]:
        nothing = dict.fromkeys(("logo_url", "portal_url"))
        return [
            {"id": f"fhirsrc_{number}", "resource_type": "fhir_source", "name": name}
            | {"type": "epic", "fhir_base_url": f"https://fhir.example/{number}", **nothing}
            for number, name in enumerate(self.names)
        ]

    def _list_facilities(self, query: Mapping[str, str]) -> Answer:
        text, kind = query.get("q", "").lower(), query.get("type", "")
        found = [each for each in self._facilities() if text in each["name"].lower()]
        return 200, _list_of([each for each in found if kind in ("", each["type"])])

    def _create_session(self, asked: Payload, base_url: str) -> Payload:
        token = secrets.token_hex(16)
        session = {
            "id": f"ps_{token}",
            "resource_type": "patient_session",
            "status": "open",
            "url": f"{base_url}/c/{token}",
            "connection_id": None,
            "recommended_connection_ids": None,
            "return_button_label": None,
            "metadata": {},
            **asked,
            "connections": [],
            "expires_at": "2099-01-01T00:00:00.000Z",
            "created_at": CREATED_AT,
        }
        self.sessions[session["id"]] = session
        return session

    def _list_sessions(self, patient_id: str) -> list[Payload]:
        return [each for each in self.sessions.values() if each["patient_id"] == patient_id]

    def _describe_patient(self, patient_id: str) -> Answer:
        sessions = self._list_sessions(patient_id)
        if not sessions:
            return NOT_FOUND
        connections = [
            {**connection, "resource_type": "connection", "patient_session_id": session["id"]}
            | {"scopes": [], "updated_at": CREATED_AT}
            for session in reversed(sessions)
            for connection in session["connections"]
        ]
        patient = {"id": patient_id, "resource_type": "patient", "email": None, "name": None}
        return 200, {
            **patient,
            "metadata": {},
            "created_at": CREATED_AT,
            "connections": connections,
        }


class FakeMedblocks:
    """Serves the workspaces of ``names_by_key`` at one ``url`` until it is stopped."""

    def __init__(self, names_by_key: Mapping[str, Sequence[str]]) -> None:
        self.workspaces = {key: Workspace(names) for key, names in names_by_key.items()}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _make_handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, method: str, target: str, authorization: str, body: bytes) -> Answer:
        workspace = self.workspaces.get(authorization.removeprefix("Bearer "))
        return workspace.answer(method, target, body, self.url) if workspace else BAD_KEY

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def return_address(session: Payload, *, success: bool = True) -> str:
    """Return the path and the query that the portal sends the patient of ``session`` back to."""
    query = {"patient_id": session["patient_id"], "patient_session_id": session["id"]}
    if success:
        query |= {"success": "true", "connection_id": session["connection_id"]}
    else:
        query |= {"success": "false", "error": "user_denied"}
    return f"{urlsplit(session['return_url']).path}?{urlencode(query)}"


def _list_of(data: list[Payload]) -> Payload:
    return {"resource_type": "list", "data": data, "has_more": False, "next_cursor": None}


def _make_handler(medblocks: FakeMedblocks) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            key = self.headers.get("Authorization", "")
            status, payload = medblocks.answer(self.command, self.path, key, body)
            content = json.dumps(payload).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = handle_any  # noqa: N815 - the names that http.server calls

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    return Handler
