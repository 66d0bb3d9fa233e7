"""The list of attempts: what a line says, and how it is narrowed down."""

from __future__ import annotations

import re
from datetime import timedelta
from itertools import product

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone, translation

from medblocks_connect.admin.attempt_summary import LaterAttempts, summarize
from medblocks_connect.admin.formatting import SHORT
from medblocks_connect.admin.read_only import CAP
from medblocks_connect.models import PatientConnectionAttempt
from tests.admin.conftest import ATTEMPTS


def _found(client, query: str) -> set[int]:
    response = client.get(f"{ATTEMPTS}?{query}")
    assert response.status_code == 200, query
    return {attempt.pk for attempt in response.context["cl"].result_list}


def test_list_line_shows_every_column(staff, make_attempt):
    make_attempt(
        patient_id="p-77",
        status="failed",
        error="user_denied",
        error_description="The user said no",
        request_id="req_123",
    )
    page = staff.get(ATTEMPTS).content.decode()
    for text in ("p-77", "Riverside General", "Epic (MyChart)", "Failed", "medblocks-quiet"):
        assert text in page
    for text in ("user_denied", "The patient cancelled", "The user said no", "req_123"):
        assert text in page


def test_list_line_names_who_acted_for_the_patient(staff, make_attempt):
    make_attempt(actor="<b>nurse-7</b>")
    page = staff.get(ATTEMPTS).content.decode()
    assert "by <bdi>&lt;b&gt;nurse-7&lt;/b&gt;</bdi>" in page


def test_list_line_of_the_patients_own_act_names_nobody(staff, make_attempt):
    make_attempt()
    assert "by <bdi>" not in staff.get(ATTEMPTS).content.decode()


def test_list_line_actor_is_short(staff, make_attempt):
    make_attempt(actor="x" * 200)
    page = staff.get(ATTEMPTS).content.decode()
    assert f"by <bdi>{'x' * (SHORT - 1)}\u2026</bdi>" in page


def test_list_line_names_who_acted_in_spanish(staff, make_attempt):
    make_attempt(actor="nurse-7")
    with translation.override("es"):
        assert "por <bdi>nurse-7</bdi>" in staff.get(ATTEMPTS).content.decode()


def test_list_without_attempts_is_200(staff, db):
    assert staff.get(ATTEMPTS).status_code == 200


def test_list_is_sorted_newest_first(staff, make_attempt):
    now = timezone.now()
    new = make_attempt(created_at=now)
    old = make_attempt(created_at=now - timedelta(days=3))
    result = staff.get(ATTEMPTS).context["cl"].result_list
    assert [attempt.pk for attempt in result] == [new.pk, old.pk]


def test_list_description_is_escaped_and_short(staff, make_attempt):
    make_attempt(status="failed", error="x", error_description="<script>alert(1)</script>" * 40_000)
    page = staff.get(ATTEMPTS).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert len(page) < 60_000


def test_list_description_right_to_left_is_isolated(staff, make_attempt):
    make_attempt(status="failed", error="x", error_description="\u202edecline")
    assert "<bdi>\u202edecline</bdi>" in staff.get(ATTEMPTS).content.decode()


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("status__exact=failed", {"status": "failed"}),
        ("error__exact=user_denied", {"error": "user_denied"}),
        ("connection_type__exact=cerner", {"connection_type": "cerner"}),
        ("place_id__exact=fhirsrc_other", {"connection_id": "fhirsrc_other"}),
        ("concern=unconfirmed", {"unconfirmed": True}),
        ("concern=disagrees", {"claim_disagrees": True}),
        ("concern=away", {"status": "expired"}),
        ("concern=lost", {"status": "succeeded", "lost_at": timezone.now()}),
    ],
)
def test_filter_keeps_matching_attempts_alone(staff, make_attempt, query, fields):
    wanted = make_attempt(**fields)
    make_attempt()
    assert _found(staff, query) == {wanted.pk}


