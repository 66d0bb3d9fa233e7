"""Another workspace's attempts and deliveries: seen, marked, filtered by, and counted as over."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from django.utils import timezone

from medblocks_connect.admin.attempt_summary import LaterAttempts, summarize
from medblocks_connect.admin.workspaces import list_workspaces
from medblocks_connect.models import Facility, PatientConnectionAttempt, WebhookDelivery
from tests.admin.conftest import ATTEMPTS, DELIVERIES, PATIENTS, QUEUE, patient_page

NOW = timezone.now()
OPEN = ("created", "started", "returned")


@pytest.fixture
def other(make_attempt):
    """Make an attempt in a workspace that the key does not open."""

    def make(**columns):
        return make_attempt(**{"workspace": "north", "patient_session_id": None, **columns})

    return make


def list_keys(client, address: str) -> set[int]:
    return {row.pk for row in client.get(address).context["cl"].result_list}


def list_queue(client) -> set[int]:
    """Return the attempts that the connections in the queue came of."""
    return {row.attempt_id for row in client.get(QUEUE).context["cl"].result_list}


def list_filters(client, address: str) -> set[str]:
    return {str(shown.title) for shown in client.get(address).context["cl"].filter_specs}


@pytest.mark.parametrize("status", OPEN)
def test_open_attempt_of_another_workspace_is_shown_as_over(staff, other, status):
    attempt = other(status=status)
    page = staff.get(ATTEMPTS).text
    assert "Never finished</span>" in page
    assert "workspace north" in page
    summary = summarize(attempt, LaterAttempts(), NOW)
    assert summary.turn == "Nobody: it is of another workspace"
    assert summary.next_step == "Nothing to do."
    assert "workspace north, which the API key does not open" in summary.sentence
    assert "still checking" not in summary.tell_patient


def test_success_of_another_workspace_is_not_told_as_connected(staff, other):
    attempt = other(status="succeeded")
    assert "ended" in summarize(attempt, LaterAttempts(), NOW).tell_patient
    assert "medblocks-good" not in staff.get(ATTEMPTS).text


@pytest.mark.parametrize("status", OPEN)
def test_open_attempt_of_another_workspace_is_filtered_as_over(staff, make_attempt, other, status):
    ours, theirs = make_attempt(status=status), other(status=status)
    expired = make_attempt(status="expired")
    assert list_keys(staff, f"{ATTEMPTS}?status__exact={status}") == {ours.pk}
    assert list_keys(staff, f"{ATTEMPTS}?status__exact=expired") == {theirs.pk, expired.pk}


def test_open_attempt_of_another_workspace_is_exported_as_over(root, other):
    other(status="started")
    sent = root.post(f"{ATTEMPTS}export/")
    (row,) = csv.DictReader(io.StringIO(sent.getvalue().decode("utf-8-sig")))
    assert (row["status"], row["workspace"]) == ("Never finished", "north")


@pytest.mark.parametrize(("workspace", "found"), [("north", {"theirs"}), ("sandbox", {"ours"})])
def test_attempts_are_filtered_by_workspace(staff, make_attempt, other, workspace, found):
    keys = {"ours": make_attempt().pk, "theirs": other().pk}
    shown = list_keys(staff, f"{ATTEMPTS}?workspace__exact={workspace}")
    assert shown == {keys[name] for name in found}


@pytest.mark.parametrize(("workspace", "found"), [("north", {"theirs"}), ("sandbox", {"ours"})])
def test_deliveries_are_filtered_by_workspace(root, workspace, found):
    keys = {
        name: WebhookDelivery.objects.create(event_id="evt_1", workspace=kept).pk
        for name, kept in (("ours", "sandbox"), ("theirs", "north"))
    }
    page = f"{DELIVERIES}?workspace__exact={workspace}"
    assert list_keys(root, page) == {keys[name] for name in found}
    assert ("workspace north" in root.get(page).text) is (workspace == "north")


@pytest.mark.parametrize("address", [ATTEMPTS, DELIVERIES])
def test_filter_by_workspace_is_offered_where_there_is_another(root, address, make_attempt, other):
    make_attempt()
    assert "workspace" not in list_filters(root, address)
    other()
    WebhookDelivery.objects.create(event_id="evt_1", workspace="north")
    assert "workspace" in list_filters(root, address)


def test_delivery_of_another_workspace_is_not_processed(root):
    delivery = WebhookDelivery.objects.create(event_id="evt_1", workspace="north")
    page = root.post(f"{DELIVERIES}{delivery.pk}/process/", follow=True).text
    delivery.refresh_from_db()
    assert "belongs to the workspace north" in page
    assert (delivery.state, delivery.tries) == ("received", 0)


def test_patient_is_not_connected_by_another_workspace(staff, other):
    other(status="succeeded")
    context = staff.get(patient_page()).context
    assert (context["connected"], len(context["rows"])) == ([], 1)
    (patient,) = staff.get(PATIENTS).context["cl"].result_list
    assert (patient.attempts, patient.connected or 0) == (1, 0)


def test_later_success_in_another_workspace_connects_nothing(staff, make_attempt, other):
    failed = make_attempt(status="failed", error="x", created_at=NOW - timedelta(hours=1))
    other(status="succeeded")
    page = staff.get(f"{ATTEMPTS}{failed.pk}/change/").text
    assert "a later try connected it" not in page


def test_queue_is_of_the_workspace_in_force(staff, make_attempt, other):
    lost = {"status": "succeeded", "lost_at": NOW, "connection_status": "refresh_failed"}
    other(**lost)
    ours = make_attempt(patient_id="p-2", **lost)
    assert list_queue(staff) == {ours.pk}


def test_queue_keeps_what_was_won_back_in_another_workspace_alone(staff, make_attempt, other):
    lost = make_attempt(status="succeeded", lost_at=NOW, created_at=NOW - timedelta(hours=1))
    other(status="succeeded")
    assert list_queue(staff) == {lost.pk}


def test_overview_counts_the_workspace_in_force_and_names_it(staff, make_attempt, other):
    ours = make_attempt(status="failed", error="x")
    assert "Only the workspace" not in staff.get(f"{ATTEMPTS}overview/").text
    other(status="failed", error="x")
    page = staff.get(f"{ATTEMPTS}overview/")
    assert page.context["total"] == 1
    assert "Only the workspace <strong>sandbox</strong>" in page.text
    (facility,) = page.context["facilities"]
    assert list_keys(staff, facility.url) == {ours.pk}


@pytest.mark.parametrize("name", ["Hillside", "Lakeside"])
def test_search_finds_a_facility_by_its_name_in_either_workspace(staff, make_attempt, name):
    """One id in two catalogs is two rows."""
    attempt = make_attempt(connection_id="fhirsrc_1", connection_name="")
    for workspace, kept in (("north", "Hillside"), ("sandbox", "Lakeside")):
        Facility.objects.create(workspace=workspace, connection_id="fhirsrc_1", name=kept)
    assert list_keys(staff, f"{ATTEMPTS}?q={name}") == {attempt.pk}


@pytest.mark.parametrize("kept", [(), ("sandbox",), ("south", "north", "sandbox", "north")])
def test_workspaces_of_a_table_are_listed_once(make_attempt, kept):
    for workspace in kept:
        make_attempt(workspace=workspace)
    assert list_workspaces(PatientConnectionAttempt) == sorted(set(kept))
