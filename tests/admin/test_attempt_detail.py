"""An attempt's page: its timeline and its fields."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import requests
import responses
from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.test import Client
from django.utils import timezone

from medblocks_connect.admin.attempt_detail import read_events
from medblocks_connect.admin.formatting import LONG
from medblocks_connect.admin.links import attempt_url, patient_url
from medblocks_connect.admin.support_bundle import write_bundle
from medblocks_connect.models import AttemptEvent
from tests.connected import record_connection


def _event(attempt, **fields) -> AttemptEvent:
    count = attempt.events.count()
    defaults = {"source": "return", "kind": "claimed_failure", "status": "failed"}
    return attempt.events.create(fingerprint=str(count), **{**defaults, **fields})


def test_attempt_page_timeline_names_sources_and_words(staff, make_attempt):
    attempt = make_attempt(status="failed", error="user_denied")
    _event(attempt, source="medblocks", kind="started", status="started", request_id="req_9")
    _event(attempt, error="user_denied", error_description="no thanks")
    response = staff.get(attempt_url(attempt.pk))
    assert [entry.source for entry in response.context["timeline"]] == [
        "Medblocks, asked",
        "Return URL",
    ]
    page = response.content.decode()
    for text in ("req_9", "no thanks", "Patient came back: said to have failed"):
        assert text in page


def test_attempt_page_timeline_names_who_caused_an_event(staff, make_attempt):
    attempt = make_attempt()
    _event(attempt, kind="claimed_success", actor="<b>nurse-7</b>")
    _event(attempt, kind="came_back")
    timeline = staff.get(attempt_url(attempt.pk)).context["timeline"]
    assert "by <bdi>&lt;b&gt;nurse-7&lt;/b&gt;</bdi>" in timeline[0].actor
    assert timeline[1].actor == ""


def test_attempt_page_names_who_started_it_whole(staff, make_attempt):
    attempt = make_attempt(actor="<" + "x" * 199)
    page = staff.get(attempt_url(attempt.pk)).content.decode()
    assert f"<bdi>&lt;{'x' * 199}</bdi>" in page


def test_attempt_page_long_timeline_keeps_both_ends(staff, make_attempt):
    attempt = make_attempt()
    now = timezone.now()
    attempt.events.bulk_create(
        AttemptEvent(
            attempt=attempt,
            source="webhook",
            kind="records_synced",
            status="succeeded",
            detail=f"number {number}.",
            fingerprint=str(number),
            created_at=now + timedelta(seconds=number),
        )
        for number in range(230)
    )
    response = staff.get(attempt_url(attempt.pk))
    page = response.content.decode()
    assert len(response.context["timeline"]) == 220
    assert "10 events between the first and the newest are left out" in page
    assert "timeline (10 events left out):" in response.context["bundle"]
    for number, is_shown in ((0, True), (19, True), (20, False), (30, True), (229, True)):
        assert (f"number {number}." in page) == is_shown


def test_attempt_page_timeline_is_sorted_by_time_shown(staff, make_attempt):
    attempt = make_attempt()
    now = timezone.now()
    _event(attempt, kind="came_back")
    _event(attempt, kind="failed", occurred_at=now - timedelta(minutes=10))
    timeline = staff.get(attempt_url(attempt.pk)).context["timeline"]
    assert [entry.what for entry in timeline] == ["Failed", "Patient came back"]


def test_attempt_page_event_description_is_shortened_in_the_database(make_attempt):
    attempt = make_attempt()
    _event(attempt, error_description="z" * 1_000_000)
    ((event,), _left_out) = read_events(attempt)
    assert "error_description" in event.get_deferred_fields()
    assert len(event.words) == LONG + 1


def test_attempt_page_of_disconnected_says_so(staff, make_attempt):
    lost = make_attempt(status="succeeded", lost_at=timezone.now())
    assert "reconnect queue" in staff.get(attempt_url(lost.pk)).context["summary"].next_step
    record_connection(lost, is_ended_here=True)
    summary = staff.get(attempt_url(lost.pk)).context["summary"]
    assert "it was disconnected on this site since" in summary.sentence
    assert summary.turn == "Nobody: it was disconnected on this site"
    assert summary.next_step == "Nothing to do."


def test_attempt_page_counts_every_later_try(staff, make_attempt):
    attempt = make_attempt(status="failed", error="user_denied")
    for _ in range(30):
        make_attempt(status="failed", error="user_denied")
    assert "tried again 30 times" in staff.get(attempt_url(attempt.pk)).context["summary"].sentence


def test_attempt_page_finds_a_success_before_many_later_tries(staff, make_attempt):
    attempt = make_attempt(status="failed", error="user_denied")
    make_attempt(status="succeeded")
    for _ in range(21):
        make_attempt(status="failed", connection_id="elsewhere")
    summary = staff.get(attempt_url(attempt.pk)).context["summary"]
    assert summary.turn == "Nobody: a later try connected it"


def test_attempt_page_links_to_the_patient(staff, make_attempt):
    attempt = make_attempt(patient_id="a/b")
    page = staff.get(attempt_url(attempt.pk)).content.decode()
    assert f'href="{patient_url(attempt.pk)}"' in page


def test_attempt_page_description_is_whole_and_escaped(staff, make_attempt):
    text = "<script>alert(1)</script>" + "x" * 1500 + "END"
    attempt = make_attempt(status="failed", error="x", error_description=text)
    page = staff.get(attempt_url(attempt.pk)).content.decode()
    assert "xEND" in page
    assert "<script>alert" not in page


def test_attempt_page_of_unknown_key_redirects(staff, db):
    assert staff.get(attempt_url(12345)).status_code == 302  # Django's admin: back, with a message


def test_attempt_page_asks_few_queries(staff, make_attempt, django_assert_max_num_queries):
    attempt = make_attempt(status="succeeded", lost_at=timezone.now())
    for _ in range(210):
        _event(attempt)
    make_attempt()
    ContentType.objects.get_for_model(attempt)  # Django keeps it
    with django_assert_max_num_queries(12):
        staff.get(attempt_url(attempt.pk))


def test_attempt_page_shows_the_summary(staff, make_attempt):
    attempt = make_attempt(status="failed", error="user_denied")
    page = staff.get(attempt_url(attempt.pk)).content.decode()
    for text in ("has not tried again", "Whose turn it is", "You can connect at any time"):
        assert text in page


def test_attempt_page_later_tries_are_the_same_patients(staff, make_attempt):
    attempt = make_attempt(status="failed")
    make_attempt(patient_id="p-2")
    page = staff.get(attempt_url(attempt.pk)).content.decode()
    assert "has not tried again" in page
    make_attempt(status="failed")
    assert "has tried again once" in staff.get(attempt_url(attempt.pk)).content.decode()


def test_attempt_page_megabyte_description_is_bounded(staff, make_attempt):
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
        actor="nurse-7",
    )
    _event(
        attempt,
        error="oauth_error",
        error_description="Ann Example",
        request_id="req_8",
        actor="nurse-8",
    )
    bundle = staff.get(attempt_url(attempt.pk)).context["bundle"]
    for text in ("ps_42", "oauth_error", "req_7", "req_8", attempt.public_id):
        assert text in bundle
    assert "ann@" not in bundle
    assert "nurse" not in bundle
    assert "Example" not in bundle


def test_bundle_leaves_out_text_without_the_shape_of_a_code(make_attempt):
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


SESSION_URL = "http://127.0.0.1:9/patient-sessions/ps_1"


def _session(status: str, **fields) -> dict:
    connection = {"id": "conn_1", "connection_id": "fhirsrc_riverside", "status": status, **fields}
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
    responses.get(SESSION_URL, json=_session("active"))
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
    responses.get(SESSION_URL, body=requests.ConnectTimeout())
    page = asker.post(_ask_url(attempt), follow=True)
    assert "Medblocks did not answer" in page.content.decode()
    attempt.refresh_from_db()
    assert attempt.status == "started"


@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        (401, "invalid_api_key", "said invalid_api_key: Medblocks refused this site"),
        (404, "resource_not_found", "Medblocks knows no such session"),
        (500, "internal_error", "said internal_error"),
    ],
)
@responses.activate
def test_ask_again_says_how_medblocks_refused(asker, make_attempt, settings, status, code, text):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "MAX_RETRIES": 0}
    attempt = make_attempt(patient_session_id="ps_1", status="started")
    responses.get(SESSION_URL, status=status, json={"error": {"code": code, "message": "Ann Lee"}})
    page = asker.post(_ask_url(attempt), follow=True).content.decode()
    assert text in page
    assert "did not answer" not in page
    assert "Ann Lee" not in page


@pytest.mark.parametrize("code", ["token_exchange_failed", "user_denied"])
@responses.activate
def test_ask_again_says_that_a_claim_was_confirmed(asker, make_attempt, code):
    attempt = make_attempt(
        patient_session_id="ps_1",
        status="failed",
        unconfirmed=True,
        error="user_denied",
        claimed_error="user_denied",
        returned_at=timezone.now(),
    )
    responses.get(SESSION_URL, json=_session("failed", id=None, failure_code=code))
    page = asker.post(_ask_url(attempt), follow=True)
    assert f"Medblocks says: Failed ({code})." in page.content.decode()
    page = asker.post(_ask_url(attempt), follow=True)
    assert f"Medblocks says nothing new: Failed ({code})." in page.content.decode()


def test_ask_again_without_a_session_says_so(asker, make_attempt):
    page = asker.post(_ask_url(make_attempt()), follow=True)
    assert "no session at Medblocks" in page.content.decode()
    assert not LogEntry.objects.exists()


def _ask_url(attempt) -> str:
    return f"{attempt_url(attempt.pk).removesuffix('change/')}ask/"


def test_ask_again_by_get_is_405(asker, make_attempt):
    assert asker.get(_ask_url(make_attempt())).status_code == 405


def test_ask_again_by_get_without_permission_is_403(staff, make_attempt):
    assert staff.get(_ask_url(make_attempt())).status_code == 403


def test_attempt_page_names_the_record_system(staff, make_attempt):
    page = staff.get(attempt_url(make_attempt(connection_type="cerner").pk)).content.decode()
    assert "Oracle Health (Cerner)" in page


def test_ask_again_without_csrf_token_is_403(asker, make_attempt):
    attempt = make_attempt(patient_session_id="ps_1")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(asker.staff)
    assert strict.post(_ask_url(attempt)).status_code == 403


def test_ask_again_without_permission_is_403(staff, make_attempt):
    attempt = make_attempt(patient_session_id="ps_1")
    assert "Ask Medblocks again" not in staff.get(attempt_url(attempt.pk)).content.decode()
    assert staff.post(_ask_url(attempt)).status_code == 403


def test_ask_again_button_shows_only_with_a_session(asker, make_attempt):
    with_session = make_attempt(patient_session_id="ps_1")
    context = asker.get(attempt_url(with_session.pk)).context
    assert context["may_ask"]
    assert not asker.get(attempt_url(make_attempt().pk)).context["may_ask"]


def test_attempt_page_marks_no_no_with_a_cross(staff, make_attempt):
    """Django's icon for False is a red cross; here each False is what one hopes for, or neither."""
    page = staff.get(attempt_url(make_attempt(status="succeeded").pk)).content.decode()
    assert "icon-no" not in page
    assert "icon-yes" not in page
    for column in ("is_unconfirmed", "has_disagreement", "was_claimed"):
        assert re.search(rf'field-{column}".*?class="readonly">No</div>', page, re.DOTALL)