def test_filter_never_came_back_leaves_out_returned(staff, make_attempt):
    make_attempt(status="expired", returned_at=timezone.now())
    assert _found(staff, "concern=away") == set()


def test_filter_never_came_back_keeps_ended_sessions(staff, make_attempt):
    now = timezone.now()
    over = make_attempt(status="started", expires_at=now - timedelta(hours=1))
    expired = make_attempt(status="expired")
    make_attempt(status="started", expires_at=now + timedelta(hours=1))
    make_attempt(status="started", expires_at=now - timedelta(hours=1), returned_at=now)
    assert _found(staff, "concern=away") == {over.pk, expired.pk}


def test_filter_never_came_back_keeps_who_approved_or_failed_and_stayed_away(staff, make_attempt):
    now = timezone.now()
    won = make_attempt(status="succeeded", settled_at=now)
    denied = make_attempt(status="failed", error="user_denied", settled_at=now)
    lapsed = make_attempt(status="failed", error="oauth_error", expires_at=now - timedelta(1))
    make_attempt(status="failed", error="oauth_error", expires_at=now + timedelta(1))
    make_attempt(status="succeeded", settled_at=now, returned_at=now)
    assert _found(staff, "concern=away") == {won.pk, denied.pk, lapsed.pk}


def test_filter_never_came_back_leaves_out_who_was_never_led_away(staff, make_attempt):
    now = timezone.now()
    for status in ("failed", "expired", "started"):
        make_attempt(status=status, patient_session_id=None, settled_at=now, expires_at=now)
    make_attempt(status="failed", error="unsafe_url", settled_at=now)
    assert _found(staff, "concern=away") == set()


def test_filter_and_summary_agree_on_who_never_came_back(staff, make_attempt):
    now = timezone.now()
    for status, error, session, returned, settled, expires in product(
        PatientConnectionAttempt.Status.values,
        ["", "oauth_error", "unsafe_url"],
        ["ps", None],
        [now, None],
        [now, None],
        [now - timedelta(hours=1), now + timedelta(hours=1), None],
    ):
        can_be = status not in {"created", "started"} if returned else status != "returned"
        if can_be and (status == "failed") == bool(error):
            number = PatientConnectionAttempt.objects.count()
            make_attempt(
                status=status,
                error=error,
                patient_session_id=session and f"ps_{number}",
                returned_at=returned,
                settled_at=settled,
                expires_at=expires,
            )
    told = {
        attempt.pk
        for attempt in PatientConnectionAttempt.objects.all()
        if "never came back" in summarize(attempt, LaterAttempts(), now).sentence
    }
    assert 0 < len(told) < PatientConnectionAttempt.objects.count()
    assert _found(staff, "concern=away&all=") == told


def test_filter_never_came_back_is_read_from_the_time_index(staff, make_attempt):
    make_attempt(status="expired")
    if connection.vendor != "sqlite":
        pytest.skip("SQLite's planner says how it reads, whatever the table's size")
    with CaptureQueriesContext(connection) as captured:
        staff.get(f"{ATTEMPTS}?concern=away")
    ordered = [
        query["sql"] for query in captured if "ORDER BY" in query["sql"] and "away" not in query
    ]
    ordered = [sql for sql in ordered if "patientconnectionattempt" in sql]
    assert len(ordered) == 2
    for sql in ordered:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            assert "medblocks_attempt_when" in " ".join(str(row[3]) for row in cursor.fetchall())


def test_filter_since_today_keeps_today(staff, make_attempt):
    today = make_attempt()
    make_attempt(created_at=timezone.now() - timedelta(days=2))
    assert _found(staff, f"since={timezone.now():%Y-%m-%d}") == {today.pk}


def test_filter_until_includes_that_day(staff, make_attempt):
    make_attempt()
    old = make_attempt(created_at=timezone.now() - timedelta(days=2))
    day = timezone.now() - timedelta(days=2)
    assert _found(staff, f"until={day:%Y-%m-%d}") == {old.pk}


