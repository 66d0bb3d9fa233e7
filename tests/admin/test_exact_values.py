"""Case 74: exact searches find exactly what they should, whatever the planner believes."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from medblocks_connect.admin import exact_values
from medblocks_connect.admin.exact_values import match_columns
from medblocks_connect.models import PatientConnectionAttempt, WebhookDelivery
from tests.admin.conftest import ATTEMPTS, DELIVERIES

ROWS = 1500
ATTEMPT_TABLE = PatientConnectionAttempt._meta.db_table
DELIVERY_TABLE = WebhookDelivery._meta.db_table


def _match(**columns) -> set[str]:
    condition = match_columns(PatientConnectionAttempt, "default", columns)
    rows = PatientConnectionAttempt.objects.filter(condition)
    return set(rows.values_list("patient_session_id", flat=True))


@pytest.mark.parametrize("most", [0, 1, 200])
def test_match_columns_joins_what_each_finds(make_attempt, monkeypatch, most):
    monkeypatch.setattr(exact_values, "_MOST_KEYS", most)
    make_attempt(patient_id="a", patient_session_id="1")
    make_attempt(patient_id="a", request_id="a", patient_session_id="2")
    make_attempt(patient_id="b", request_id="a", patient_session_id="a")
    make_attempt(patient_id="c", request_id="c", patient_session_id="4")
    assert _match(patient_id=["a"]) == {"1", "2"}
    assert _match(patient_id=["a", "c"]) == {"1", "2", "4"}
    assert _match(patient_id=["a"], request_id=["a"], patient_session_id=["a"]) == {"1", "2", "a"}
    assert _match(patient_id=["a"], request_id=["c"]) == {"1", "2", "4"}
    assert _match(patient_id=["x"], request_id=["c"]) == {"4"}


def test_match_columns_without_a_row_asks_once(make_attempt, django_assert_num_queries):
    make_attempt()
    with django_assert_num_queries(1):
        assert _match(patient_id=["x"], request_id=["y"]) == set()
    with django_assert_num_queries(0):
        assert _match(patient_id=[]) == set()


@pytest.fixture
def analyzed(make_attempt):
    """A table of 50 facilities and no request ids, of which the planner knows that."""
    PatientConnectionAttempt.objects.bulk_create(
        PatientConnectionAttempt(
            patient_id=f"p-{number // 2}",
            patient_session_id=f"ps_{number}",
            connection_id=f"f-{number % 50}",
            place_id=f"f-{number % 50}",
            connection_name=f"Hospital number{number % 50:02}",
        )
        for number in range(ROWS)
    )
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery(event_id=f"evt_{number}") for number in range(ROWS)
    )
    make_attempt(patient_id="needle", request_id="req_1", patient_session_id="ps_x")
    WebhookDelivery.objects.create(event_id="evt_x", patient_session_id="ps_x")
    if connection.vendor == "mysql":
        return  # there it ends the test's transaction; InnoDB counts by itself
    with connection.cursor() as cursor:
        for table in (ATTEMPT_TABLE, DELIVERY_TABLE):
            cursor.execute(f"ANALYZE {table}")


@pytest.mark.parametrize(
    ("term", "shown"),
    [
        ("needle", 1),
        ("req_1", 1),
        ("ps_x", 1),
        ("p-700", 2),
        ("f-7", ROWS // 50),
        ("number07", ROWS // 50),
        ("hospital", 1000),
        ("nobody", 0),
    ],
)
def test_search_case_74_of_an_analyzed_table_is_exact(analyzed, staff, term, shown):
    assert staff.get(ATTEMPTS, {"q": term}).context["cl"].result_count == shown
    with CaptureQueriesContext(connection) as captured:
        staff.get(ATTEMPTS, {"q": term, "status__exact": "created"})
    if term != "hospital":  # which most rows are at: the newest are read by their time
        assert not scans(captured, ATTEMPT_TABLE)


@pytest.mark.parametrize(("term", "shown"), [("evt_x", 1), ("ps_x", 1), ("evt_7", 1), ("no", 0)])
def test_search_case_74_of_analyzed_deliveries_is_exact(analyzed, make_staff, term, shown):
    client = make_staff("view_webhookdelivery")
    with CaptureQueriesContext(connection) as captured:
        assert client.get(DELIVERIES, {"q": term}).context["cl"].result_count == shown
    assert not scans(captured, DELIVERY_TABLE)


def scans(captured, table) -> list[str]:
    """Return the queries of a search that SQLite answers by reading all rows of ``table``."""
    if connection.vendor != "sqlite":  # elsewhere the plan depends on the table's size
        return []
    found = []
    for sql in {query["sql"] for query in captured if f'"{table}"' in query["sql"]}:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}")
            plan = [str(row[3]) for row in cursor.fetchall()]
        found += [f"{sql}: {plan}" for step in plan if step.startswith(f"SCAN {table}")]
    return found