@pytest.mark.parametrize(
    ("fields", "tone"),
    [
        ({"status": "failed", "error": "user_denied"}, "quiet"),
        ({"status": "failed", "error": "user_denied", "patient_session_id": None}, "bad"),
        ({"status": "failed", "error": "oauth_error"}, "bad"),
        ({"status": "expired"}, "warn"),
        ({"status": "succeeded", "lost_at": timezone.now()}, "warn"),
    ],
    ids=["own-no", "refused", "failed", "left", "lost"],
)
def test_attempt_page_marks_failures_alone_in_red(staff, make_attempt, fields, tone):
    attempt = make_attempt(**fields)
    kind = "failed" if fields.get("patient_session_id", True) else "refused"
    error = fields.get("error", "")
    attempt.events.create(
        source="medblocks", kind=kind, status=attempt.status, error=error, fingerprint="1"
    )
    page = staff.get(attempt_url(attempt.pk)).content.decode()
    assert ("medblocks-badge medblocks-bad" in page) == (tone == "bad")
    assert f"medblocks-badge medblocks-{tone}" in page


@pytest.mark.parametrize("kinds", [["adopted"], ["adopted", "started"]], ids="-".join)
def test_attempt_page_of_a_session_found_again_says_who_was_led_there(staff, make_attempt, kinds):
    attempt = make_attempt(status="started")
    for kind in kinds:
        attempt.events.create(source="medblocks", kind=kind, status="started", fingerprint=kind)
    sentence = staff.get(attempt_url(attempt.pk)).context["summary"].sentence
    assert ("nobody was led to the portal" in sentence) == (kinds == ["adopted"])
