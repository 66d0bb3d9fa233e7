"""How a patient stands now at the place of an attempt."""

from __future__ import annotations

import pytest

from medblocks_connect.attempts.queries import find_standing
from medblocks_connect.models import PatientConnection, PatientConnectionAttempt
from tests.attempts.conftest import FACILITY, long_ago
from tests.connected import create_attempt

pytestmark = pytest.mark.django_db


@pytest.fixture
def lost(db):
    """An attempt whose own link was lost."""
    return create_attempt(
        patient_id="p-1",
        connection_id=FACILITY,
        status="succeeded",
        patient_connection_id="conn_1",
        connection_status="refresh_failed",
        lost_at=long_ago(),
    )


def test_standing_at_a_place_whose_last_link_was_disconnected(lost):
    PatientConnection.objects.update(state="disconnected")
    assert find_standing(lost).is_disconnected


def test_standing_at_a_place_that_was_lost(lost):
    assert not find_standing(lost).is_disconnected


def test_standing_of_a_row_that_a_host_made_is_what_it_says(db):
    columns = {"patient_id": "p-1", "status": "succeeded", "lost_at": long_ago()}
    attempt = PatientConnectionAttempt.objects.create(connection_status="disconnected", **columns)
    assert find_standing(attempt).is_disconnected
