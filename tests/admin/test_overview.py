"""The overview: right numbers, pictures without scripts, and a bounded piece of the table."""

from __future__ import annotations

import html
import re
from contextlib import ExitStack
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from medblocks_connect.admin.charts import draw_days, scale_bar
from medblocks_connect.admin.statistics import Day, count_facilities, measure_waits
from medblocks_connect.api import ServerError
from medblocks_connect.medblocks_client import get_client
from tests.admin.conftest import ATTEMPTS

OVERVIEW = f"{ATTEMPTS}overview/"

# How a database tells its plan, and what it says of a table that is entered by the index on the
# time, at both ends of the range.
PLANS = {
    "sqlite": (
        "EXPLAIN QUERY PLAN",
        r"medblocks_attempt_workspace \(workspace=\? AND created_at>\? AND created_at<\?\)",
    ),
    "postgresql": (
        "EXPLAIN",
        r"medblocks_attempt_(?:when|workspace).* Index Cond: .*created_at >= .*created_at <",
    ),
}


@pytest.fixture
def month(make_attempt):
    """Three facilities' days: one good, one bad, one with an attempt long ago."""
    now = timezone.now()
    for number in range(4):
        made = now - timedelta(days=number)
        make_attempt(
            status="succeeded",
            created_at=made,
            returned_at=made + timedelta(minutes=3),
            patient_session_id=f"ps_{number}",
        )
    for number in range(3):
        make_attempt(
            status="failed",
            error="oauth_error",
            connection_id="bad",
            connection_name="Bad Portal <b>",
            created_at=now - timedelta(days=number),
            returned_at=now - timedelta(days=number) + timedelta(seconds=30),
        )
    make_attempt(
        status="expired",
        connection_id="bad",
        connection_name="Bad Portal <b>",
        patient_session_id=None,
    )
    make_attempt(status="failed", error="x", created_at=now - timedelta(days=40))


def test_overview_counts_outcomes_steps_and_facilities(staff, month):
    context = staff.get(OVERVIEW).context
    assert context["total"] == 8
    assert [step.number for step in context["steps"]] == [8, 7, 7, 4]
    (facility,) = context["facilities"]
    assert (facility.name, facility.failed, facility.total) == ("Bad Portal <b>", 3, 4)
    assert facility.rate == "75 %"
    assert "oauth_error" in facility.code
    today, counts = context["days"][0]
    assert (today.total, counts) == (3, [1, 1, 1, 0])


def test_overview_steps_are_a_funnel(staff, make_attempt):
    make_attempt()
    make_attempt(status="failed", error="throttled", patient_session_id=None)
    make_attempt(status="started", patient_session_id="a")
    make_attempt(status="failed", patient_session_id="b")
    make_attempt(status="succeeded", patient_session_id="c")
    make_attempt(status="succeeded", patient_session_id="d", returned_at=timezone.now())
    steps = staff.get(OVERVIEW).context["steps"]
    assert [step.number for step in steps] == [6, 4, 3, 2]


def test_overview_facility_chosen_at_medblocks_leads_to_its_failures(staff, make_attempt):
    make_attempt(status="failed", error="a", connection_id="", connection_name="")
    make_attempt(status="failed", error="b")
    (chosen,) = (
        facility
        for facility in staff.get(OVERVIEW).context["facilities"]
        if facility.name == "chosen at Medblocks"
    )
    response = staff.get(chosen.url)
    assert [attempt.error for attempt in response.context["cl"].result_list] == ["a"]
    assert "chosen at Medblocks (1)" in response.content.decode()


def test_overview_days_parameter_sets_the_range(staff, month):
    assert staff.get(f"{OVERVIEW}?days=90").context["total"] == 9
    assert len(staff.get(f"{OVERVIEW}?days=7").context["days"]) == 7
    assert len(staff.get(f"{OVERVIEW}?days=1000000").context["days"]) == 30


def test_overview_facility_leads_to_its_failures(staff, month):
    (facility,) = staff.get(OVERVIEW).context["facilities"]
    attempts = staff.get(facility.url).context["cl"].result_list
    assert [attempt.error for attempt in attempts] == ["oauth_error"] * 3


