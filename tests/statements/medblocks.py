"""Medblocks with two workspaces, in which a facility may be named by its URL, and which goes away.

The sandbox answers, which knows one workspace and one name of each facility: its patients are given
another id for each workspace here, and its answers the name that a session was started with.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import requests

from medblocks_connect.sandbox.fictional_catalog import find_facility
from tests.faults.clinic import Answer, Medblocks

KEYS = {"sandbox": "mb_sk_sbx_key_of_the_clinic", "live": "mb_sk_live_key_of_the_clinic"}


@dataclass
class TwoWorkspaces(Medblocks):
    """The sandbox as two workspaces of one patient."""

    patient_id: str = ""
    is_away: bool = False
    is_catalog_away: bool = False
    repeats_urls: bool = False
    tells_no_ids: bool = False  # of facilities, but where they are searched
    names: dict[str, str] = field(default_factory=dict)  # a session's facility, where it is a URL

    def answer(self, request: requests.PreparedRequest) -> Answer:
        is_catalog = "/connections/fhir" in request.url or "/connections/http" in request.url
        is_lookup = is_catalog and "%3A%2F%2F" in request.url
        is_unanswered = (self.is_catalog_away and is_catalog) or (self.tells_no_ids and is_lookup)
        if self.is_away or is_unanswered:
            raise requests.ConnectionError
        return super().answer(request)

    def _ask_sandbox(self, request: requests.PreparedRequest) -> Answer:
        key = request.headers["Authorization"].removeprefix("Bearer ")
        theirs = self.name_patient(next(name for name, each in KEYS.items() if each == key))
        request.url = request.url.replace(f"/patients/{self.patient_id}", f"/patients/{theirs}")
        request.url = request.url.removesuffix("%2F")
        chosen = ""
        if request.method == "POST":
            body = json.loads(request.body) | {"patient_id": theirs}
            chosen = body.get("connection_id", "")
            if chosen:
                body["connection_id"] = chosen.rstrip("/")
            request.body = json.dumps(body).encode()
        status, headers, body = super()._ask_sandbox(request)
        told = json.loads(body)
        if "://" in chosen and status == 200:
            self.names[told["id"]] = chosen
        return status, headers, json.dumps(self.tell(told)).encode()

    def name_patient(self, workspace: str) -> str:
        """Return the sandbox's own id of the patient in ``workspace``."""
        return f"{workspace}-of-{self.patient_id}"

    def tell(self, told: Any) -> Any:
        """Return what the sandbox tells, with the patient and the facilities by our names."""
        if isinstance(told, list):
            return [self.tell(each) for each in told]
        if not isinstance(told, dict):
            return told
        if self.tells_no_ids and "connection_id" in told:
            facility = find_facility(told["connection_id"])
            told = told | {"connection_id": facility.fhir_base_url if facility else ""}
        elif self.repeats_urls:
            told = self._repeat_url(told)
        return {name: self._rename(self.tell(value)) for name, value in told.items()}

    def _repeat_url(self, told: dict[str, Any]) -> dict[str, Any]:
        url = self.names.get(told.get("patient_session_id") or told.get("id") or "")
        if url is None or "connection_id" not in told:
            return told
        connections = [{**each, "connection_id": url} for each in told.get("connections", ())]
        return told | {"connection_id": url} | ({"connections": connections} if connections else {})

    def _rename(self, value: Any) -> Any:
        theirs = {self.name_patient(workspace) for workspace in KEYS}
        return self.patient_id if isinstance(value, str) and value in theirs else value
