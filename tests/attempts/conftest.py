"""Fixtures for the life of an attempt: a Medblocks that answers as a test wants, and rows."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime, timedelta

import pytest
import responses
from django.db import connections
from django.utils import timezone

from medblocks_connect import signals
from medblocks_connect.models import (
    ConnectionLink,
    PatientConnection,
    PatientConnectionAttempt,
    WebhookDelivery,
)
from medblocks_connect.patients import Patient

BASE_URL = "https://medblocks.example"
FACILITY = "fhirsrc_riverside"
PORTAL_URL = "https://medblocks.example/c/0123456789abcdef0123456789abcdef"


def session_json(**changes):
    """Return a session as Medblocks sends it (API page, PatientSession)."""
    return {
        "id": "ps_1",
        "resource_type": "patient_session",
        "status": "open",
        "url": PORTAL_URL,
        "patient_id": "p-1",
        "connection_id": FACILITY,
        "recommended_connection_ids": [],
        "return_url": "https://clinic.example/records/return/",
        "return_button_label": None,
        "connections": [],
        "expires_at": "2099-01-01T00:00:00.000Z",
        "metadata": {},
        "created_at": "2026-11-22T12:00:00.000Z",
        **changes,
    }


def connection_json(status="active", **changes):
    return {
        "id": None if status == "failed" else "conn_1",
        "connection_id": FACILITY,
        "status": status,
        "failure_code": None,
        "failure_at": None,
        "created_at": "2026-11-22T12:00:00.000Z",
        **changes,
    }


ACTIVE = {"status": "complete", "connections": [connection_json()]}


@pytest.fixture
def patient():
    return Patient("p-1")


@pytest.fixture
def medblocks(settings):
    """Medblocks, mocked: it knows the facility; a test adds what it answers besides."""
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "BASE_URL": BASE_URL,
        "MAX_RETRIES": 0,
    }
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.get(
            f"{BASE_URL}/connections/{FACILITY}",
            json={
                "id": FACILITY,
                "resource_type": "fhir_source",
                "name": "Riverside General",
                "type": "epic",
                "fhir_base_url": "https://fhir.riverside.example/r4",
                "logo_url": None,
                "portal_url": None,
            },
        )
        yield mock


@pytest.fixture
def make_attempt(db):
    """Make an attempt of the patient that is at the portal, unless told otherwise."""

    def make(**changes):
        fields = {
            "patient_id": "p-1",
            "connection_id": FACILITY,
            "patient_session_id": "ps_1",
            "status": "started",
            **changes,
        }
        return PatientConnectionAttempt.objects.create(**fields)

    return make


def long_ago() -> datetime:
    return timezone.now() - timedelta(hours=2)


@pytest.fixture
def make_old(make_attempt):
    """Make an attempt that no request has in hand any more."""

    def make(number: int = 1, **changes):
        fields = {"patient_session_id": f"ps_{number}", "created_at": long_ago(), **changes}
        return make_attempt(**fields)

    return make


def answer(medblocks, number: int = 1, **changes):
    """Let Medblocks know the session ``ps_<number>``."""
    return medblocks.get(
        f"{BASE_URL}/patient-sessions/ps_{number}", json=session_json(id=f"ps_{number}", **changes)
    )


def answer_list(medblocks, sessions, **page):
    whole = {"resource_type": "list", "data": sessions, "has_more": False, "next_cursor": None}
    medblocks.get(f"{BASE_URL}/patients/p-1/patient-sessions", json={**whole, **page})


def store_delivery(session_id: str, about: object, **changes) -> WebhookDelivery:
    fields = {
        "event_id": f"evt_{session_id}",
        "event_type": "patient_session.completed",
        "payload": json.dumps({"data": {"object": about}}),
        "patient_session_id": session_id,
        **changes,
    }
    return WebhookDelivery.objects.create(**fields)


@pytest.fixture
def breaks_once(monkeypatch):
    """Make a function break at its first call, with a text that no log may hold."""

    def let_break(module, name):
        function, calls = getattr(module, name), []

        def call(*args, **kwargs):
            calls.append(name)
            if len(calls) == 1:
                raise RuntimeError("ann@mail.example")
            return function(*args, **kwargs)

        monkeypatch.setattr(module, name, call)

    return let_break


class ReplicaRouter:
    """A router that writes to one database, and reads from a replica that has nothing."""

    copied = {PatientConnectionAttempt, WebhookDelivery, PatientConnection, ConnectionLink}

    def db_for_read(self, model, **hints):
        return "replica" if model in self.copied else None

    def db_for_write(self, model, **hints):
        return "default"


@pytest.fixture
def use_replica(settings, monkeypatch):
    """Let reads go to a replica from now on, unless they ask for where is written."""

    def use():
        # Django may look at what its backend can do; whoever reads from it fails.
        away = {
            **connections.settings["default"],
            "HOST": "127.0.0.1",
            "PORT": "9",
            "NAME": "/away/db",
        }
        monkeypatch.setitem(connections.settings, "replica", away)
        settings.DATABASE_ROUTERS = [ReplicaRouter()]

    yield use
    settings.DATABASE_ROUTERS = []
    with suppress(AttributeError):  # where nobody looked at it
        del connections["replica"]


@pytest.fixture
def make_delivery(db):
    """Store a delivery that waits, of a session that is complete, unless told otherwise."""

    def make(about=None, **changes):
        about = about or session_json(status="complete", connections=[connection_json()])
        fields = {
            "event_id": "evt_1",
            "event_type": "patient_session.completed",
            "payload": json.dumps({"data": {"object": about}}),
            "patient_session_id": "ps_1",
            **changes,
        }
        return WebhookDelivery.objects.create(**fields)

    return make


@pytest.fixture
def counts():
    """Collect the counts that each ``records_synced`` carries."""
    counts = []

    def receive(attempt, **kwargs):
        counts.append({name: kwargs.get(name) for name in ("total", "errors")})

    signals.records_synced.connect(receive)
    yield counts
    signals.records_synced.disconnect(receive)


@pytest.fixture
def heard():
    """Collect the status of each attempt whose success a host's receiver heard of."""
    calls = []

    def receive(attempt, **kwargs):
        calls.append(attempt.status)

    signals.attempt_succeeded.connect(receive)
    yield calls
    signals.attempt_succeeded.disconnect(receive)


@pytest.fixture
def listen_to():
    """Connect receivers for one test."""
    connected = []

    def connect(signal, receiver):
        connected.append((signal, receiver))
        signal.connect(receiver, weak=False)

    yield connect
    for signal, receiver in connected:
        signal.disconnect(receiver)


def break_reading(_delivery):
    raise RuntimeError
