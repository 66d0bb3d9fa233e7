"""A session's facility where Medblocks does not name it, and when what it tells of was so."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from medblocks_connect.api import FhirSource, PatientSession
from medblocks_connect.attempts.connection_rows import record_places
from medblocks_connect.attempts.connection_state import tell_link
from medblocks_connect.attempts.evidence import PlaceEvidence, Source
from medblocks_connect.attempts.session_evidence import read_session
from medblocks_connect.attempts.settle import settle
from medblocks_connect.facilities.facility_cache import cache_facilities
from tests.attempts.conftest import FACILITY, connection_json, session_json

pytestmark = pytest.mark.django_db

BASE_URL = "https://fhir.riverside.example/r4"
OTHER_FACILITY = "fhirsrc_lakeside"


@pytest.fixture
def conclude(make_attempt):
    """Conclude from a complete session of an attempt that was started with a base URL."""

    def read(connections, named=None):
        attempt = make_attempt(connection_id=BASE_URL, connection_name="Riverside General")
        session = session_json(status="complete", connection_id=named, connections=connections)
        evidence = read_session(attempt, PatientSession.from_json(session), Source.MEDBLOCKS)
        return evidence.outcome.status, evidence.outcome.error

    return read


def two(ours, theirs):
    other = connection_json(theirs, id="conn_2", connection_id=OTHER_FACILITY)
    return [connection_json(ours), other]


@pytest.fixture
def known_facility():
    cache_facilities([FhirSource(FACILITY, "Riverside General", "epic", BASE_URL, "", "")])


@pytest.mark.parametrize("named", [None, BASE_URL, f"{BASE_URL}/"])
def test_session_with_several_facilities_takes_the_one_of_the_base_url(
    conclude, known_facility, named
):
    assert conclude(two("active", "failed"), named) == ("succeeded", "")


def test_session_case_28_of_another_facility_than_the_base_urls_is_no_success(
    conclude, known_facility
):
    assert conclude(two("failed", "active")) == ("failed", "unknown_error")


def test_session_with_several_facilities_and_an_unknown_base_url_is_no_success(conclude):
    assert conclude(two("active", "active")) == ("failed", "not_connected")


def test_session_whose_facility_medblocks_names_takes_that_one(conclude, known_facility):
    assert conclude(two("active", "failed"), OTHER_FACILITY) == ("failed", "unknown_error")


def test_session_of_a_lost_connection_tells_when_it_was_lost(make_attempt):
    attempt = make_attempt()
    lost = connection_json("refresh_failed", failure_at="2026-11-22T13:00:00.000Z")
    told = PatientSession.from_json(session_json(status="complete", connections=[lost]))
    settle(attempt, read_session(attempt, told, Source.MEDBLOCKS))
    assert attempt.lost_at == datetime(2026, 11, 22, 13, tzinfo=timezone.utc)
    assert attempt.events.get().occurred_at == attempt.lost_at


def test_session_that_tells_no_time_of_a_loss_leaves_the_one_that_is_known(make_attempt):
    lost_at = datetime(2026, 11, 22, 13, tzinfo=timezone.utc)
    attempt = make_attempt()
    known = {"conn_1": tell_link("disconnected", lost_at, lost_at=lost_at)}
    record_places(attempt.patient_id, [PlaceEvidence(FACILITY, known)], None, "default")
    ended = connection_json("disconnected")
    told = PatientSession.from_json(session_json(status="complete", connections=[ended]))
    settle(attempt, read_session(attempt, told, Source.MEDBLOCKS))
    assert attempt.lost_at == lost_at
