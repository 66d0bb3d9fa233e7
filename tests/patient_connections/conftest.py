"""Fixtures for a patient's connections: Medblocks' list of them, and attempts that made them."""

from __future__ import annotations

import secrets

import pytest

from medblocks_connect.patient_connections.listing import list_connections
from medblocks_connect.patient_connections.snapshot import forget_snapshot
from medblocks_connect.patients import Patient
from tests.attempts.conftest import (
    BASE_URL,
    FACILITY,
    connection_json,
    medblocks,  # noqa: F401 - a fixture
)
from tests.connected import create_attempt


def listed_json(status="active", **changes):
    """Return a connection as ``GET /patients/{id}`` lists it."""
    return {
        **connection_json(status),
        "resource_type": "connection",
        "patient_session_id": "ps_1",
        "scopes": [],
        "updated_at": "2026-11-22T12:00:00.000Z",
        **changes,
    }


@pytest.fixture
def answer_list(medblocks, user):  # noqa: F811
    """Let Medblocks say which connections the patient has."""

    def say(*links, status=200, **options):
        patient = {
            "id": str(user.pk),
            "resource_type": "patient",
            "email": None,
            "name": None,
            "metadata": {},
            "created_at": "2026-11-22T12:00:00.000Z",
            "connections": list(links),
        }
        refused = {"error": {"type": "any", "code": "any", "message": "In Medblocks' words"}}
        options = options or {"json": patient if status == 200 else refused, "status": status}
        return medblocks.upsert("GET", f"{BASE_URL}/patients/{user.pk}", **options)

    return say


@pytest.fixture
def make(user):
    """Make an attempt of the patient, one that connected unless told otherwise."""

    def make_one(**changes):
        if changes.get("status") != "created":
            changes.setdefault("patient_session_id", f"ps_{secrets.token_hex(8)}")
        columns = {
            "patient_id": str(user.pk),
            "connection_id": FACILITY,
            "connection_name": "Riverside General",
            "status": "succeeded",
            "patient_connection_id": "conn_1",
            "connection_status": "active",
            **changes,
        }
        if columns["status"] != "succeeded":
            columns |= {"patient_connection_id": "", "connection_status": ""}
        return create_attempt(**columns)

    return make_one


@pytest.fixture
def list_now(user):
    """Return the places of the patient as the page shows them."""
    return lambda: list_connections(Patient(str(user.pk)))


@pytest.fixture
def go_away(answer_list, user):
    """Let Medblocks be away, once what is kept for a minute is too old."""

    def go():
        forget_snapshot(Patient(str(user.pk)))
        answer_list(status=500)

    return go


@pytest.fixture
def answer_disconnect(medblocks, user):  # noqa: F811
    """Say how Medblocks answers the DELETE."""

    def answer(**options):
        reply = {"id": "conn_1", "resource_type": "connection", "disconnected": True}
        url = f"{BASE_URL}/patients/{user.pk}/connections/conn_1"
        return medblocks.upsert("DELETE", url, **(options or {"json": reply}))

    return answer