def test_overview_waits_are_grouped_with_median(month):
    today = timezone.localdate()
    waits = measure_waits(today - timedelta(days=30), today)
    assert waits.groups == [3, 0, 4, 0, 0, 0]
    assert waits.middle == timedelta(minutes=3)


def test_overview_days_follow_the_time_zone(staff, make_attempt, settings):
    settings.TIME_ZONE = "Pacific/Kiritimati"  # 14 hours ahead of UTC
    with timezone.override("Pacific/Kiritimati"):
        late = timezone.localtime().replace(hour=0, minute=5)
        make_attempt(created_at=late)
        days = staff.get(OVERVIEW).context["days"]
        assert days[0][0].day == timezone.localdate()
        assert days[0][0].total == 1


def test_overview_without_attempts_says_so(staff, db):
    assert "No attempts in this time" in staff.get(OVERVIEW).content.decode()


def test_overview_has_no_script_and_no_style_attribute(staff, month):
    page = staff.get(OVERVIEW).content.decode()
    ours = page[page.index('id="content-main"') :]
    ours = ours[: ours.index("<footer")]
    assert "<script" not in ours
    assert "style=" not in ours
    assert "<b>" not in ours


def test_overview_charts_have_labels_and_a_table(staff, month):
    page = staff.get(OVERVIEW).content.decode()
    (picture,) = re.findall(r'<svg class="medblocks-days"[^>]*>', page)
    assert 'role="img"' in picture
    assert 'aria-labelledby="medblocks-days' in picture
    assert "<th scope=" in page


def test_overview_asks_few_queries(staff, month, django_assert_max_num_queries):
    with django_assert_max_num_queries(10):
        staff.get(f"{OVERVIEW}?days=90")


def test_overview_reads_its_range_from_the_time_index(staff, month):
    if connection.vendor not in PLANS:
        pytest.skip("only SQLite's and PostgreSQL's plans are read here")
    explain, entered = PLANS[connection.vendor]
    with CaptureQueriesContext(connection) as captured:
        staff.get(OVERVIEW)
    queries = [query["sql"] for query in captured if "created_at" in query["sql"]]
    assert len(queries) == 3
    for sql in queries:
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                # So small a table is read whole, unless that is made dear.
                cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute(f"{explain} {sql}")
            plan = " ".join(str(row[-1]) for row in cursor.fetchall())
        assert re.search(entered, plan), plan


def test_facility_code_is_the_commonest(make_attempt):
    for error in ("a", "b", "b"):
        make_attempt(status="failed", error=error)
    today = timezone.localdate()
    (facility,) = count_facilities(today, today, 10)
    assert facility.code == "b"


def test_bars_stack_to_the_height_of_the_day():
    day = Day(timezone.localdate())
    day.counts.update(connected=1, failed=3)
    bars = draw_days([day], ["a day"])
    assert [(bar.outcome, bar.y, bar.height) for bar in bars] == [
        ("connected", "150", "50"),
        ("failed", "0", "150"),
    ]


def test_bar_of_nothing_has_no_length():
    assert scale_bar(0, 0) == "0"


@pytest.mark.parametrize(
    ("failures", "seats_taken", "told"),
    [
        (0, 0, None),
        (5, 0, "Medblocks is not answering, or limits our requests"),
        (0, 4, "4 patients' requests wait for Medblocks, as many as may"),
    ],
)
def test_overview_says_where_patients_are_told_to_try_again(staff, failures, seats_taken, told):
    gate = get_client().gate
    for _ in range(failures):
        with gate.admit() as visit:
            visit.note_failure(ServerError(status_code=503), 10.0)
    with ExitStack() as seated:
        for _ in range(seats_taken):
            seated.enter_context(gate.admit())
        page = html.unescape(staff.get(OVERVIEW).content.decode())
    assert ("told to try again" in page) is (told is not None)
    assert told is None or told in page
    assert ("It is asked again in 5 seconds." in page) is bool(failures)