@pytest.mark.parametrize(
    "day", ["nonsense", "2026-02-31", "0001-01-01", "9999-12-31", "%F0%9F%92%A5"]
)
def test_filter_by_senseless_day_keeps_all(staff, make_attempt, day):
    attempt = make_attempt()
    assert _found(staff, f"since={day}&until={day}") == {attempt.pk}


def test_filter_error_counts_the_current_range(staff, make_attempt):
    for _ in range(3):
        make_attempt(status="failed", error="user_denied")
    make_attempt(status="failed", error="oauth_error", created_at=timezone.now() - timedelta(9))
    assert "user_denied (3)" in staff.get(ATTEMPTS).content.decode()
    page = staff.get(f"{ATTEMPTS}?since={timezone.now():%Y-%m-%d}").content.decode()
    assert "user_denied (3)" in page
    assert "oauth_error" not in page


def test_filter_error_still_offers_the_others(staff, make_attempt):
    make_attempt(status="failed", error="user_denied")
    make_attempt(status="failed", error="oauth_error")
    page = staff.get(f"{ATTEMPTS}?error__exact=user_denied").content.decode()
    assert "oauth_error (1)" in page


def test_filter_offers_every_error_and_the_way_to_more_facilities(staff, make_attempt):
    for number in range(25):
        make_attempt(
            status="failed",
            error=f"code_{number}.",
            connection_id=f"f-{number}",
            connection_name=f"Hospital {number}.",
        )
    page = staff.get(f"{ATTEMPTS}?status__exact=failed").content.decode()
    # Before the list since Django 6.0, and after it until then.
    filters = re.split("</(?:nav|search)>", page[page.index('id="changelist-filter"') :])[0]
    assert filters.count("code_") >= 25
    assert filters.count("Hospital ") == 20
    assert "Others: search for a part of the name." in filters


def test_filter_by_empty_facility_keeps_chosen_at_medblocks(staff, make_attempt):
    wanted = make_attempt(connection_id="", connection_name="")
    make_attempt()
    assert _found(staff, "place_id__exact=") == {wanted.pk}


@pytest.mark.parametrize("query", ["status__exact=", "error__exact=", "connection_type__exact="])
def test_filter_by_empty_value_keeps_all(staff, make_attempt, query):
    attempt = make_attempt()
    assert _found(staff, query) == {attempt.pk}


def test_filter_by_nul_finds_nothing(staff, make_attempt):
    assert _found(staff, "error__exact=%00x") == set()


def test_filters_together_keep_what_all_match(staff, make_attempt):
    wanted = make_attempt(status="failed", error="oauth_error")
    make_attempt(status="failed", error="oauth_error", connection_id="elsewhere")
    query = "status__exact=failed&error__exact=oauth_error&place_id__exact=fhirsrc_riverside"
    assert _found(staff, query) == {wanted.pk}


def test_list_count_is_capped(staff, make_attempt):
    rows = [PatientConnectionAttempt(patient_id="p") for _ in range(CAP + 5)]
    PatientConnectionAttempt.objects.bulk_create(rows)
    response = staff.get(f"{ATTEMPTS}?p=20")
    assert response.context["cl"].result_count == CAP
    page = response.content.decode()
    assert "more than 1000 connection attempts" in page
    assert "These are the first 1000 in this order." in page
    assert "Narrow them down with a filter, or search." in page


def test_list_asks_few_queries(make_staff, make_attempt, django_assert_max_num_queries):
    clerk = make_staff("view_patientconnectionattempt")
    for number in range(60):
        make_attempt(patient_id=f"p-{number}", status="failed", error="x")
    with django_assert_max_num_queries(8):
        clerk.get(ATTEMPTS)
    with django_assert_max_num_queries(10):  # one for the facilities' names, one for the keys
        clerk.get(f"{ATTEMPTS}?q=river&status__exact=failed")
