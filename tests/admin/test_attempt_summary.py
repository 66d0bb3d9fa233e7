"""What happened, in one sentence; whose turn it is; what to say."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from medblocks_connect.admin.attempt_summary import Later, tell_story
from medblocks_connect.models import PatientConnectionAttempt

NOW = timezone.now()


def _attempt(**fields) -> PatientConnectionAttempt:
    defaults = {
        "patient_id": "p-1",
        "connection_id": "a",
        "connection_name": "Riverside General",
        "patient_session_id": "ps_1",
        "created_at": NOW - timedelta(minutes=5),
        "returned_at": NOW - timedelta(minutes=3),
    }
    return PatientConnectionAttempt(**{**defaults, **fields})


def _sentence(attempt, later=None) -> str:
    return tell_story(attempt, later or Later(), NOW).sentence


def test_story_denied_and_not_tried_again():
    story = _sentence(_attempt(status="failed", error="user_denied"))
    assert story == (
        "Denied at the portal of Riverside General after 2 minutes; "
        "the patient has not tried again."
    )


def test_story_tried_again_and_failed():
    later = _attempt(status="failed", error="oauth_error")
    story = _sentence(_attempt(status="failed", error="oauth_error"), Later(2, later))
    assert "has tried again 2 times since, last at Riverside General (“Failed”)" in story


def test_story_later_try_connected():
    later = Later(1, _attempt(status="succeeded"), is_connected=True)
    told = tell_story(_attempt(status="failed", error="x"), later, NOW)
    assert "a later try connected it" in told.sentence
    assert told.next_step == "Nothing to do."
    assert "You are connected" in told.tell_patient


def test_story_later_try_elsewhere_does_not_count():
    later = _attempt(status="succeeded", connection_id="b")
    assert "tried again once" in _sentence(_attempt(status="failed", error="x"), Later(1, later))


def test_story_without_a_session_does_not_contradict_itself():
    attempt = _attempt(status="created", patient_session_id=None, returned_at=None)
    told = tell_story(attempt, Later(), NOW)
    assert told.turn == "The patient"
    assert told.next_step.startswith("Ask them to try again")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"status": "failed", "error": "oauth_error"}, "Failed at the portal of"),
        ({"status": "failed", "error": "access_denied"}, "Refused by the portal of"),
        ({"status": "expired", "returned_at": None}, "and never came back"),
        ({"status": "expired"}, "without an outcome"),
        ({"status": "returned"}, "not confirmed yet"),
        ({"status": "created", "returned_at": None}, "no session was opened"),
        ({"status": "started", "returned_at": None}, "At the portal of"),
        ({"status": "started", "expires_at": NOW - timedelta(1)}, "the time there is over"),
        ({"status": "succeeded"}, "Connected to Riverside General after 2 minutes."),
        ({"status": "succeeded", "lost_at": NOW}, "access was lost since"),
        ({"status": "failed", "unconfirmed": True}, "only the return URL says so"),
        ({"status": "failed", "claim_disagrees": True}, "return URL said “connected”"),
        ({"status": "succeeded", "claim_disagrees": True}, "return URL said that it failed"),
    ],
)
def test_story_says(fields, told):
    assert told in _sentence(_attempt(**fields))


def test_story_refused_at_the_start():
    attempt = _attempt(status="failed", patient_session_id=None, returned_at=None)
    assert "the patient never reached the portal" in _sentence(attempt)


@pytest.mark.parametrize(
    ("error", "turn"),
    [
        ("user_denied", "The patient"),
        ("token_exchange_failed", "The hospital's portal"),
        ("db_error", "Medblocks"),
        ("expired_api_key", "Your developers"),
        ("never_seen_before", "You:"),
    ],
)
def test_story_whose_turn(error, turn):
    told = tell_story(_attempt(status="failed", error=error), Later(), NOW)
    assert told.turn.startswith(turn)


def test_story_bare_row_has_words_everywhere():
    for status in PatientConnectionAttempt.Status.values:
        bare = PatientConnectionAttempt(patient_id="p", status=status)
        told = tell_story(bare, Later(), NOW)
        assert all([told.sentence, told.turn, told.tell_patient, told.next_step])
        assert "%(" not in told.sentence


def test_story_facility_name_with_percent_sign():
    assert "100% Health" in _sentence(_attempt(status="failed", connection_name="100% Health"))
