"""Hosts that read from a replica, which lags: what decides something is read where it is written.

The replica here has nothing at all: whoever reads from it fails.
"""

from __future__ import annotations

import json

import pytest

from medblocks_connect.attempts.place_ids import adopt_place_ids
from medblocks_connect.attempts.webhook_deliveries import receive_delivery
from medblocks_connect.attempts.webhook_events import read_delivery
from medblocks_connect.models import PatientConnection
from medblocks_connect.patient_connections.disconnect import disconnect_patient
from medblocks_connect.patient_connections.listing import find_connection
from medblocks_connect.patients import Patient
from tests.attempts.conftest import FACILITY, use_replica  # noqa: F401 - a fixture
from tests.patient_connections.conftest import listed_json

pytestmark = pytest.mark.django_db

URL = "https://fhir.riverside.example/r4"


def the_place() -> PatientConnection:
    return PatientConnection.objects.where_written().get()


def tell(kind: str, **about: object) -> None:
    event = {"id": f"evt_{kind}", "type": kind, "data": {"object": about}}
    receive_delivery(read_delivery(json.dumps(event).encode()))()


def test_list_is_as_it_was_written(list_now, answer_list, make, use_replica):  # noqa: F811
    make()
    answer_list(listed_json("refresh_failed"), listed_json(id="conn_2", connection_id="other"))
    use_replica()
    assert [each.state for each in list_now().places] == ["connected", "lost"]


def test_connection_is_found_where_it_was_written(answer_list, make, user, use_replica):  # noqa: F811
    make()
    answer_list(listed_json())
    use_replica()
    place = find_connection(Patient(str(user.pk)), "conn_1")
    assert (place.state, place.patient_connection_id) == ("connected", "conn_1")


def test_disconnection_ends_what_was_written(answer_disconnect, make, user, use_replica):  # noqa: F811
    make()
    answer_disconnect()
    use_replica()
    disconnect_patient(Patient(str(user.pk)), "conn_1")
    assert the_place().state == "disconnected"


def test_webhooks_are_about_what_was_written(make, user, use_replica):  # noqa: F811
    make()
    use_replica()
    tell("connection.token_refresh_failed", id="conn_1", status="refresh_failed")
    about = {"patient_id": str(user.pk), "connection_id": FACILITY, "total": 3, "errors": 0}
    tell("records.sync.completed", **about)
    assert (the_place().state, the_place().records_at is None) == ("lost", False)


def test_sync_renames_what_was_written(add_catalog, make, use_replica):  # noqa: F811
    add_catalog(("Riverside", "epic"), fhir_base_url=URL)
    make(connection_id=URL, place_id=URL)
    use_replica()
    assert adopt_place_ids() == 1
    assert the_place().place_id == "fhirsrc_0"
