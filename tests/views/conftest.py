"""An attempt at the portal, and a Medblocks that says of its session what a test wants."""

from __future__ import annotations

import pytest

from medblocks_connect.models import PatientConnectionAttempt
from tests.attempts.conftest import BASE_URL, FACILITY, medblocks, session_json

__all__ = ["medblocks"]


@pytest.fixture
def attempt(user):
    """An attempt of the patient that is at the portal."""
    return PatientConnectionAttempt.objects.create(
        patient_id=str(user.pk),
        connection_id=FACILITY,
        connection_name="Riverside General",
        patient_session_id="ps_1",
        status="started",
    )


@pytest.fixture
def answer(medblocks, user):
    """Let Medblocks say what a test wants of the session."""

    def say(**session):
        medblocks.upsert(
            "GET",
            f"{BASE_URL}/patient-sessions/ps_1",
            json=session_json(patient_id=str(user.pk), **session),
        )

    return say
