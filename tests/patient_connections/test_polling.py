"""Polling: the longest unasked first, few at a time, polite, and once among several machines."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from medblocks_connect import operations, signals
from medblocks_connect.attempts.operation_runs import Name, write_state
from medblocks_connect.models import OperationRun, PatientConnection
from medblocks_connect.patient_connections import polling
from tests.attempts.conftest import BASE_URL, FACILITY
from tests.connected import create_attempt
from tests.patient_connections.conftest import listed_json

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def connect(db):
    """Let a patient have been connected, and asked about so many days ago (None: never)."""

    def connect_one(number: int, days: float | None = 2, place: str = FACILITY):
        patient_id = f"p-{number}"
        attempt = create_attempt(
            patient_id=patient_id,
            connection_id=place,
            patient_session_id=f"ps_{number}_{place}",
            status="succeeded",
            patient_connection_id=f"conn_{number}_{place}",
            connection_status="active",
            created_at=timezone.now() - timedelta(days=30),
        )
        asked_at = None if days is None else timezone.now() - timedelta(days=days)
        own = PatientConnection.objects.filter(patient_id=patient_id, place_id=place)
        own.update(asked_at=asked_at, changed_at=timezone.now() - timedelta(days=30))
        return attempt

    return connect_one


@pytest.fixture
def answer(medblocks):
    """Let Medblocks list a patient's one connection, or answer with an error's status."""

    def say(number: int, status: str = "active", code: int = 200, place: str = FACILITY):
        link = listed_json(status, id=f"conn_{number}_{place}", connection_id=place)
        patient = {
            "id": f"p-{number}",
            "resource_type": "patient",
            "email": None,
            "name": None,
            "metadata": {},
            "created_at": "2026-11-22T12:00:00.000Z",
            "connections": [link],
        }
        error = {"error": {"type": "", "code": "", "message": ""}}
        url = f"{BASE_URL}/patients/p-{number}"
        return medblocks.upsert("GET", url, json=patient if code == 200 else error, status=code)

    return say


@pytest.fixture
def asked(medblocks):
    """The patients that Medblocks was asked about, in order."""
    return lambda: [call.request.url.rpartition("/")[2] for call in medblocks.calls]


def test_lost_access_is_learned_without_a_webhook(connect, answer):
    lost = []

    def receive(attempt, **kwargs):
        lost.append(attempt.pk)

    attempt = connect(1)
    answer(1, "refresh_failed")
    signals.connection_lost.connect(receive)
    done = operations.poll_connections()
    signals.connection_lost.disconnect(receive)
    assert (done.asked, done.lost, done.is_finished) == (1, 1, True)
    assert PatientConnection.objects.get().state == "lost"
    assert lost == [attempt.pk]


def test_access_that_stands_is_asked_about_once_a_day(connect, answer, asked):
    connect(1)
    answer(1)
    assert operations.poll_connections().lost == 0
    assert operations.poll_connections().asked == 0
    assert asked() == ["p-1"]


def test_longest_unasked_comes_first(connect, answer, asked):
    for number, days in ((1, 2), (2, 9), (3, None), (4, 5)):
        connect(number, days)
        answer(number)
    operations.poll_connections()
    assert asked() == ["p-3", "p-2", "p-4", "p-1"]


def test_poll_per_run_is_the_most_that_are_asked_about(connect, answer, asked, settings):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "POLL_PER_RUN": 2}
    for number in (1, 2, 3):
        connect(number, 10 - number)
        answer(number)
    operations.poll_connections()
    assert asked() == ["p-1", "p-2"]
    operations.poll_connections()
    assert asked() == ["p-1", "p-2", "p-3"]


def test_poll_per_run_of_0_asks_about_nobody(connect, asked, settings):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "POLL_PER_RUN": 0}
    connect(1)
    assert operations.poll_connections().asked == 0


@pytest.mark.parametrize(
    ("status", "days", "is_due"),
    [
        ("active", 6.9, False),
        ("active", 7.1, True),
        ("disabled", 1.1, True),
        ("forbidden", 1.1, True),
        ("", 0.9, False),
    ],
)
def test_interval_is_a_week_while_the_endpoint_is_active(
    connect, answer, settings, status, days, is_due
):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "WEBHOOK_SECRETS": ["whsec_1"]}
    write_state(Name.LOOK_AT_ENDPOINT, {"status": status})
    connect(1, days)
    answer(1)
    assert operations.poll_connections().asked == int(is_due)


def test_connection_that_was_just_made_is_not_asked_about(connect):
    connect(1, None)
    PatientConnection.objects.update(changed_at=timezone.now())
    assert operations.poll_connections().asked == 0


@pytest.mark.parametrize("state", ["lost", "disconnected"])
def test_connection_that_does_not_stand_is_not_asked_about(connect, state):
    connect(1)
    PatientConnection.objects.update(state=state)
    assert operations.poll_connections().asked == 0


def test_connection_of_another_workspace_is_not_asked_about(connect, settings):
    connect(1)
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "WORKSPACE": "north"}
    assert operations.poll_connections().asked == 0


def test_patient_of_several_places_is_asked_about_once(connect, answer, asked):
    connect(1)
    connect(1, 3, "fhirsrc_other")
    answer(1)
    done = operations.poll_connections()
    assert (done.asked, asked()) == (1, ["p-1"])


def test_429_ends_the_run_and_the_rest_stays_first(connect, answer, asked):
    for number in (1, 2, 3):
        connect(number, 10 - number)
        answer(number)
    answer(2, code=429)
    done = operations.poll_connections()
    assert (done.asked, done.unanswered, done.stopped) == (2, 1, "rate_limited")
    assert not PatientConnection.objects.exclude(leased_until=None).exists()
    answer(2)
    operations.poll_connections()
    assert asked() == ["p-1", "p-2", "p-2", "p-3"]


@pytest.mark.parametrize(("code", "stopped", "calls"), [(401, "refused", 1), (503, "away", 3)])
def test_medblocks_that_refuses_or_is_away_ends_the_run(
    connect, answer, asked, code, stopped, calls
):
    for number in range(1, 6):
        connect(number)
        answer(number, code=code)
    assert operations.poll_connections().stopped == stopped
    assert len(asked()) == calls


def test_patient_that_medblocks_answers_oddly_about_is_passed_over_for_a_day(
    connect, answer, asked, medblocks
):
    for number in (1, 2):
        connect(number, 10 - number)
        answer(number)
    medblocks.upsert("GET", f"{BASE_URL}/patients/p-1", body="<html>")
    first = operations.poll_connections()
    assert (first.asked, first.unanswered, first.stopped) == (2, 1, "")
    assert operations.poll_connections().asked == 0
    row = PatientConnection.objects.get(patient_id="p-1")
    assert row.leased_until > timezone.now() + timedelta(hours=23)


def test_answer_that_cannot_be_recorded_stops_nobody(connect, answer, monkeypatch, caplog):
    for number in (1, 2):
        connect(number, 10 - number)
        answer(number)

    def break_once(*_args):
        monkeypatch.undo()
        raise RuntimeError("p-1")

    monkeypatch.setattr(polling, "record_listed", break_once)
    done = operations.poll_connections()
    assert (done.asked, done.broken, done.is_finished) == (2, 1, False)
    assert "p-1" not in caplog.text


def test_second_machine_asks_about_nobody_twice(connect, medblocks, asked, answer):
    for number in (1, 2):
        connect(number)
    answer(2)

    def reply(_request):
        operations.poll_connections()
        return 404, {}, json.dumps({"error": {"type": "", "code": "", "message": ""}})

    medblocks.add_callback("GET", f"{BASE_URL}/patients/p-1", callback=reply)
    assert operations.poll_connections().asked == 1
    assert sorted(asked()) == ["p-1", "p-2"]


def test_time_that_is_over_asks_about_nobody(connect):
    connect(1)
    done = operations.poll_connections(max_seconds=0.0)
    assert (done.asked, done.stopped) == (0, "time")


def test_stop_in_the_middle_holds_nobody(connect, medblocks):
    class StopRequest(BaseException):
        pass

    connect(1)

    def reply(_request):
        raise StopRequest

    medblocks.add_callback("GET", f"{BASE_URL}/patients/p-1", callback=reply)
    with pytest.raises(StopRequest):
        operations.poll_connections()
    assert not PatientConnection.objects.exclude(leased_until=None).exists()


def test_poll_without_patients_costs_two_queries(db, django_assert_num_queries):
    operations.poll_connections()
    with django_assert_num_queries(2):
        operations.poll_connections()
    assert OperationRun.objects.get().ran_at is not None


def test_patient_whose_access_stands_costs_six_queries(connect, answer, django_assert_num_queries):
    connect(1)
    answer(1)
    operations.poll_connections()
    PatientConnection.objects.update(asked_at=timezone.now() - timedelta(days=2))
    with django_assert_num_queries(2 + 6):
        operations.poll_connections()


def test_poll_logs_no_patient(connect, answer, caplog):
    caplog.set_level("DEBUG")
    connect(1)
    answer(1, "refresh_failed")
    operations.poll_connections()
    ours = [record for record in caplog.records if record.name.startswith("medblocks")]
    assert not any("p-1" in record.getMessage() for record in ours)


def test_patients_whom_nobody_knows_are_left_alone(connect, answer, asked):
    """As with the key of another workspace: not all of them have lost their access."""
    for number in range(3):
        connect(number)
        answer(number, code=404)
    done = operations.poll_connections()
    assert (done.asked, done.unanswered, done.lost) == (3, 3, 0)
    assert PatientConnection.objects.that_stand().count() == 3


def test_patient_whom_medblocks_knows_no_more_has_lost_access(connect, answer):
    connect(1, days=4)
    answer(1)
    connect(2, days=3)
    answer(2, code=404)
    done = operations.poll_connections()
    assert (done.known, done.lost) == (1, 1)
    assert PatientConnection.objects.that_stand().get().patient_id == "p-1"
