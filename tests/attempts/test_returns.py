"""Returns: claims that are kept or counted, polite questions, and somebody else's return."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from medblocks_connect.api import ReturnedFailure, ReturnedSuccess
from medblocks_connect.attempts import verification
from medblocks_connect.attempts.action_counts import count_action
from medblocks_connect.attempts.returns import record_return
from medblocks_connect.attempts.settle import MAX_CLAIMS_TOLD
from medblocks_connect.attempts.verification import VERIFICATION_INTERVAL, verify_if_due
from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.patients import Patient
from tests.attempts.conftest import FACILITY, answer

pytestmark = pytest.mark.django_db

OTHER = Patient("p-2")


def claim_failure(number=0):
    return ReturnedFailure("ps_1", "p-1", error="user_denied", error_description=f"No {number}")


def claim_success(session_id="ps_1"):
    return ReturnedSuccess(session_id, "p-1", FACILITY)


@pytest.fixture
def attempt(make_attempt):
    return make_attempt()


@pytest.fixture
def calls(medblocks):
    return answer(medblocks).calls


def list_kinds(attempt):
    return [*attempt.events.values_list("kind", flat=True)]


def test_return_asks_medblocks(patient, attempt, calls):
    record_return(patient, claim_failure())
    assert len(calls) == 1


def test_returns_at_once_ask_once(patient, attempt, calls):
    for number in range(10):
        record_return(patient, claim_failure(number))
    assert len(calls) == 1


def test_return_after_the_interval_asks_again(patient, attempt, calls):
    record_return(patient, claim_failure())
    earlier = timezone.now() - VERIFICATION_INTERVAL
    PatientConnectionAttempt.objects.update(asked_at=earlier)
    record_return(patient, claim_failure())
    assert len(calls) == 2


def test_returns_of_many_attempts_ask_as_often_as_the_throttle_allows(
    patient, make_attempt, medblocks, settings
):
    throttles = {"return": "2/h"}
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "THROTTLES": throttles}
    asked = [answer(medblocks, number) for number in range(4)]
    for number in range(4):
        make_attempt(patient_session_id=f"ps_{number}")
        record_return(patient, claim_success(f"ps_{number}"))
    assert [len(each.calls) for each in asked] == [1, 1, 0, 0]


def test_outcome_page_counts_for_the_throttle(attempt, calls, settings, monkeypatch):
    monkeypatch.setattr(verification, "VERIFICATION_INTERVAL", timedelta(0))
    throttles = {"return": "3/h"}
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "THROTTLES": throttles}
    for _reload in range(10):
        attempt.refresh_from_db()
        verify_if_due(attempt)
    assert len(calls) == 3


def test_return_beyond_the_throttle_is_stored(patient, attempt, calls, settings):
    throttles = {"return": "1/h"}
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "THROTTLES": throttles}
    count_action("p-1", "return")
    record_return(patient, claim_failure())
    attempt.refresh_from_db()
    assert (attempt.claimed_error, len(calls)) == ("user_denied", 0)


def test_claims_beyond_twenty_are_counted_alone(patient, attempt, calls):
    for number in range(MAX_CLAIMS_TOLD + 5):
        record_return(patient, claim_failure(number))
    attempt.refresh_from_db()
    kept = list_kinds(attempt).count("claimed_failure")
    assert (kept, attempt.claim_count) == (MAX_CLAIMS_TOLD, MAX_CLAIMS_TOLD + 5)


def test_claim_beyond_twenty_still_counts_for_the_outcome(patient, attempt, calls):
    for number in range(MAX_CLAIMS_TOLD):
        record_return(patient, claim_failure(number))
    record_return(patient, claim_success())
    attempt.refresh_from_db()
    assert attempt.claimed_success


def test_claim_that_is_repeated_is_counted_once(patient, attempt, calls):
    for _reload in range(5):
        record_return(patient, claim_failure())
    attempt.refresh_from_db()
    assert attempt.claim_count == 1


def test_return_of_another_patient_is_noted_once(attempt, calls):
    answers = [record_return(OTHER, claim_failure()) for _reload in range(3)]
    attempt.refresh_from_db()
    assert answers == [None] * 3
    assert list_kinds(attempt) == ["another_patient"]
    assert attempt.another_patient_at is not None


def test_return_of_another_patient_names_nobody(attempt, calls):
    record_return(Patient("bob@mail.example", actor="nurse@mail.example"), claim_failure())
    event = attempt.events.get()
    assert not any("mail.example" in str(value) for value in vars(event).values())


def test_return_of_another_patient_changes_no_outcome(attempt, calls):
    record_return(OTHER, claim_success())
    attempt.refresh_from_db()
    assert (attempt.status, attempt.claimed_success) == ("started", False)
    assert attempt.returned_at is None
    assert len(calls) == 0


def test_return_of_another_patient_after_the_own_is_not_noted(patient, attempt, calls):
    record_return(patient, claim_failure())
    record_return(OTHER, claim_failure())
    assert "another_patient" not in list_kinds(attempt)


def test_return_with_an_invented_session_notes_nothing(attempt, calls):
    record_return(OTHER, claim_success("ps_\x00"))
    record_return(OTHER, claim_success("ps_invented"))
    assert list_kinds(attempt) == []
