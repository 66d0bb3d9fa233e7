"""Killed between any two steps while a connection is won, lost, ended or renamed.

After ``medblocks_reconcile``, the patient's next page and the next sync, attempts and places are as
Medblocks knows them, and doing it again changes nothing.
"""

from __future__ import annotations

import pytest
from django.core.cache import cache

from medblocks_connect.attempts.place_ids import rename_place
from medblocks_connect.attempts.reconcile import reconcile_attempts
from medblocks_connect.models import (
    AttemptEvent,
    ConnectionLink,
    PatientConnection,
    PatientConnectionAttempt,
)
from medblocks_connect.sandbox.models import SandboxConnection
from tests.faults.clinic import RIVERSIDE
from tests.faults.driver import URL
from tests.faults.test_crashes import crashed, history  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db(transaction=True)

CHANGES_EACH_TIME = ("asked_at", "changed_at")


@pytest.fixture
def recover(patient_client):
    """Do what is done sooner or later after a crash."""

    def do():
        cache.clear()
        reconcile_attempts(limit=1000)
        assert patient_client.get("/records/connections/").status_code == 200
        rename_place(URL, RIVERSIDE, "default")

    return do


def places() -> list[dict[str, object]]:
    rows = PatientConnection.objects.order_by("pk").values()
    return [
        {name: value for name, value in row.items() if name not in CHANGES_EACH_TIME}
        for row in rows
    ]


@pytest.mark.parametrize(
    ("deed", "state"),
    [
        ("return", "connected"),
        ("webhook", "connected"),
        ("lose", "lost"),
        ("page", "lost"),
        ("disconnect", "disconnected"),
        ("rename", "connected"),
    ],
)
def test_crash_leaves_places_that_come_to_agree_with_medblocks(crashed, recover, deed, state):  # noqa: F811
    killed = crashed(deed)
    assert killed >= 8
    recover()
    told = dict(SandboxConnection.objects.values_list("conn_id", "status"))
    assert len(told) == killed + 1
    columns = ("patient_connection_id", "connection_status")
    assert dict(PatientConnectionAttempt.objects.values_list(*columns)) == told
    assert dict(ConnectionLink.objects.values_list("patient_connection_id", "status")) == told
    row = PatientConnection.objects.get()
    assert (row.place_id, row.state, row.links.count()) == (RIVERSIDE, state, killed + 1)
    lost = PatientConnectionAttempt.objects.exclude(connection_status="active")
    assert not lost.filter(lost_at=None).exists()
    assert {event.kind for event in AttemptEvent.objects.all()} >= {"connected"}
    before = history(), places()
    recover()
    assert (history(), places()) == before
