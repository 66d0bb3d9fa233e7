"""The CSV file: what is in it, that no cell is a formula, who may take it, and its memory."""

from __future__ import annotations

import csv
import io
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.contrib.admin.models import LogEntry
from django.db import connections
from django.test import AsyncClient
from django.utils import timezone

from medblocks_connect.admin.attempt_search import MAX_FACILITIES
from medblocks_connect.admin.export import escape_formula, write_csv
from medblocks_connect.models import PatientConnectionAttempt
from tests.admin.conftest import ATTEMPTS

EXPORT = f"{ATTEMPTS}export/"


@pytest.fixture
def exporter(make_staff):
    return make_staff("view_patientconnectionattempt", "export_patientconnectionattempt")


def _rows(response) -> list[dict[str, str]]:
    assert response.status_code == 200
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_export_row_has_every_column(exporter, make_attempt):
    now = timezone.now()
    make_attempt(
        status="failed",
        error="user_denied",
        error_description='said "no",\nthen left',
        request_id="req_1",
        created_at=now,
        returned_at=now + timedelta(seconds=90),
    )
    (row,) = _rows(exporter.post(EXPORT))
    assert row["patient"] == "p-1"
    assert row["facility"] == "Riverside General"
    assert row["status"] == "Failed"
    assert row["error description"] == 'said "no",\nthen left'
    assert row["seconds taken"] == "90"
    assert "cancelled" in row["meaning"]


def test_export_row_names_who_acted_for_the_patient(exporter, make_attempt):
    make_attempt(patient_id="p-1", actor="nurse-7")
    make_attempt(patient_id="p-2")
    rows = _rows(exporter.post(EXPORT))
    assert {row["patient"]: row["acting for the patient"] for row in rows} == {
        "p-1": "nurse-7",
        "p-2": "",
    }


def test_export_seconds_of_no_session_are_empty(exporter, make_attempt):
    now = timezone.now()
    make_attempt(
        status="failed",
        patient_session_id=None,
        created_at=now,
        finished_at=now + timedelta(seconds=7),
    )
    (row,) = _rows(exporter.post(EXPORT))
    assert row["seconds taken"] == ""


@pytest.mark.django_db(transaction=True)
def test_export_is_streamed_under_asgi(exporter, make_attempt):
    make_attempt()
    browser = AsyncClient()
    browser.cookies = exporter.cookies

    async def export() -> tuple[bool, list[str]]:
        response = await browser.post(EXPORT)
        return response.is_async, [part.decode() async for part in response]

    def export_and_close() -> tuple[bool, list[str]]:
        try:
            return async_to_sync(export)()
        finally:
            connections.close_all()  # that thread's own

    # A thread of its own: Playwright may keep an event loop in this one.
    with ThreadPoolExecutor(1) as executor:
        is_async, parts = executor.submit(export_and_close).result()
    assert is_async
    assert len(parts) == 2
    assert "p-1" in parts[1]


def test_export_has_the_filters_of_the_list(exporter, make_attempt):
    make_attempt(patient_id="wanted", status="failed")
    make_attempt(patient_id="not wanted")
    rows = _rows(exporter.post(f"{EXPORT}?status__exact=failed&q=wanted"))
    assert [row["patient"] for row in rows] == ["wanted"]


def test_export_button_keeps_the_filters(exporter, make_attempt):
    make_attempt()
    page = exporter.get(f"{ATTEMPTS}?status__exact=failed&q=x").content.decode()
    assert f'action="{EXPORT}?q=x&amp;status__exact=failed"' in page


def test_export_every_row_once_however_many_share_a_moment(db, make_attempt):
    moment = timezone.now()
    rows = [
        PatientConnectionAttempt(patient_id=str(number), created_at=moment)
        for number in range(1203)
    ]
    PatientConnectionAttempt.objects.bulk_create(rows)
    text = "".join(write_csv(PatientConnectionAttempt.objects.all())).removeprefix("\ufeff")
    patient_ids = [row["patient"] for row in csv.DictReader(io.StringIO(text))]
    assert sorted(patient_ids) == sorted(row.patient_id for row in rows)


@pytest.mark.parametrize(
    "cell",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=1", "\uff1d1", "\uff0b1"],
)
def test_formula_cell_is_escaped(cell):
    assert escape_formula(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "plain", "a=b", "1-2", "'=1"])
def test_plain_cell_stays(cell):
    assert escape_formula(cell) == cell


def test_export_escapes_formula_in_every_column(exporter, make_attempt):
    formula = "=cmd|' /C calc'!A0"
    make_attempt(
        patient_id=formula,
        actor=formula,
        connection_id=formula,
        connection_name=formula,
        connection_type="=x",
        error=formula,
        error_description=formula,
        request_id=formula,
        patient_session_id=formula,
    )
    (row,) = _rows(exporter.post(EXPORT))
    assert not [cell for cell in row.values() if cell.startswith("=")]


def test_export_is_logged_with_its_filters(exporter, make_attempt):
    make_attempt()
    exporter.post(f"{EXPORT}?status__exact=failed")
    entry = LogEntry.objects.get()
    assert entry.user == exporter.staff
    assert entry.change_message == "Exported: status__exact=failed"


def test_export_without_permission_is_403(staff, make_attempt):
    make_attempt()
    assert staff.post(EXPORT).status_code == 403
    assert "Export this list" not in staff.get(ATTEMPTS).content.decode()
    assert not LogEntry.objects.exists()


def test_export_without_view_permission_is_403(make_staff, db):
    assert make_staff("export_patientconnectionattempt").post(EXPORT).status_code == 403


@pytest.mark.parametrize("query", ["q=hospital", "q=p-2%00"])
def test_export_refuses_what_the_list_does_not_show(exporter, make_attempt, query):
    for number in range(MAX_FACILITIES + 1):
        make_attempt(connection_id=f"f-{number:03}", connection_name=f"Hospital {number}")
    response = exporter.post(f"{EXPORT}?{query}", follow=True)
    assert response.redirect_chain == [(f"{ATTEMPTS}?{query}", 302)]
    assert "Nothing was exported" in response.content.decode()
    assert not LogEntry.objects.exists()


def test_export_by_get_is_405(exporter, db):
    assert exporter.get(EXPORT).status_code == 405


def test_export_by_get_without_permission_is_403(staff, db):
    assert staff.get(EXPORT).status_code == 403


def test_export_with_a_senseless_filter_leads_back(exporter, db):
    response = exporter.post(f"{EXPORT}?created_at__gte=nonsense")
    assert response["Location"] == ATTEMPTS


def test_export_is_not_stored_by_caches(exporter, db):
    assert "no-store" in exporter.post(EXPORT)["Cache-Control"]


def test_export_memory_is_flat(db):
    rows = [
        PatientConnectionAttempt(patient_id="p", error_description="x" * 200) for _ in range(4000)
    ]
    PatientConnectionAttempt.objects.bulk_create(rows, batch_size=1000)
    tracemalloc.start()
    size = sum(len(part) for part in write_csv(PatientConnectionAttempt.objects.all()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 1_000_000
    assert peak < 4_000_000


@pytest.mark.parametrize("session", ["ps_1", None])
def test_export_meaning_of_a_refused_start_speaks_of_no_sign_in(exporter, make_attempt, session):
    make_attempt(status="failed", error="oauth_error", patient_session_id=session)
    (row,) = _rows(exporter.post(EXPORT))
    assert ("sign-in" in row["meaning"]) == (session is not None)
