"""A patient's page: the whole history, for any patient id there can be."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from medblocks_connect.admin.links import patient_url
from tests.admin.conftest import ATTEMPTS

ODD_IDS = [
    "a/b/c",
    "with space",
    "100%",
    "%2F",
    "🩺 emoji",
    "?q=1&x=2#top",
    "..",
    ".",
    "_2F",
    "add",
    "<b>bold</b>",
    "x" * 200,
    "é\u0301",
    "日本/change",
]


def test_patient_page_tells_everything(staff, make_attempt):
    make_attempt(status="failed", error="oauth_error", error_description="Portal fell over")
    make_attempt(status="succeeded", connection_id="b", connection_name="Hilltop Clinic")
    make_attempt(patient_id="p-2", error_description="of somebody else")
    page = staff.get(patient_url("p-1")).content.decode()
    for told in ("oauth_error", "Portal fell over", "Riverside General", "Hilltop Clinic"):
        assert told in page
    assert "of somebody else" not in page


@pytest.mark.parametrize("patient_id", ODD_IDS)
def test_patient_page_reached_from_the_row(staff, make_attempt, patient_id):
    attempt = make_attempt(patient_id=patient_id)
    row = staff.get(ATTEMPTS).content.decode()
    (url,) = re.findall(r'field-patient"><a href="([^"]+)"', row)
    response = staff.get(url)
    assert response.context["patient_id"] == patient_id
    assert [each.url for each in response.context["rows"]] == [f"{ATTEMPTS}{attempt.pk}/change/"]
    assert "<b>bold</b>" not in response.content.decode()


def test_patient_page_newest_first(staff, make_attempt):
    now = timezone.now()
    moments = [now - timedelta(days=2), now, now - timedelta(days=1)]
    for moment in moments:
        make_attempt(created_at=moment)
    rows = staff.get(patient_url("p-1")).context["rows"]
    assert [each.when for each in rows] == sorted(moments, reverse=True)


def test_patient_page_says_what_holds_and_what_is_lost(staff, make_attempt):
    now = timezone.now()
    make_attempt(status="succeeded", lost_at=now)
    make_attempt(status="succeeded", connection_id="b", connection_name="Hilltop", lost_at=now)
    make_attempt(status="succeeded", connection_id="b", connection_name="Hilltop")
    context = staff.get(patient_url("p-1")).context
    assert ["Hilltop" in each.facility for each in context["holding"]] == [True]
    assert ["Riverside" in each.facility for each in context["lost"]] == [True]


def test_patient_page_case_of_the_id_counts(staff, make_attempt):
    make_attempt(patient_id="ab")
    assert staff.get(patient_url("AB")).status_code == 404


def test_patient_page_unknown(staff, db):
    assert staff.get(patient_url("nobody")).status_code == 404


def test_patient_page_queries_few(staff, make_attempt, django_assert_max_num_queries):
    for _ in range(60):
        make_attempt()
    with django_assert_max_num_queries(10):
        staff.get(patient_url("p-1"))
