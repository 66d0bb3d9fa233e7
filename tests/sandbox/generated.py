"""Generated requests: for any operation of the contract a request, most of them valid.

The contract alone says what is valid; where the sandbox is stricter, and documents it, the values
drawn here avoid it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.sandbox.conftest import LANTERN, RIVERSIDE
from tests.sandbox.contract import find_errors, load_contract

# Where the sandbox keeps less than the contract's schema says: characters. (A patient's other two
# inputs say 200 as well.)
_MAX_LENGTH = 200
_STRICTER = {"patient_id": _MAX_LENGTH, "return_url": 2_000, "url": 2_000}
_JUNK = (None, True, 7, 1.5, "", [], {}, [None], {"a": 1}, "\u00fc" * 501)
_URLS = ("https://clinic.example/hook/", "http://localhost:9/hook/", "https://clinic.example/?a=b")
_APPS = ("clinic://return", "org.clinic.app:/return")
_BY_NAME: dict[str, tuple[Any, ...]] = {
    "patient_id": ("pat-1", "pat-2", "a/b", "\U0001f600", "x" * 200),
    "return_url": (*_URLS, *_APPS),
    "connection_id": (RIVERSIDE, LANTERN, "fhirsrc_nowhere", "fhirsrc_closed_harbor"),
    "recommended_connection_ids": ([], [RIVERSIDE], [LANTERN, RIVERSIDE], ["fhirsrc_nowhere"]),
    "metadata": ({}, {"attempt": "a1"}, {"deep": {"list": [1, None, 0.5]}}),
    "events": (["*"], ["records.sync.failed"], ["patient_session.completed", "*"]),
    "url": _URLS,
    "type": ("epic", "Observation", "none"),
    "since": ("2026-01-01", "2026-01-01T00:00:00Z", "2999-12-31"),
}


class RequestMaker:
    """Makes requests from one seed; ``ids`` are those that answers named, by kind."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.ids: dict[str, list[str]] = {
            name: ["none"] for name in ("patient", "session", "link", "webhook", "event")
        }

    def make_body(self, schema_name: str) -> tuple[dict[str, Any], bool]:
        """Return a body, and whether the contract takes it."""
        schema = load_contract()["$defs"][schema_name]
        body = {
            name: self._make_value(name, property_schema)
            for name, property_schema in schema["properties"].items()
            if self.random.random() < (0.95 if name in schema.get("required", ()) else 0.35)
        }
        if self.random.random() < 0.05:
            body["unheard_of"] = 1
        if self.random.random() < 0.15 and body:
            body[self.random.choice(list(body))] = self.random.choice(_JUNK)
        return body, self._is_valid(body, schema_name)

    def _is_valid(self, body: dict[str, Any], schema_name: str) -> bool:
        exclusive = load_contract()["mutually_exclusive"].get(schema_name, [])
        if any(set(names) <= set(body) for names in exclusive):
            return False
        if any(len(str(body.get(name, ""))) > length for name, length in _STRICTER.items()):
            return False
        return not find_errors(body, schema_name)

    def _make_value(self, name: str, schema: dict[str, Any]) -> Any:
        if "anyOf" in schema:
            return self._make_value(name, self.random.choice(schema["anyOf"]))
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        if schema.get("type") == "null":
            return None
        if name in _BY_NAME:
            return self.random.choice(_BY_NAME[name])
        if schema.get("type") == "integer":
            low, high = schema["minimum"], schema["maximum"]
            return self.random.choice([low, high, float(low), low - 1, high + 1, low + 0.5])
        if schema.get("format") == "email":
            return self.random.choice(["pat@clinic.example", "nobody"])
        shortest, longest = schema.get("minLength", 0), schema.get("maxLength", _MAX_LENGTH)
        return "\u00fc" * self.random.choice([shortest, 1, longest, longest + 1])

    def make_query(self, operation: str, cursors: list[str]) -> tuple[dict[str, str], bool]:
        """Return a query, and whether the contract takes it. A cursor is one of ``cursors``."""
        query: dict[str, str] = {}
        valid = True
        for name, schema in (
            load_contract()["operations"][operation].get("query_params", {}).items()
        ):
            if self.random.random() > 0.3:
                continue
            if name in {"starting_after", "ending_before"}:
                if cursors:
                    query[name] = self.random.choice(cursors)
            elif self.random.random() < 0.85:
                query[name] = self._make_parameter(name, schema)
            elif schema.get("type") == "integer" or "enum" in schema or "anyOf" in schema:
                query[name], valid = self.random.choice(["0", "101", "-1", "soon"]), False
        return query, valid and len(query.keys() & {"starting_after", "ending_before"}) < 2

    def _make_parameter(self, name: str, schema: dict[str, Any]) -> str:
        if schema.get("type") == "integer":
            return str(self.random.choice([1, 2, 100]))
        return str(self._make_value(name, schema))

    def choose_id(self, kind: str) -> str:
        """Return an id of this kind, mostly one that there is."""
        return self.random.choice(self.ids[kind][-3:])


PATH_KINDS: dict[str, Callable[[RequestMaker], str]] = {
    "patients": lambda make: make.choose_id("patient"),
    "connections": lambda make: make.random.choice([RIVERSIDE, "fhirsrc_nowhere"]),
    "patient-sessions": lambda make: make.choose_id("session"),
    "webhooks": lambda make: make.choose_id("webhook"),
    "events": lambda make: make.choose_id("event"),
    "launch-contexts": lambda _make: "7b1f7f2e-0a0c-4c43-8f0c-1d2f3a4b5c6d",
}
"""The id in an operation's path, by the path's first part."""
