"""An attempt's page: its timeline and its fields."""

from __future__ import annotations

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
