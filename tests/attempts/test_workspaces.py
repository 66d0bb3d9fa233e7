"""An attempt of another workspace connects nobody, is offered to nobody, and is not asked about."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from medblocks_connect.attempts.queries import has_failed_twice
from medblocks_connect.attempts.reconcile import count_unsettled
from medblocks_connect.attempts.verification import verify_attempt, verify_if_due
from medblocks_connect.facilities.popularity import count_chosen
from medblocks_connect.facilities.suggestions import suggest_facilities
from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.patients import Patient
from tests.attempts.conftest import BASE_URL, FACILITY

pytestmark = pytest.mark.django_db

HOUR_AGO = timedelta(hours=1)


@pytest.fixture
def make(user):
    """Make an attempt of the patient in the sandbox, an hour ago."""

    def make_one(**columns):
        return PatientConnectionAttempt.objects.create(
            **{
                "patient_id": str(user.pk),
                "connection_id": FACILITY,
                "connection_name": "Riverside General",
                "created_at": timezone.now() - HOUR_AGO,
                **columns,
            }
        )

    return make_one


@pytest.fixture
def _go_live(settings, medblocks):
    """Change the key from the sandbox's to a live one."""
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "API_KEY": "mb_sk_live_1"}


@pytest.mark.usefixtures("_go_live")
@pytest.mark.parametrize("workspace", ["sandbox", "live"])
def test_success_counts_in_its_own_workspace_alone(browser, user, medblocks, make, workspace):
    make(workspace=workspace, status="succeeded", patient_connection_id="conn_1")
    medblocks.get(f"{BASE_URL}/patients/{user.pk}", status=500, json={})
    page = browser.get("/records/connections/").text
    assert ("Riverside General" in page) is (workspace == "live")
    own = PatientConnectionAttempt.objects.of_patient(str(user.pk)).in_workspace()
    assert bool(own.find_connected([FACILITY])) is (workspace == "live")


@pytest.mark.usefixtures("_go_live")
@pytest.mark.parametrize("workspace", ["sandbox", "live"])
def test_facility_is_offered_in_its_own_workspace_alone(user, make, workspace):
    make(workspace=workspace, status="succeeded")
    assert bool(count_chosen()) is (workspace == "live")
    suggestions = suggest_facilities(Patient(str(user.pk)))
    assert bool(suggestions.used or suggestions.popular) is (workspace == "live")


@pytest.mark.usefixtures("_go_live")
@pytest.mark.parametrize(("workspace", "asked"), [("sandbox", 0), ("live", 2)])
def test_open_attempt_is_asked_about_in_its_own_workspace_alone(medblocks, make, workspace, asked):
    session = medblocks.get(f"{BASE_URL}/patient-sessions/ps_1", status=500, json={})
    attempt = make(workspace=workspace, status="started", patient_session_id="ps_1")
    assert count_unsettled() == (1 if workspace == "live" else 0)
    verify_if_due(attempt)
    verify_attempt(attempt)
    assert session.call_count == asked


@pytest.mark.usefixtures("_go_live")
@pytest.mark.parametrize("workspace", ["sandbox", "live"])
def test_failures_are_counted_in_their_own_workspace_alone(make, workspace):
    make(workspace=workspace, status="failed", error="server_error")
    second = make(workspace="live", status="failed", error="server_error")
    assert has_failed_twice(second) is (workspace == "live")


@pytest.mark.usefixtures("_go_live")
def test_own_attempt_of_another_workspace_is_still_shown(browser, make):
    attempt = make(workspace="sandbox", status="succeeded")
    assert browser.get(attempt.get_absolute_url()).status_code == 200


def test_attempt_stays_in_its_workspace_where_the_key_is_rotated(settings, make):
    attempt = make(status="succeeded")
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "API_KEY": "mb_sk_sbx_next"}
    assert attempt.is_in_workspace


@pytest.mark.usefixtures("_go_live")
@pytest.mark.parametrize(("workspace", "asked"), [("sandbox", 0), ("live", 1)])
def test_admin_asks_about_an_attempt_of_its_own_workspace_alone(
    admin_client, medblocks, make, workspace, asked
):
    session = medblocks.get(f"{BASE_URL}/patient-sessions/ps_1", status=500, json={})
    attempt = make(workspace=workspace, status="started", patient_session_id="ps_1")
    page = f"/admin/medblocks_connect/patientconnectionattempt/{attempt.pk}/"
    assert (f"{page}ask/" in admin_client.get(f"{page}change/").text) is bool(asked)
    answer = admin_client.post(f"{page}ask/", follow=True)
    assert ("belongs to the workspace sandbox" in answer.text) is not bool(asked)
    assert session.call_count == asked
