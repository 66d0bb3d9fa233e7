"""The list of a patient's connections: states, names, order, and when records came."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import requests
from django.utils import timezone

from medblocks_connect.attempts.webhook_deliveries import receive_delivery
from medblocks_connect.attempts.webhook_events import read_delivery
from medblocks_connect.models import PatientConnection
from medblocks_connect.patient_connections import listing
from medblocks_connect.patient_connections.listing import find_connection
from medblocks_connect.patients import Patient
from tests.attempts.conftest import BASE_URL, FACILITY
from tests.connected import record_connection
from tests.patient_connections.conftest import listed_json

pytestmark = pytest.mark.django_db


def states(connections):
    return [(place.name, place.state) for place in connections.places]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("active", "connected"),
        ("refresh_failed", "lost"),
        ("expired", "lost"),
        ("disconnected", "disconnected"),
        ("brand_new", "checking"),
    ],
)
def test_connection_state_follows_medblocks_status(list_now, answer_list, make, status, state):
    make()
    answer_list(listed_json(status))
    assert states(list_now()) == [("Riverside General", state)]


def test_connection_that_failed_is_not_shown(list_now, answer_list):
    answer_list(listed_json("failed"))
    assert list_now().places == ()


def test_connection_made_elsewhere_is_named_by_the_catalog(list_now, answer_list):
    answer_list(listed_json())
    assert states(list_now()) == [("Riverside General", "connected")]


def test_connection_at_an_unknown_facility_has_no_name(list_now, answer_list, medblocks):
    medblocks.get(f"{BASE_URL}/connections/fhirsrc_gone", status=404, json={})
    answer_list(listed_json(connection_id="fhirsrc_gone"))
    assert states(list_now()) == [("", "connected")]


def test_connection_names_are_not_asked_for_after_an_error(list_now, answer_list, medblocks):
    medblocks.get(f"{BASE_URL}/connections/f0", body=requests.ConnectTimeout())
    answer_list(*(listed_json(id=f"conn_{n}", connection_id=f"f{n}") for n in range(9)))
    assert len(list_now().places) == 9
    assert len(medblocks.calls) == 2


def test_facility_connected_again_is_shown_once(list_now, answer_list, make):
    make()
    answer_list(listed_json(id="conn_2"), listed_json("refresh_failed"))
    assert [each.patient_connection_id for each in list_now().places] == ["conn_2"]


def test_facility_with_two_links_is_one_place(list_now, answer_list):
    answer_list(listed_json(id="conn_2"), listed_json())
    assert states(list_now()) == [("Riverside General", "connected")]


def test_facility_with_one_of_two_links_lost_is_connected(list_now, answer_list):
    answer_list(listed_json("disconnected", id="conn_2"), listed_json())
    assert states(list_now()) == [("Riverside General", "connected")]


def test_facility_lost_twice_is_shown_once_as_it_is_now(list_now, answer_list):
    answer_list(
        listed_json("disconnected", id="conn_2"),
        listed_json("refresh_failed"),
    )
    assert [each.state for each in list_now().places] == ["disconnected"]


def test_working_connections_come_first(list_now, answer_list, medblocks):
    lost = listed_json("expired", id="conn_2", connection_id="fhirsrc_other")
    medblocks.get(f"{BASE_URL}/connections/fhirsrc_other", status=404, json={})
    answer_list(lost, listed_json())
    assert [each.state for each in list_now().places] == ["connected", "lost"]


def test_patient_unknown_to_medblocks_has_no_connections(list_now, answer_list):
    answer_list(status=404)
    connections = list_now()
    assert connections.places == ()
    assert connections.is_current


def test_connection_made_now_awaits_records(list_now, answer_list, make):
    make()
    answer_list(listed_json(created_at=timezone.now().isoformat()))
    assert list_now().places[0].awaits_records


def test_connection_made_8_days_ago_awaits_no_records(list_now, answer_list, make):
    made_at = timezone.now() - timedelta(days=8)
    make(created_at=made_at)
    answer_list(listed_json(created_at=made_at.isoformat()))
    assert not list_now().places[0].awaits_records


def tell_records(user, kind="completed", at="2026-11-22T13:00:00Z", **about):
    """Let Medblocks tell what came of fetching the records."""
    told = {"patient_id": str(user.pk), "connection_id": FACILITY, "total": 3, "errors": 0}
    event = {
        "id": f"evt_{at}",
        "type": f"records.sync.{kind}",
        "created_at": at,
        "data": {"object": {**told, **about}},
    }
    receive_delivery(read_delivery(json.dumps(event).encode()))()


def test_records_synced_event_dates_the_records(list_now, answer_list, make, user):
    make()
    tell_records(user)
    answer_list(listed_json())
    assert f"{list_now().places[0].records_at:%H:%M}" == "13:00"


@pytest.mark.parametrize(("kind", "about"), [("failed", {}), ("completed", {"errors": 2})])
def test_records_that_did_not_arrive_are_told(list_now, answer_list, make, user, kind, about):
    make()
    tell_records(user, kind, **about)
    answer_list(listed_json())
    assert f"{list_now().places[0].records_failed_at:%H:%M}" == "13:00"


@pytest.mark.parametrize("later_first", [False, True])
def test_records_that_came_after_all_are_told_alone(list_now, answer_list, make, user, later_first):
    make()
    told = [("failed", "2026-11-22T13:00:00Z"), ("completed", "2026-11-22T14:00:00Z")]
    for kind, at in reversed(told) if later_first else told:
        tell_records(user, kind, at)
    answer_list(listed_json())
    (place,) = list_now().places
    assert (f"{place.records_at:%H:%M}", place.records_failed_at) == ("14:00", None)


def test_attempt_returned_is_shown_as_checking(list_now, answer_list, make):
    make(status="returned")
    answer_list()
    assert states(list_now()) == [("Riverside General", "checking")]


def test_find_connection_with_an_unknown_id_is_none(answer_list, user):
    answer_list(listed_json())
    assert find_connection(Patient(str(user.pk)), "conn_other") is None
    assert find_connection(Patient(str(user.pk)), "") is None


@pytest.mark.parametrize("away", [{"status": 500}, {"body": requests.ConnectTimeout()}])
def test_medblocks_away_shows_our_attempts(list_now, answer_list, make, away):
    make()
    make(
        connection_id="fhirsrc_lost",
        connection_name="Lost Hill",
        patient_connection_id="conn_2",
        connection_status="refresh_failed",
        lost_at=timezone.now(),
    )
    answer_list(**away)
    connections = list_now()
    assert not connections.is_current
    assert states(connections) == [("Riverside General", "connected"), ("Lost Hill", "lost")]


def test_medblocks_away_shows_what_the_patient_disconnected(list_now, answer_list, make):
    attempt = make(connection_status="refresh_failed", lost_at=timezone.now())
    record_connection(attempt, is_ended_here=True)
    answer_list(status=500)
    assert states(list_now()) == [("Riverside General", "disconnected")]


def test_medblocks_away_shows_a_kept_connection_once(list_now, answer_list, make):
    make(connection_status="disconnected", lost_at=timezone.now())
    make()
    answer_list(status=500)
    assert states(list_now()) == [("Riverside General", "connected")]


def test_connection_that_became_anothers_while_its_name_was_asked_for_is_no_error(
    list_now, answer_list, monkeypatch
):
    """As where a sync joins two rows of the same place meanwhile."""
    get_facility = listing.get_facility

    def delete_meanwhile(*args, **kwargs):
        PatientConnection.objects.all().delete()
        return get_facility(*args, **kwargs)

    monkeypatch.setattr(listing, "get_facility", delete_meanwhile)
    answer_list(listed_json())
    assert states(list_now()) == [("Riverside General", "connected")]
