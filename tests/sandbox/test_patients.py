"""Patients over the API: listed, deleted, and their make-believe records."""

from datetime import timedelta

import pytest
from django.utils import timezone

from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.models import SandboxConnection, SandboxEvent, SandboxSession
from tests.sandbox.conftest import LANTERN

pytestmark = pytest.mark.django_db

RECORDS = "/patients/pat-1/records"


def ids(response):
    assert response.status_code == 200, response.json()
    return [patient["id"] for patient in response.json()["data"]]


@pytest.fixture
def connection(session):
    """A connection that brought ten records."""
    connection = flows.approve(session)
    flows.sync_records(connection, total=10)
    return connection


def numbers(body):
    return [int(row["resource"]["id"].rpartition("-")[2]) for row in body["data"]]


def test_patients_are_listed_newest_first_without_connections(caller, session):
    caller.start(patient_id="pat-2", patient_email="two@clinic.example")
    response = caller.get("/patients")
    assert ids(response) == ["pat-2", "pat-1"]
    assert "connections" not in response.json()["data"][0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"patient_id": "pat-1"}, ["pat-1"]),
        ({"email": "two@clinic.example"}, ["pat-2"]),
        ({"patient_id": "pat-1", "email": "two@clinic.example"}, []),
        ({"patient_id": "\x00"}, []),
    ],
)
def test_patients_are_found_by_id_and_email(caller, session, query, expected):
    caller.start(patient_id="pat-2", patient_email="two@clinic.example")
    assert ids(caller.get("/patients", **query)) == expected


def test_patients_are_listed_page_by_page(caller, session):
    caller.start(patient_id="pat-2")
    page = caller.get("/patients", limit=1).json()
    assert ids(caller.get("/patients", starting_after=page["next_cursor"])) == ["pat-1"]


def test_deleted_patient_is_gone_with_all_but_the_events(caller, connection):
    response = caller.delete("/patients/pat-1")
    assert response.json() == {"id": "pat-1", "resource_type": "patient", "deleted": True}
    assert caller.get("/patients/pat-1").status_code == 404
    assert caller.get(RECORDS).status_code == 404
    assert not SandboxSession.objects.exists()
    assert not SandboxConnection.objects.exists()
    assert SandboxEvent.objects.count() == 2


def test_patient_deleted_twice_is_not_found(caller, session):
    caller.delete("/patients/pat-1")
    assert caller.delete("/patients/pat-1").status_code == 404


def test_records_before_they_arrive_are_none(caller, session):
    flows.approve(session)
    body = caller.get(RECORDS).json()
    assert (body["data"], body["has_more"], body["patient_id"]) == ([], False, "pat-1")


def test_records_that_arrived_are_make_believe_resources(caller, connection):
    body = caller.get(RECORDS).json()
    assert numbers(body) == list(range(10))
    assert body["data"][0]["source"] == connection.connection_id
    assert body["data"][0]["resource"]["resourceType"] == "Condition"
    assert body["data"][0]["resource"]["meta"]["tag"] == [{"code": "make-believe"}]


def test_records_probe_of_one_says_that_there_are_more(caller, connection):
    body = caller.get(RECORDS, count=1).json()
    assert (numbers(body), body["has_more"]) == ([0], True)
    assert len(body["next_cursor"]) == 12


def test_records_go_forward_and_back_page_by_page(caller, connection):
    first = caller.get(RECORDS, count=4).json()
    second = caller.get(RECORDS, count=4, starting_after=first["next_cursor"]).json()
    third = caller.get(RECORDS, count=4, starting_after=second["next_cursor"]).json()
    assert [numbers(page) for page in (first, second, third)] == [
        [0, 1, 2, 3], [4, 5, 6, 7], [8, 9],
    ]  # fmt: skip
    assert (first["previous_cursor"], third["next_cursor"], third["has_more"]) == (
        None, None, False,
    )  # fmt: skip
    back = caller.get(RECORDS, count=4, ending_before=third["previous_cursor"]).json()
    assert numbers(back) == [4, 5, 6, 7]


def test_records_of_two_connections_are_one_list(caller, connection):
    second = flows.approve(caller.start(connection_id=LANTERN))
    flows.sync_records(second, total=2)
    page = caller.get(RECORDS, count=11).json()
    assert [row["source"] for row in page["data"]][-2:] == [connection.connection_id, LANTERN]
    rest = caller.get(RECORDS, starting_after=page["next_cursor"]).json()
    assert [row["source"] for row in rest["data"]] == [LANTERN]


def test_records_of_a_type_are_those_alone(caller, connection):
    assert numbers(caller.get(RECORDS, type="Condition").json()) == [0, 7]
    assert caller.get(RECORDS, type="Unheard").json()["data"] == []


@pytest.mark.parametrize(("days", "expected"), [(-1, 10), (1, 0)])
def test_records_since_a_day_or_a_moment_are_those_alone(caller, connection, days, expected):
    moment = timezone.now() + timedelta(days=days)
    for since in (moment.isoformat(), moment.date().isoformat()):
        assert len(caller.get(RECORDS, since=since).json()["data"]) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", "0"),
        ("count", "101"),
        ("since", "yesterday"),
        ("since", "2026-02-30"),
        ("starting_after", "short"),
        ("ending_before", "!"),
        ("limit", "1"),
    ],
)
def test_records_with_invalid_parameter_are_refused(caller, connection, name, value):
    response = caller.get(RECORDS, **{name: value})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == name


def test_records_with_both_cursors_are_refused(caller, connection):
    cursor = caller.get(RECORDS, count=1).json()["next_cursor"]
    response = caller.get(RECORDS, starting_after=cursor, ending_before=cursor)
    assert response.json()["error"]["code"] == "bad_request"
