"""A Medblocks that takes exactly the requests on its API page and notes every other thing."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

STATUSES = {"open", "complete", "expired"}
TIME = "2026-05-01T10:00:00.000Z"
FACILITY = {
    "id": "fhirsrc_1",
    "resource_type": "fhir_source",
    "name": "General Hospital",
    "type": None,
    "fhir_base_url": "https://fhir.example.org/r4",
    "logo_url": None,
    "portal_url": None,
}
ENDPOINT = {
    "id": "wh_1",
    "url": "https://clinic.example/records/webhook/",
    "events": ["*"],
    "status": "active",
    "description": None,
    "metadata": {"ward": "secret ward"},
    "api_version": "2026-04-25",
    "created_at": "2026-05-01T10:00:00Z",
    "updated_at": "2026-05-01T10:00:00Z",
}
EVENT = {
    "id": "evt_1",
    "webhook_endpoint_id": "wh_1",
    "type": "records.sync.completed",
    "data": {"object": {"patient_id": "p-1234", "total": 3}},
    "api_version": "2026-04-25",
    "attempts": 2,
    "next_attempt_at": None,
    "delivered_at": None,
    "last_status_code": 500,
    "last_response_body": "secret answer",
    "last_redelivered_at": None,
    "created_at": "2026-05-01T10:00:00Z",
}
# Header -> what its value must match; the rest of HTTP's plumbing is not the API's matter.
HEADERS = {
    "accept": r"application/json",
    "accept-encoding": r"gzip",
    "user-agent": r"django-medblocks-connect/[0-9.]+",
    "version": r"2026-04-25",
    "host": r"127\.0\.0\.1:[0-9]+",
}
BODY_TYPES: dict[str, type] = {
    "patient_id": str,
    "return_url": str,
    "connection_id": str,
    "recommended_connection_ids": list,
    "patient_email": str,
    "patient_name": str,
    "return_button_label": str,
    "expires_in": int,
    "metadata": dict,
}


def session(
    patient_id: str = "patient 1", session_id: str = "ps_1", **extra: Any
) -> dict[str, Any]:
    return {
        "id": session_id,
        "resource_type": "patient_session",
        "status": "open",
        "url": "https://app.medblocks.com/c/0123456789abcdef0123456789abcdef",
        "patient_id": patient_id,
        "connection_id": None,
        "recommended_connection_ids": [],
        "return_url": "https://clinic.example/return/",
        "return_button_label": None,
        "connections": [],
        "expires_at": TIME,
        "metadata": {},
        "created_at": TIME,
        **extra,
    }


def page(*items: Any, next_cursor: str | None = None) -> dict[str, Any]:
    return {
        "resource_type": "list",
        "data": list(items),
        "has_more": next_cursor is not None,
        "next_cursor": next_cursor,
    }


@dataclass
class StrictMedblocks:
    key: str
    url: str = ""
    complaints: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    def answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[str, Any]:
        path, _, query = target.partition("?")
        self._check_headers(path, headers, body)
        segments = [unquote(segment) for segment in path.split("/")[1:]]
        route = f"{method} {self._name_route(segments)}"
        self.seen.append(route)
        asked = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
        self._check_query(route, asked)
        if (method == "POST") != bool(body):
            self._complain(f"{route}: a body where none belongs, or none")
        match route:
            case "GET /health":
                return "200 OK", {"ok": True, "server_time": TIME}
            case "GET /connections":
                return "200 OK", self._list(FACILITY, asked)
            case "GET /connections/{}":
                return "200 OK", {**FACILITY, "id": segments[1]}
            case "POST /patient-sessions":
                return "200 OK", self._create(json.loads(body))
            case "GET /patient-sessions/{}":
                return "200 OK", session(session_id=segments[1])
            case "GET /patients/{}/patient-sessions":
                return "200 OK", self._list(session(segments[1]), asked)
            case "GET /patients/{}":
                connection = {"id": None, "connection_id": "fhirsrc_1", "status": "failed"}
                patient = {"id": segments[1], "email": None, "name": "Ann", "metadata": None}
                return "200 OK", {**patient, "connections": [connection], "created_at": TIME}
            case "DELETE /patients/{}/connections/{}":
                return "200 OK", {"id": segments[3], "disconnected": True}
        self._complain(f"no such path: {method} {path}")
        return "404 Not Found", {}

    def _complain(self, complaint: str) -> None:
        self.complaints.append(complaint)

    @staticmethod
    def _name_route(segments: list[str]) -> str:
        names = ["{}" if index % 2 else segment for index, segment in enumerate(segments)]
        return "/" + "/".join(names)

    def _check_headers(self, path: str, headers: dict[str, str], body: bytes) -> None:
        expected = dict(HEADERS)
        if path != "/health":
            expected["authorization"] = re.escape(f"Bearer {self.key}")
        if body:
            expected |= {"content-type": r"application/json", "content-length": r"[0-9]+"}
        for name, pattern in expected.items():
            if not re.fullmatch(pattern, headers.get(name, "")):
                self._complain(f"{path}: header {name} is {headers.get(name)!r}")
        for name in headers.keys() - expected.keys() - {"connection", "content-length"}:
            self._complain(f"{path}: header {name} is not on the page")

    def _check_query(self, route: str, asked: dict[str, str]) -> None:
        listing = {"limit", "starting_after"}
        allowed = {
            "GET /connections": listing | {"q", "type"},
            # The page names only status; the conventions give every list the other two.
            "GET /patients/{}/patient-sessions": listing | {"status"},
        }.get(route, set())
        for name, value in asked.items():
            if name not in allowed or not value:
                self._complain(f"{route}: query {name}={value!r} is not on the page")
        if not 1 <= int(asked.get("limit", "10")) <= 100:
            self._complain(f"{route}: limit {asked['limit']}")

    @staticmethod
    def _list(item: dict[str, Any], asked: dict[str, str]) -> dict[str, Any]:
        if "starting_after" in asked:
            return page(item)
        return page(item, next_cursor="opaque/+ cursor=")

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        for name, value in body.items():
            if not isinstance(value, BODY_TYPES.get(name, type(None))) or not value:
                self._complain(f"property {name}={value!r} is not on the page")
        for name in ("patient_id", "return_url"):
            if not body.get(name):
                self._complain(f"property {name} is missing")
        if "connection_id" in body and "recommended_connection_ids" in body:
            self._complain("connection_id beside recommended_connection_ids")
        if not 60 <= body.get("expires_in", 60) <= 86400:
            self._complain("expires_in out of range")
        return session(body["patient_id"], metadata=body.get("metadata"))
