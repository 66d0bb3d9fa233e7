"""An attempt's page: its timeline and its fields."""

from __future__ import annotations

import pytest
import responses
from django.contrib.admin.models import LogEntry
from django.test import Client

from medblocks_connect.admin.bundle import write_bundle
from medblocks_connect.admin.links import attempt_url, patient_url
from medblocks_connect.models import AttemptEvent


def _event(attempt, **fields) -> AttemptEvent:
    count = attempt.events.count()
    defaults = {"source": "return", "kind": "claimed_failure", "status": "failed"}
    return attempt.events.create(fingerprint=str(count), **{**defaults, **fields})


def test_attempt_page_timeline(staff, make_attempt):
    attempt = make_attempt(status="failed", error="user_denied")
    _event(attempt, source="medblocks", kind="started", status="started", request_id="req_9")
    _event(attempt, error="user_denied", error_description="no thanks")
    response = staff.get(attempt_url(attempt.pk))
    assert [each.source for each in response.context["timeline"]] == [
        "Medblocks, asked",
        "Return URL",
    ]
    page = response.content.decode()
    for told in ("req_9", "no thanks", "Patient came back: said to have failed"):
        assert told in page


def test_attempt_page_leads_to_the_patient(staff, make_attempt):
    attempt = make_attempt(patient_id="a/b")
    assert f'href="{patient_url("a/b")}"' in staff.get(attempt_url(attempt.pk)).content.decode()


def test_attempt_page_whole_description_escaped(staff, make_attempt):
    text = "<script>alert(1)</script>" + "x" * 1500 + "END"
    attempt = make_attempt(status="failed", error="x", error_description=text)
    page = staff.get(attempt_url(attempt.pk)).content.decode()
    assert "xEND" in page
    assert "<script>alert" not in page


def test_attempt_page_unknown(staff, db):
    assert staff.get(attempt_url(12345)).status_code == 302  # Django's admin: back, with a message


def test_attempt_page_queries_few(staff, make_attempt, django_assert_max_num_queries):
    attempt = make_attempt()
    for _ in range(20):
        _event(attempt)
    with django_assert_max_num_queries(10):
        staff.get(attempt_url(attempt.pk))


def test_attempt_page_tells_the_story(staff, make_attempt):
    attempt = make_attempt(status="failed", error="user_denied")
    page = staff.get(attempt_url(attempt.pk)).content.decode()
    for told in ("has not tried again", "Whose turn it is", "You can connect at any time"):
        assert told in page


def test_attempt_page_later_tries_are_the_same_patients(staff, make_attempt):
    attempt = make_attempt(status="failed")
    make_attempt(patient_id="p-2")
    page = staff.get(attempt_url(attempt.pk)).content.decode()
    assert "has not tried again" in page
    make_attempt(status="failed")
    assert "has tried again once" in staff.get(attempt_url(attempt.pk)).content.decode()


def test_attempt_page_megabyte_is_bounded(staff, make_attempt):
    attempt = make_attempt(status="failed", error="x", error_description="y" * 1_000_000)
    page = staff.get(attempt_url(attempt.pk)).content.decode()
    assert len(page) < 100_000
    assert "characters left out" in page


def test_bundle_has_no_personal_data(staff, make_attempt):
    attempt = make_attempt(
        patient_id="ann@example.org",
        patient_session_id="ps_42",
        status="failed",
        error="oauth_error",
        error_description="Ann Example was refused",
        request_id="req_7",
    )
    _event(attempt, error="oauth_error", error_description="Ann Example", request_id="req_8")
    bundle = staff.get(attempt_url(attempt.pk)).context["bundle"]
    for told in ("ps_42", "oauth_error", "req_7", "req_8", attempt.public_id):
        assert told in bundle
    assert "ann@" not in bundle
    assert "Ann" not in bundle


def test_bundle_leaves_out_what_is_no_code(make_attempt):
    attempt = make_attempt(
        connection_id="https://fhir.example/r4?patient=ann",
        error="Ann Example 1950",
        claimed_error="ann@example.org",
        request_id="Ann was here",
    )
    event = _event(attempt, error="Ann Example", connection_status="gone, says Ann")
    bundle = write_bundle(attempt, [event])
    assert "ann" not in bundle.lower()
    assert "https://fhir.example/r4" in bundle
    assert "error: (left out)" in bundle


@pytest.fixture
def asker(make_staff):
    return make_staff("view_patientconnectionattempt", "ask_medblocks")


def _session(status: str) -> dict:
    connection = {"id": "conn_1", "connection_id": "fhirsrc_riverside", "status": status}
    return {
        "id": "ps_1",
        "resource_type": "patient_session",
        "status": "complete",
        "patient_id": "p-1",
        "connections": [connection],
    }


@responses.activate
def test_ask_again_settles_what_medblocks_says(asker, make_attempt):
    attempt = make_attempt(patient_session_id="ps_1", status="started")
    responses.get("http://127.0.0.1:9/patient-sessions/ps_1", json=_session("active"))
    page = asker.post(_ask_url(attempt), follow=True)
    assert "Medblocks says: Connected." in page.content.decode()
    attempt.refresh_from_db()
    assert attempt.status == "succeeded"
    entry = LogEntry.objects.get()
    assert (entry.user, entry.change_message) == (asker.staff, "Asked Medblocks again.")


@responses.activate
def test_ask_again_without_an_answer_changes_nothing(asker, make_attempt, settings):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "MAX_RETRIES": 0}
    attempt = make_attempt(patient_session_id="ps_1", status="started")
    responses.get("http://127.0.0.1:9/patient-sessions/ps_1", status=500)
    page = asker.post(_ask_url(attempt), follow=True)
    assert "Medblocks did not answer" in page.content.decode()
    attempt.refresh_from_db()
    assert attempt.status == "started"


def _ask_url(attempt) -> str:
    return f"{attempt_url(attempt.pk).removesuffix('change/')}ask/"


def test_ask_again_is_a_post(asker, make_attempt):
    assert asker.get(_ask_url(make_attempt())).status_code == 405


def test_ask_again_by_get_without_the_permission_is_refused_too(staff, make_attempt):
    assert staff.get(_ask_url(make_attempt())).status_code == 403


def test_attempt_page_names_the_record_system(staff, make_attempt):
    page = staff.get(attempt_url(make_attempt(connection_type="cerner").pk)).content.decode()
    assert "Oracle Health (Cerner)" in page


def test_ask_again_checks_csrf(asker, make_attempt):
    attempt = make_attempt(patient_session_id="ps_1")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(asker.staff)
    assert strict.post(_ask_url(attempt)).status_code == 403


def test_ask_again_needs_its_permission(staff, make_attempt):
    attempt = make_attempt(patient_session_id="ps_1")
    assert "Ask Medblocks again" not in staff.get(attempt_url(attempt.pk)).content.decode()
    assert staff.post(_ask_url(attempt)).status_code == 403


def test_ask_again_button_only_where_there_is_a_session(asker, make_attempt):
    asked = make_attempt(patient_session_id="ps_1")
    context = asker.get(attempt_url(asked.pk)).context
    assert context["may_ask"]
    assert not asker.get(attempt_url(make_attempt().pk)).context["may_ask"]
