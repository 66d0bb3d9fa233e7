"""A patient's page: the whole history, for any patient id there can be."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from medblocks_connect.admin.formatting import LONG
from medblocks_connect.admin.links import patient_url
from medblocks_connect.admin.patient_pages import list_patient_attempts
from tests.admin.conftest import ATTEMPTS, PATIENTS, patient_page
from tests.connected import record_connection

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


def test_patient_page_shows_every_attempt_of_theirs_alone(staff, make_attempt):
    make_attempt(status="failed", error="oauth_error", error_description="Portal fell over")
    make_attempt(status="succeeded", connection_id="b", connection_name="Hilltop Clinic")
    make_attempt(patient_id="p-2", error_description="of somebody else")
    page = staff.get(patient_page()).content.decode()
    for text in ("oauth_error", "Portal fell over", "Riverside General", "Hilltop Clinic"):
        assert text in page
    assert "of somebody else" not in page


@pytest.mark.parametrize("patient_id", ODD_IDS)
def test_patient_page_reached_from_the_row(staff, make_attempt, patient_id):
    attempt = make_attempt(patient_id=patient_id)
    row = staff.get(ATTEMPTS).content.decode()
    (url,) = re.findall(r'field-patient"><a href="([^"]+)"', row)
    response = staff.get(url)
    assert response.context["patient_id"] == patient_id
    assert [row.url for row in response.context["rows"]] == [f"{ATTEMPTS}{attempt.pk}/change/"]
    assert "<b>bold</b>" not in response.content.decode()


def test_patient_page_newest_first(staff, make_attempt):
    now = timezone.now()
    moments = [now - timedelta(days=2), now, now - timedelta(days=1)]
    for moment in moments:
        make_attempt(created_at=moment)
    rows = staff.get(patient_page()).context["rows"]
    assert [row.when for row in rows] == sorted(moments, reverse=True)


def test_patient_page_lists_connected_and_lost(staff, make_attempt):
    now = timezone.now()
    make_attempt(status="succeeded", lost_at=now)
    make_attempt(status="succeeded", connection_id="b", connection_name="Hilltop", lost_at=now)
    make_attempt(status="succeeded", connection_id="b", connection_name="Hilltop")
    context = staff.get(patient_page()).context
    assert ["Hilltop" in row.facility for row in context["connected"]] == [True]
    assert ["Riverside" in row.facility for row in context["lost"]] == [True]


def test_patient_page_id_is_case_sensitive(staff, make_attempt):
    make_attempt(patient_id="AB")
    make_attempt(patient_id="ab")
    assert len(staff.get(patient_page("ab")).context["rows"]) == 1


def test_patient_page_of_unknown_key_is_404(staff, make_attempt):
    nobodys = make_attempt(patient_id="")
    assert staff.get(patient_url(nobodys.pk)).status_code == 404
    assert staff.get(patient_url(nobodys.pk + 1)).status_code == 404


def test_patient_page_address_does_not_name_the_patient(make_attempt):
    make_attempt(patient_id="MRN-77")
    assert "MRN-77" not in patient_page("MRN-77")


def test_patient_page_asks_few_queries(staff, make_attempt, django_assert_max_num_queries):
    for _ in range(60):
        make_attempt()
    with django_assert_max_num_queries(10):
        staff.get(patient_page())


def test_patient_list_has_one_row_per_patient(staff, make_attempt):
    now = timezone.now()
    make_attempt(status="failed", error="oauth_error", created_at=now - timedelta(days=3))
    make_attempt(status="failed", error="user_denied", created_at=now - timedelta(days=2))
    last = make_attempt(status="succeeded", created_at=now - timedelta(days=1))
    other = make_attempt(patient_id="p-2", created_at=now)
    rows = staff.get(PATIENTS).context["cl"].result_list
    assert [row.pk for row in rows] == [other.pk, last.pk]
    row = rows[1]
    assert (row.attempts, row.connected, row.failed) == (3, 1, 2)
    assert row.last_error == "user_denied"


def test_patient_list_sorts_by_last_attempt(staff, make_attempt):
    now = timezone.now()
    for number in range(3):
        make_attempt(patient_id=f"p-{number}", created_at=now - timedelta(days=number))
    rows = staff.get(f"{PATIENTS}?o=4").context["cl"].result_list
    assert [row.patient_id for row in rows] == ["p-2", "p-1", "p-0"]
    rows = staff.get(f"{PATIENTS}?o=-4").context["cl"].result_list
    assert [row.patient_id for row in rows] == ["p-0", "p-1", "p-2"]


def test_patient_list_of_equal_times_has_one_row(staff, make_attempt):
    now = timezone.now()
    for _ in range(3):
        make_attempt(created_at=now)
    assert len(staff.get(PATIENTS).context["cl"].result_list) == 1


def test_patient_list_search_is_exact(staff, make_attempt):
    make_attempt(patient_id="Ann Example")
    make_attempt(patient_id="Ann")
    rows = staff.get(f"{PATIENTS}?q=Ann+Example").context["cl"].result_list
    assert [row.patient_id for row in rows] == ["Ann Example"]


def test_patient_list_asks_few_queries(staff, make_attempt, django_assert_max_num_queries):
    for number in range(60):
        make_attempt(patient_id=f"p-{number}", status="failed", error="x")
    with django_assert_max_num_queries(8):
        staff.get(PATIENTS)


def test_patient_without_id_is_not_listed(staff, make_attempt):
    make_attempt(patient_id="")
    assert staff.get(ATTEMPTS).status_code == 200
    assert not staff.get(PATIENTS).context["cl"].result_list


def test_patient_page_view_is_logged(staff, make_attempt):
    make_attempt(patient_id="a/b")
    staff.get(patient_page("a/b"))
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_repr) == (staff.staff, "a/b")
    assert staff.get(entry.get_admin_url()).context["patient_id"] == "a/b"


def test_patient_page_by_head_is_not_logged(staff, make_attempt):
    make_attempt()
    assert staff.head(patient_page()).status_code == 200
    assert not LogEntry.objects.exists()


def test_patient_page_log_says_nothing_changed(staff, make_attempt):
    make_attempt()
    staff.get(patient_page())
    assert "changed nothing" in str(LogEntry.objects.get())


def test_patient_page_description_is_shortened_in_the_database(make_attempt):
    make_attempt(error_description="z" * 1_000_000)
    (attempt,) = list_patient_attempts("p-1")
    assert "error_description" in attempt.get_deferred_fields()
    assert len(attempt.words) == LONG + 1


def test_patient_list_filters_by_date_of_the_last_attempt(staff, make_attempt):
    now = timezone.now()
    make_attempt(patient_id="before", created_at=now - timedelta(days=9))
    make_attempt(patient_id="since", created_at=now - timedelta(days=9))
    make_attempt(patient_id="since", created_at=now)
    rows = staff.get(f"{PATIENTS}?until={now - timedelta(days=8):%Y-%m-%d}").context["cl"]
    assert [row.patient_id for row in rows.result_list] == ["before"]


def test_patient_page_without_log_setting_is_not_logged(staff, make_attempt, settings):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "LOG_PATIENT_VIEWS": False}
    make_attempt()
    staff.get(patient_page())
    assert not LogEntry.objects.exists()


def test_patient_page_names_who_started_each_attempt(staff, make_attempt):
    make_attempt()
    make_attempt(actor="<b>nurse-7</b>")
    rows = staff.get(patient_page()).context["rows"]
    assert "by <bdi>&lt;b&gt;nurse-7&lt;/b&gt;</bdi>" in rows[0].actor
    assert rows[1].actor == ""


@pytest.mark.parametrize(("actor", "is_named"), [("nurse-7", True), ("", False)])
def test_patient_page_names_who_disconnected_first(staff, make_attempt, actor, is_named):
    lost = make_attempt(status="succeeded", lost_at=timezone.now())
    for who in (actor, "too late"):
        record_connection(lost, is_ended_here=True, actor=who)
    page = staff.get(patient_page()).content.decode()
    assert "disconnected on this site" in page
    assert ("by <bdi>nurse-7</bdi>" in page) == is_named
    assert "too late" not in page


@pytest.mark.parametrize("session", ["ps_1", None])
def test_last_error_of_a_refused_start_speaks_of_no_sign_in(staff, make_attempt, session):
    make_attempt(status="failed", error="oauth_error", patient_session_id=session)
    for path in (PATIENTS, patient_page()):
        page = staff.get(path).content.decode()
        assert ("sign-in (OAuth) failed" in page) == (session is not None)
