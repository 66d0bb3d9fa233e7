"""Reconciliation: who is asked about, who is left alone, and how one attempt stops no other."""

from __future__ import annotations

from datetime import timedelta

import pytest
import requests
import responses
from django.db import OperationalError
from django.utils import timezone

from medblocks_connect.attempts import reconcile
from medblocks_connect.attempts.reconcile import reconcile_attempts
from medblocks_connect.models import PatientConnectionAttempt
from tests.attempts.conftest import (
    ACTIVE,
    BASE_URL,
    FACILITY,
    answer,
    answer_list,
    connection_json,
    long_ago,
    session_json,
)


def count_calls(medblocks) -> int:
    return len(medblocks.calls)


def test_reconcile_open_attempt_settles_it(medblocks, make_old):
    attempt = make_old()
    answer(medblocks, **ACTIVE)
    done = reconcile_attempts(limit=10)
    attempt.refresh_from_db()
    assert (attempt.status, attempt.patient_connection_id) == ("succeeded", "conn_1")
    assert (dict(done.statuses), done.asked, done.stopped) == ({"succeeded": 1}, 1, "")


def test_reconcile_second_run_asks_nothing(medblocks, make_old):
    for number, changes in enumerate(
        [ACTIVE, {"status": "complete"}, {"status": "expired"}], start=1
    ):
        make_old(number)
        answer(medblocks, number, **changes)
    reconcile_attempts(limit=10)
    before = list(PatientConnectionAttempt.objects.values())
    medblocks.reset()
    assert reconcile_attempts(limit=10).asked == 0
    assert (count_calls(medblocks), list(PatientConnectionAttempt.objects.values())) == (0, before)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"created_at": timezone.now() + timedelta(days=1)}, id="still-in-hand"),
        pytest.param(
            {"leased_until": timezone.now() + timedelta(days=1)}, id="leased-to-another-machine"
        ),
        pytest.param({"settled_at": timezone.now(), "status": "failed"}, id="settled"),
        pytest.param({"status": "failed", "patient_session_id": None}, id="without-a-session"),
        pytest.param(
            {
                "created_at": timezone.now() - timedelta(days=2),
                "asked_at": timezone.now() - timedelta(minutes=30),
            },
            id="old-and-asked-within-the-hour",
        ),
    ],
)
def test_reconcile_leaves_attempts_that_are_not_due(medblocks, make_old, changes):
    make_old(**changes)
    assert reconcile_attempts(limit=10).asked == 0


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"status": "returned", "unconfirmed": True}, id="returned"),
        pytest.param(
            {"status": "failed", "unconfirmed": True, "error": "user_denied"}, id="claimed-failure"
        ),
        pytest.param({"status": "failed", "error": "oauth_error"}, id="failed-in-an-open-session"),
        pytest.param({"leased_until": long_ago()}, id="leased-to-a-machine-that-died"),
        pytest.param(
            {"created_at": timezone.now() - timedelta(days=2), "asked_at": long_ago()},
            id="old-and-not-asked-within-the-hour",
        ),
    ],
)
def test_reconcile_asks_about_attempts_that_are_due(medblocks, make_old, changes):
    attempt = make_old(**changes)
    answer(medblocks, **ACTIVE)
    reconcile_attempts(limit=10)
    attempt.refresh_from_db()
    assert (attempt.status, attempt.leased_until) == ("succeeded", None)


def test_reconcile_adopts_from_a_later_page(medblocks, make_old):
    attempt = make_old(patient_session_id=None, status="created")
    stranger = session_json(id="ps_other", metadata={"attempt": "another"})
    answer_list(medblocks, [stranger], has_more=True, next_cursor="next")
    ours = session_json(id="ps_ours", metadata={"attempt": attempt.public_id}, **ACTIVE)
    answer_list(medblocks, [ours])
    assert reconcile_attempts(limit=10).adopted == 1
    attempt.refresh_from_db()
    assert (attempt.patient_session_id, attempt.status) == ("ps_ours", "succeeded")
    assert list(attempt.events.values_list("kind", flat=True)) == ["adopted", "connected"]


