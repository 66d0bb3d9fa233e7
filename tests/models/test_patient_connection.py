"""A patient's connections are found by the patient, however many the workspace has."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from medblocks_connect.admin.patient_pages import annotate_patients
from medblocks_connect.models import PatientConnection
from tests.connected import create_attempt


@pytest.fixture
def attempt(db):
    return create_attempt(
        patient_id="p-1", connection_id="f", status="succeeded", patient_session_id="ps_1"
    )


def test_connections_of_patient_are_theirs_in_the_workspace_alone(attempt, settings):
    own = PatientConnection.objects.get()
    PatientConnection.objects.create(patient_id="p-2", place_id="f", connection_id="f")
    PatientConnection.objects.create(
        patient_id="p-1", place_id="f", connection_id="f", workspace="another"
    )
    assert PatientConnection.objects.of_patient("p-1").get() == own
    (listed,) = annotate_patients([attempt.pk])
    assert listed.connected == 1


@pytest.mark.parametrize("order", [(), ("-since", "-id"), ("-lost_at",), ("id",)])
def test_connections_of_patient_are_read_by_the_patients_index(attempt, order):
    with CaptureQueriesContext(connection) as captured:
        list(PatientConnection.objects.of_patient("p-1").order_by(*order))
        list(PatientConnection.objects.of_patient("p-1").that_stand().order_by(*order))
        list(annotate_patients([attempt.pk]))
    if connection.vendor != "sqlite":
        pytest.skip("SQLite's planner, which knows no numbers of rows, says how it reads")
    assert len(captured) == 3
    for query in captured:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            plan = " ".join(str(row[3]) for row in cursor.fetchall())
        assert "(patient_id=?" in plan
        assert "(workspace=?" not in plan
