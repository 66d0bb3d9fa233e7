"""The overview says where Medblocks has stopped sending webhooks; one button enables it."""

from __future__ import annotations

import json

import pytest
from django.contrib.admin.models import LogEntry

from medblocks_connect.attempts.operation_runs import Name, read_state, write_state
from medblocks_connect.models import OperationRun
from tests.admin.conftest import ATTEMPTS
from tests.api.strict import ENDPOINT
from tests.attempts.conftest import BASE_URL, medblocks

__all__ = ["medblocks"]

pytestmark = pytest.mark.django_db

OVERVIEW = f"{ATTEMPTS}overview/"
ENABLE = f"{OVERVIEW}enable/"
STOPPED = "Medblocks has stopped telling us since Nov. 20, 2026, 10 a.m."


@pytest.fixture
def state(medblocks, settings):
    """Keep the state that the endpoint was seen in last."""
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "WEBHOOK_SECRETS": ["whsec_1"]}

    def keep(status: str) -> None:
        since = "2026-11-20T10:00:00+00:00"
        kept = {"status": status, "endpoint_id": "wh_1", "stopped_since": since}
        write_state(Name.LOOK_AT_ENDPOINT, kept)

    return keep


@pytest.fixture
def enabler(make_staff):
    return make_staff("view_patientconnectionattempt", "enable_webhook_endpoint")


ERROR = {"error": {"type": "", "code": "internal_error", "message": "In their words"}}


def answer(medblocks, body=ENDPOINT, status: int = 200):
    return medblocks.patch(f"{BASE_URL}/webhooks/wh_1", json=body, status=status)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("disabled", "It disabled the webhook endpoint"),
        ("missing", "manage.py medblocks_webhooks register"),
    ],
)
def test_overview_says_since_when_webhooks_have_stopped(staff, state, status, words):
    state(status)
    page = staff.get(OVERVIEW).text
    assert STOPPED in page
    assert words in page


@pytest.mark.parametrize("status", ["active", "forbidden", "unknown"])
def test_overview_of_an_endpoint_that_is_well_says_nothing(staff, state, status):
    state(status)
    assert "stopped telling us" not in staff.get(OVERVIEW).text


def test_overview_of_a_site_without_webhooks_says_nothing(staff, state, settings):
    state("disabled")
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "WEBHOOK_SECRETS": []}
    assert "stopped telling us" not in staff.get(OVERVIEW).text


@pytest.mark.parametrize(("status", "is_there"), [("disabled", True), ("missing", False)])
def test_button_is_there_where_it_can_help(enabler, state, status, is_there):
    state(status)
    assert (ENABLE in enabler.get(OVERVIEW).text) is is_there


def test_button_is_not_there_without_its_permission(staff, state):
    state("disabled")
    assert ENABLE not in staff.get(OVERVIEW).text
    assert staff.post(ENABLE).status_code == 403


def test_button_enables_and_the_next_run_fetches(enabler, state, medblocks):
    state("disabled")
    OperationRun.objects.create(name="fetch_missed_events", ran_at="2099-01-01T00:00:00Z")
    sent = answer(medblocks)
    page = enabler.post(ENABLE, follow=True).text
    assert json.loads(sent.calls[0].request.body) == {"status": "active"}
    assert "Medblocks sends webhooks again." in page
    assert "stopped telling us" not in page
    assert OperationRun.objects.get(name="fetch_missed_events").ran_at is None


def test_button_is_in_djangos_log(enabler, state, medblocks):
    state("disabled")
    answer(medblocks)
    enabler.post(ENABLE)
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_repr) == (enabler.staff, "wh_1")
    assert entry.get_change_message() == "Had the webhook endpoint enabled."


def test_button_for_get_is_405(enabler, state):
    state("disabled")
    assert enabler.get(ENABLE).status_code == 405


def test_button_beside_an_active_endpoint_asks_nothing(enabler, state, medblocks):
    state("active")
    assert "is not disabled" in enabler.post(ENABLE, follow=True).text
    assert len(medblocks.calls) == 0


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, ERROR, "Medblocks did not enable it, but said internal_error."),
        (200, {**ENDPOINT, "status": "disabled"}, "Medblocks says that it is disabled still."),
    ],
)
def test_button_that_does_not_help_says_so(enabler, state, medblocks, status, body, words):
    state("disabled")
    answer(medblocks, body, status)
    page = enabler.post(ENABLE, follow=True).text
    assert words in page
    assert "In their words" not in page
    assert read_state(Name.LOOK_AT_ENDPOINT)["status"] == "disabled"


def test_button_without_an_answer_says_so(enabler, state, medblocks):
    state("disabled")
    medblocks.patch(f"{BASE_URL}/webhooks/wh_1", body=ConnectionError())
    assert "did not answer" in enabler.post(ENABLE, follow=True).text