@pytest.mark.parametrize(
    ("minutes", "status"),
    [pytest.param(60, "expired", id="lapsed"), pytest.param(5, "created", id="not-yet")],
)
def test_reconcile_created_attempt_without_session_expires(medblocks, make_old, minutes, status):
    created_at = timezone.now() - timedelta(minutes=minutes)
    attempt = make_old(patient_session_id=None, status="created", created_at=created_at)
    answer_list(medblocks, [])
    assert reconcile_attempts(limit=10).adopted == 0
    attempt.refresh_from_db()
    assert attempt.status == status


def test_reconcile_claim_that_medblocks_forgot_stands(medblocks, make_old):
    """Nobody can confirm it any more: it is settled as it is, and not asked about again."""
    attempt = make_old(status="failed", unconfirmed=True, error="user_denied")
    medblocks.get(f"{BASE_URL}/patient-sessions/ps_1", status=404)
    assert [reconcile_attempts(limit=10).asked for _ in range(2)] == [1, 0]
    attempt.refresh_from_db()
    assert (attempt.status, attempt.settled_at is None) == ("failed", False)


def test_reconcile_session_that_medblocks_forgot_is_expired(medblocks, make_old):
    attempt = make_old()
    medblocks.get(f"{BASE_URL}/patient-sessions/ps_1", status=404)
    reconcile_attempts(limit=10)
    attempt.refresh_from_db()
    assert attempt.status == "expired"


def test_reconcile_stops_when_limited(medblocks, make_old):
    for number in range(5):
        make_old(number)
    medblocks.add(responses.GET, f"{BASE_URL}/patient-sessions/ps_0", status=429)
    done = reconcile_attempts(limit=10)
    assert (done.stopped, done.unanswered, done.asked) == ("rate_limited", 1, 1)
    assert not PatientConnectionAttempt.objects.exclude(leased_until=None).exists()


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"status": 500}, id="500"),
        pytest.param({"status": 503}, id="503"),
        pytest.param({"body": requests.ConnectTimeout()}, id="unreachable"),
        pytest.param({"body": requests.ReadTimeout()}, id="no-answer"),
    ],
)
def test_reconcile_stops_when_away(medblocks, make_old, how):
    for number in range(5):
        make_old(number)
        medblocks.add(responses.GET, f"{BASE_URL}/patient-sessions/ps_{number}", **how)
    done = reconcile_attempts(limit=10)
    assert (done.stopped, done.unanswered) == ("away", 3)


def test_reconcile_odd_answer_does_not_count_as_away(medblocks, make_old):
    """Only what came in a row counts: an odd answer is one, and the count begins anew."""
    for number, status in enumerate([503, 503, 400, 503, 503, 503, 503]):
        make_old(number)
        medblocks.add(responses.GET, f"{BASE_URL}/patient-sessions/ps_{number}", status=status)
    done = reconcile_attempts(limit=10)
    assert (done.stopped, done.unanswered) == ("away", 6)


@pytest.mark.parametrize("status", [401, 403])
def test_reconcile_stops_when_the_key_is_refused(medblocks, make_old, status):
    for number in range(2):
        make_old(number)
        medblocks.add(responses.GET, f"{BASE_URL}/patient-sessions/ps_{number}", status=status)
    done = reconcile_attempts(limit=10)
    assert (done.stopped, done.unanswered) == ("refused", 1)


def test_reconcile_goes_on_after_an_odd_answer(medblocks, make_old):
    for number in range(4):
        make_old(number)
        answer(medblocks, number, **ACTIVE) if number % 2 else medblocks.get(
            f"{BASE_URL}/patient-sessions/ps_{number}", body="<html>"
        )
    done = reconcile_attempts(limit=10)
    assert (done.statuses["succeeded"], done.unanswered, done.stopped) == (2, 2, "")


