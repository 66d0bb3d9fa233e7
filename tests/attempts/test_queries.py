"""How a patient stands now at the place of an attempt."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from django.utils import timezone

from medblocks_connect.attempts.queries import find_standing, was_ended_here
from medblocks_connect.models import ConnectionLink, PatientConnection, PatientConnectionAttempt
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


def end_here(link: str, when: datetime) -> None:
    """Note that ``link``, of whichever place, was ended on our own page, and won back."""
    links = ConnectionLink.objects.filter(patient_connection_id=link)
    links.update(ended_here_at=when, status="active")


@pytest.fixture
def kept(lost):
    """The lost attempt, whose place is connected again."""
    PatientConnection.objects.update(state="connected", lost_at=None)
    return lost


def test_own_link_that_was_ended_here_was_so_though_it_is_connected_again(kept):
    end_here("conn_1", timezone.now())
    assert was_ended_here(kept)


def test_own_link_that_was_ended_here_before_the_attempt_began_was_not(kept):
    end_here("conn_1", kept.created_at - timedelta(days=1))
    assert not was_ended_here(kept)


def test_place_that_was_ended_here_was_so_by_whichever_link(lost):
    PatientConnection.objects.update(was_ended_here=True)
    assert was_ended_here(lost)


def test_further_place_that_was_ended_here_says_nothing_of_the_attempt(lost):
    PatientConnection.objects.update(was_ended_here=True, place_id="fhirsrc_further")
    assert not was_ended_here(lost)
