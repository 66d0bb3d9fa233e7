"""What the tests of an attempt's life share: a Medblocks that says what a test wants."""

from __future__ import annotations

import pytest
import responses

from medblocks_connect.models import PatientConnectionAttempt
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