def test_reconcile_odd_answers_keep_nobody_waiting_for_ever(medblocks, make_old):
    """Those that could not be asked about go to the end of the next run's line."""
    for number in range(4):
        make_old(number)
        medblocks.get(f"{BASE_URL}/patient-sessions/ps_{number}", body="<html>")
    last = make_old(9)
    answer(medblocks, 9, **ACTIVE)
    reconcile_attempts(limit=10)
    assert not PatientConnectionAttempt.objects.exclude(leased_until=None).exists()
    reconcile_attempts(limit=10)
    last.refresh_from_db()
    assert last.status == "succeeded"


def test_reconcile_asks_about_no_more_than_its_limit(medblocks, make_old):
    for number in range(30):
        make_old(number)
        answer(medblocks, number)
    assert reconcile_attempts(limit=25).asked == 25
    assert reconcile_attempts(limit=5).asked == 5


def test_reconcile_failure_in_an_open_session_is_asked_about_until_its_end(medblocks, make_old):
    """The patient may try again in the same session; once it is over nobody is asked."""
    attempt = make_old(status="failed", error="oauth_error")
    tried = [connection_json("failed", failure_code="oauth_error")]
    answer(medblocks, connections=tried, expires_at=in_minutes(5))
    reconcile_attempts(limit=10)
    assert reconcile_attempts(limit=10).asked == 1
    medblocks.reset()
    answer(medblocks, connections=tried, expires_at=in_minutes(-11))
    PatientConnectionAttempt.objects.update(expires_at=None)
    reconcile_attempts(limit=10)
    assert reconcile_attempts(limit=10).asked == 0
    attempt.refresh_from_db()
    assert (attempt.status, attempt.error, attempt.settled_at is None) == (
        "failed",
        "oauth_error",
        False,
    )


def in_minutes(minutes: int) -> str:
    return (timezone.now() + timedelta(minutes=minutes)).isoformat()


@pytest.mark.parametrize(
    ("minutes", "status"),
    [pytest.param(41, "expired", id="lapsed"), pytest.param(39, "started", id="not-yet")],
)
def test_reconcile_open_session_without_an_end_expires_after_its_lifetime(
    medblocks, make_old, minutes, status
):
    attempt = make_old(created_at=timezone.now() - timedelta(minutes=minutes))
    answer(medblocks, expires_at=None)
    reconcile_attempts(limit=10)
    attempt.refresh_from_db()
    assert attempt.status == status


@pytest.mark.parametrize(
    ("hours", "status", "unanswered"),
    [pytest.param(25, "expired", 0, id="a-day"), pytest.param(23, "started", 1, id="not-yet")],
)
def test_reconcile_odd_answers_expire_a_day_after_the_session(
    medblocks, make_old, hours, status, unanswered
):
    attempt = make_old(created_at=timezone.now() - timedelta(hours=hours))
    answer(medblocks, patient_id="somebody-else")
    done = reconcile_attempts(limit=10)
    assert (done.unanswered, done.adopted) == (unanswered, 0)
    attempt.refresh_from_db()
    assert attempt.status == status
    assert [each.error for each in attempt.events.all()] == ["unexpected_reply"] * (1 - unanswered)


@pytest.mark.parametrize("status", [401, 429, 503])
def test_reconcile_outage_expires_nothing(medblocks, make_old, status):
    attempt = make_old(created_at=timezone.now() - timedelta(days=60))
    medblocks.get(f"{BASE_URL}/patient-sessions/ps_1", status=status)
    reconcile_attempts(limit=10)
    attempt.refresh_from_db()
    assert attempt.status == "started"


def test_reconcile_attempt_that_breaks_stops_nobody(medblocks, make_old, breaks_once, caplog):
    make_old(1)
    other = make_old(2)
    answer(medblocks, 1, **ACTIVE)
    answer(medblocks, 2, **ACTIVE)
    breaks_once(reconcile, "settle_with_waiting_deliveries")
    done = reconcile_attempts(limit=10)
    assert (done.broken, done.asked) == (1, 2)
    other.refresh_from_db()
    assert other.status == "succeeded"
    assert "RuntimeError" in caplog.text
    assert "ann@mail.example" not in caplog.text
    assert not PatientConnectionAttempt.objects.exclude(leased_until=None).exists()


