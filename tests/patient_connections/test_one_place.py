"""One place by two names: once a URL and an id are told to be the same, the rows are one."""

from __future__ import annotations

import pytest
import requests

from medblocks_connect.attempts.start import start_attempt
from medblocks_connect.attempts.verification import verify_attempt
from medblocks_connect.models import PatientConnection, PatientConnectionAttempt
from medblocks_connect.patients import Patient
from tests.attempts.conftest import BASE_URL, FACILITY, connection_json, session_json
from tests.patient_connections.conftest import listed_json

pytestmark = pytest.mark.django_db(transaction=True)

URL = "https://fhir.riverside.example/r4"
RETURN_URL = "https://clinic.example/records/return/"


def list_place_ids():
    return list(PatientConnection.objects.values_list("place_id", flat=True))


@pytest.fixture
def by_url(user, medblocks):
    """An attempt by the URL, of which the id was told; Medblocks goes on to call it by the URL."""
    return PatientConnectionAttempt.objects.create(
        patient_id=str(user.pk),
        connection_id=f"{URL}/",
        place_id=FACILITY,
        patient_session_id="ps_1",
        status="started",
    )


def test_list_by_the_url_is_about_the_place_whose_id_an_attempt_was_told(
    by_url, list_now, answer_list
):
    answer_list(listed_json(connection_id=URL))
    list_now()
    assert list_place_ids() == [FACILITY]


def test_session_that_tells_the_id_renames_what_the_list_told_by_the_url(
    by_url, medblocks, list_now, answer_list, user
):
    PatientConnectionAttempt.objects.update(place_id=URL)
    by_url.refresh_from_db()
    answer_list(listed_json(connection_id=URL))
    list_now()
    assert list_place_ids() == [URL]
    told = session_json(patient_id=str(user.pk), status="complete", connections=[connection_json()])
    medblocks.get(f"{BASE_URL}/patient-sessions/ps_1", json=told)
    verify_attempt(by_url)
    assert list_place_ids() == [FACILITY]
    assert PatientConnection.objects.get().attempt == by_url


@pytest.fixture
def patient():
    return Patient("p-1")


def test_session_opened_by_the_url_tells_the_id(medblocks, patient):
    medblocks.get(f"{BASE_URL}/connections/{URL}", body=requests.ConnectTimeout())
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json(connection_id=FACILITY))
    start_attempt(patient, URL, RETURN_URL)
    assert PatientConnectionAttempt.objects.get().place_id == FACILITY


def test_session_opened_by_the_url_that_repeats_it_tells_no_id(medblocks, patient):
    medblocks.get(f"{BASE_URL}/connections/{URL}", body=requests.ConnectTimeout())
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json(connection_id=URL))
    start_attempt(patient, URL, RETURN_URL)
    assert PatientConnectionAttempt.objects.get().place_id == URL


def test_attempt_that_expired_is_told_the_id_too(by_url, medblocks, user):
    PatientConnectionAttempt.objects.update(place_id=URL)
    by_url.refresh_from_db()
    told = session_json(patient_id=str(user.pk), status="expired")
    medblocks.get(f"{BASE_URL}/patient-sessions/ps_1", json=told)
    verify_attempt(by_url)
    assert (by_url.status, by_url.place_id) == ("expired", FACILITY)
