"""The reconnect queue: lost, not won back, newest first, with a link for the patient."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from tests.admin.conftest import QUEUE, patient_page
from tests.connected import record_connection

NOW = timezone.now()


@pytest.fixture
def lose(make_attempt):
    def make(**fields):
        defaults = {"status": "succeeded", "lost_at": NOW, "connection_status": "refresh_failed"}
        return make_attempt(**{**defaults, **fields})

    return make


def _queue(client) -> list[int]:
    return [lost.attempt_id for lost in client.get(QUEUE).context["cl"].result_list]


def test_queue_is_sorted_by_newest_loss(staff, lose, make_attempt):
    early = lose(lost_at=NOW - timedelta(days=2))
    late = lose(patient_id="p-2", lost_at=NOW)
    make_attempt(patient_id="p-3", status="succeeded")
    make_attempt(patient_id="p-4", status="failed")
    assert _queue(staff) == [late.pk, early.pk]


def test_queue_leaves_out_connected_again(staff, lose, make_attempt):
    lose()
    make_attempt(status="succeeded")
    assert _queue(staff) == []


def test_queue_lists_twice_lost_once(staff, lose):
    lose(lost_at=NOW - timedelta(days=9), created_at=NOW - timedelta(days=10))
    again = lose()
    assert _queue(staff) == [again.pk]


def test_queue_keeps_lost_with_success_elsewhere(staff, lose, make_attempt):
    lost = lose()
    make_attempt(status="succeeded", connection_id="elsewhere")
    make_attempt(status="succeeded", patient_id="somebody else")
    make_attempt(status="failed")
    assert _queue(staff) == [lost.pk]


def test_queue_goes_by_time_not_by_id(staff, lose, make_attempt):
    make_attempt(status="succeeded", created_at=NOW)
    lose(created_at=NOW - timedelta(days=30), lost_at=NOW - timedelta(days=1))
    assert _queue(staff) == []
    assert staff.get(patient_page()).context["lost"] == []


def test_queue_leaves_out_disconnected_here(staff, lose):
    record_connection(lose(connection_status="disconnected"), is_ended_here=True)
    assert _queue(staff) == []
    assert "disconnected on this site" in staff.get(patient_page()).content.decode()


def test_queue_filters_by_date_of_the_loss(staff, lose):
    early = lose(lost_at=NOW - timedelta(days=9), created_at=NOW - timedelta(days=10))
    lose(patient_id="p-2")
    rows = staff.get(f"{QUEUE}?until={NOW - timedelta(days=8):%Y-%m-%d}").context["cl"].result_list
    assert [lost.attempt_id for lost in rows] == [early.pk]


@pytest.mark.urls("tests.admin.urls_of_the_admin_alone")
def test_queue_without_patient_urls_is_200(staff, lose):
    lose()
    assert staff.get(QUEUE).status_code == 200


def test_queue_link_leads_to_the_patients_own_page(staff, lose):
    lost = lose()
    page = staff.get(QUEUE).content.decode()
    assert f"http://testserver/records/attempts/{lost.public_id}/" in page


def test_queue_link_has_the_patients_host(staff, lose, settings):
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "RETURN_URL": "https://clinic.example/records/return/",
    }
    lost = lose()
    page = staff.get(QUEUE).content.decode()
    assert f"https://clinic.example/records/attempts/{lost.public_id}/" in page


def test_queue_link_lets_the_patient_start_at_that_facility(lose, patient_client, user):
    lost = lose(patient_id=str(user.pk), connection_id="fhirsrc_riverside")
    page = patient_client.get(lost.get_absolute_url()).content.decode()
    assert 'value="fhirsrc_riverside"' in page


def test_queue_warns_of_disconnected_on_purpose(staff, lose):
    lose(connection_status="disconnected")
    assert "perhaps on purpose" in staff.get(QUEUE).content.decode()


def test_queue_asks_few_queries(staff, lose, django_assert_max_num_queries):
    for number in range(60):
        lose(patient_id=f"p-{number}")
    with django_assert_max_num_queries(8):
        staff.get(QUEUE)