def test_reconcile_session_of_another_attempt_is_not_adopted(medblocks, make_old):
    """It is not adopted twice, and stands in nobody's way."""
    make_old(1, settled_at=timezone.now())
    attempt = make_old(2, patient_session_id=None, status="created")
    answer_list(medblocks, [session_json(metadata={"attempt": attempt.public_id})])
    done = reconcile_attempts(limit=10)
    assert (done.broken, done.adopted) == (0, 0)
    attempt.refresh_from_db()
    assert (attempt.status, attempt.error) == ("failed", "duplicate_session")
    assert attempt.settled_at is not None
    assert reconcile_attempts(limit=10).asked == 0


def test_reconcile_names_the_facility_of_an_attempt_settled_by_webhook(medblocks, make_attempt):
    """Asked once: a name that nobody can tell is not asked for in every run."""
    settled = {"status": "succeeded", "settled_at": timezone.now()}
    attempt = make_attempt(**settled)
    other = make_attempt(patient_session_id="ps_2", connection_id="fhirsrc_unknown", **settled)
    medblocks.get(f"{BASE_URL}/connections/fhirsrc_unknown", status=404)
    reconcile_attempts(limit=10)
    before = count_calls(medblocks)
    reconcile_attempts(limit=10)
    attempt.refresh_from_db()
    assert (attempt.connection_name, attempt.connection_type) == ("Riverside General", "epic")
    other.refresh_from_db()
    assert (before, count_calls(medblocks), other.connection_name) == (2, 2, "")


def test_reconcile_with_medblocks_away_names_the_facility_later(medblocks, make_attempt):
    settled = {"status": "succeeded", "settled_at": timezone.now()}
    attempt = make_attempt(connection_id="fhirsrc_slow", **settled)
    medblocks.get(f"{BASE_URL}/connections/fhirsrc_slow", status=503)
    reconcile_attempts(limit=10)
    medblocks.reset()
    medblocks.get(f"{BASE_URL}/connections/fhirsrc_slow", json={"id": "fhirsrc_slow", "name": "S"})
    reconcile_attempts(limit=10)
    attempt.refresh_from_db()
    assert attempt.connection_name == "S"


def test_reconcile_with_an_odd_facility_names_the_others(medblocks, make_attempt):
    """What Medblocks answers oddly about stands in no other's way, and is asked about once."""
    settled = {"status": "succeeded", "settled_at": timezone.now()}
    attempt = make_attempt(**settled)
    make_attempt(patient_session_id="ps_2", connection_id="fhirsrc_odd", **settled)
    medblocks.get(f"{BASE_URL}/connections/fhirsrc_odd", json={"id": "another", "name": "Odd"})
    for _ in range(2):
        reconcile_attempts(limit=10)
    attempt.refresh_from_db()
    assert (attempt.connection_name, count_calls(medblocks)) == ("Riverside General", 2)


@pytest.mark.django_db(transaction=True)
def test_reconcile_lease_that_the_database_refused_is_repeated(medblocks, make_old, monkeypatch):
    """A deadlock, or a transaction that cannot be serialised, is no end of the run."""
    make_old()
    answer(medblocks, **ACTIVE)
    lease, calls = reconcile._lease_attempt, []

    def be_refused_once(*args):
        calls.append(1)
        if len(calls) == 1:
            raise OperationalError
        return lease(*args)

    monkeypatch.setattr(reconcile, "_lease_attempt", be_refused_once)
    assert reconcile_attempts(limit=10).statuses["succeeded"] == 1


def test_reconcile_connection_of_another_facility_is_not_connected(medblocks, make_old):
    """A connection of another facility in the same session settles nothing."""
    attempt = make_old(connection_id=FACILITY)
    other = connection_json(connection_id="fhirsrc_elsewhere")
    answer(medblocks, status="complete", connections=[other])
    reconcile_attempts(limit=10)
    attempt.refresh_from_db()
    assert (attempt.status, attempt.error) == ("failed", "not_connected")
