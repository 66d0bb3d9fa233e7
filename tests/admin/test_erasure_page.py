"""The page that erases a patient: who may, what it asks, and what staff read afterwards."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection

from medblocks_connect.admin import erasure_page
from medblocks_connect.admin.links import erase_url, patient_url
from medblocks_connect.models import ErasedPatient, PatientConnectionAttempt
from tests.admin.conftest import PATIENTS
from tests.attempts.conftest import BASE_URL, medblocks
from tests.erased import allow_erasure, count_left, fill, find_left

__all__ = ["medblocks"]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def attempt(medblocks):
    """One of two attempts of a patient; a counter's key is of the Medblocks in force."""
    return fill("p-1")


@pytest.fixture
def eraser(make_staff):
    """One of staff who may look and erase."""
    return make_staff("view_patientconnectionattempt", "erase_patient")


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("permission", ["view_patientconnectionattempt", "erase_patient"])
def test_page_without_both_permissions_is_403(make_staff, attempt, method, permission):
    client = make_staff(permission)
    assert getattr(client, method)(erase_url(attempt.pk)).status_code == 403
    assert PatientConnectionAttempt.objects.count() == 2


def test_link_shows_with_the_permission_alone(staff, eraser, attempt):
    page = patient_url(attempt.pk)
    assert "/erase/" not in staff.get(page).text
    assert "/erase/" in eraser.get(page).text


def test_page_asks_and_erases_nothing(eraser, attempt, medblocks):
    response = eraser.get(erase_url(attempt.pk))
    assert "There is no way back" in response.text
    assert "Here 2 attempts go" in response.text
    assert "1 connection goes" in response.text
    assert (PatientConnectionAttempt.objects.count(), len(medblocks.calls)) == (2, 0)
    assert not ErasedPatient.objects.exists()


def test_page_by_put_is_405(eraser, attempt):
    assert eraser.put(erase_url(attempt.pk)).status_code == 405


def test_page_of_no_attempt_is_404(eraser):
    assert eraser.get(erase_url(1)).status_code == 404


@pytest.fixture
def erased(eraser, attempt, medblocks):
    allow_erasure(medblocks)
    return eraser.post(erase_url(attempt.pk), follow=True)


def test_answer_erases_and_says_so(erased):
    assert erased.redirect_chain == [(PATIENTS, 302)]
    assert "The patient was erased, at Medblocks and here." in erased.text
    assert "p-1" not in erased.text
    assert (find_left("p-1"), count_left()) == ([], {})


def test_log_says_who_erased_whom_without_the_id(erased, eraser):
    entry = LogEntry.objects.get(change_message="Asked for the patient to be erased.")
    assert entry.user == eraser.staff
    assert entry.object_repr == ErasedPatient.objects.get().pseudonym
    assert "p-1" not in f"{entry.object_repr}{entry.object_id}{entry.change_message}"


def test_session_of_staff_has_nothing_of_the_id(erased, eraser):
    assert "p-1" not in str(dict(eraser.session.items()))
    assert not [name for name, cookie in eraser.cookies.items() if "p-1" in cookie.value]


def test_page_of_an_erased_patient_is_404(erased, eraser, attempt):
    assert eraser.get(patient_url(attempt.pk)).status_code == 404
    assert eraser.post(erase_url(attempt.pk)).status_code == 404


def test_search_for_an_erased_patient_says_when(erased, eraser):
    assert "A patient with this id was erased:" in eraser.get(f"{PATIENTS}?q=p-1").text
    assert "was erased:" not in eraser.get(f"{PATIENTS}?q=p-2").text


def test_medblocks_that_does_not_answer_is_told_to_staff(eraser, attempt, medblocks):
    medblocks.get(f"{BASE_URL}/patients/p-1", status=503)
    response = eraser.post(erase_url(attempt.pk), follow=True)
    assert response.redirect_chain == [(patient_url(attempt.pk), 302)]
    assert "Nothing was deleted here yet" in response.text
    assert "it is not finished" in response.text
    assert PatientConnectionAttempt.objects.count() == 2


def test_tombstone_stands_where_requests_are_transactions(
    eraser, attempt, medblocks, monkeypatch, settings
):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    allow_erasure(medblocks)
    assert eraser.post(erase_url(attempt.pk)).status_code == 302
    assert find_left("p-1") == []


def test_erasure_that_breaks_has_been_logged(eraser, attempt, monkeypatch):
    def break_down(*_args, **_options):
        raise RuntimeError

    monkeypatch.setattr(erasure_page, "erase_patient", break_down)
    with pytest.raises(RuntimeError):
        eraser.post(erase_url(attempt.pk))
    assert LogEntry.objects.filter(change_message__startswith="Asked for the patient").exists()


def test_patient_of_another_workspace_alone_is_not_erased(eraser, attempt, medblocks):
    PatientConnectionAttempt.objects.update(workspace="elsewhere")
    response = eraser.post(erase_url(attempt.pk), follow=True)
    assert "the workspace elsewhere, which the API key does not open" in response.text
    assert (PatientConnectionAttempt.objects.count(), len(medblocks.calls)) == (2, 0)
