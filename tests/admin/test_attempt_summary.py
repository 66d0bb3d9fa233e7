"""The summary of an attempt: one sentence, whose turn it is, what to tell the patient."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from django.utils.translation import override

from medblocks_connect.admin.attempt_summary import LaterAttempts, summarize
from medblocks_connect.attempts.queries import Standing
from medblocks_connect.error_messages import ERROR_MESSAGES
from medblocks_connect.models import PatientConnectionAttempt
from tests.test_error_messages import SAID_OF_WHO_LEFT

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
    return summarize(attempt, later or LaterAttempts(), NOW).sentence


def test_summary_of_denied_says_not_tried_again():
    sentence = _sentence(_attempt(status="failed", error="user_denied"))
    assert sentence == (
        "Denied at the portal of Riverside General after 2 minutes; "
        "the patient has not tried again."
    )


def test_summary_of_tried_again_counts_and_names_the_last():
    later = _attempt(status="failed", error="oauth_error")
    sentence = _sentence(_attempt(status="failed", error="oauth_error"), LaterAttempts(2, later))
    assert "has tried again 2 times since, last at Riverside General (“Failed”)" in sentence


def test_summary_of_later_success_is_closed():
    later = LaterAttempts(1, _attempt(status="succeeded"))
    standing = Standing(is_connected=True, is_later=True)
    summary = summarize(_attempt(status="failed", error="x"), later, NOW, standing=standing)
    assert "a later try connected it" in summary.sentence
    assert summary.next_step == "Nothing to do."
    assert "You are connected" in summary.tell_patient


def test_summary_of_a_failure_at_a_connected_place_is_closed():
    attempt = _attempt(status="failed", error="user_denied")
    summary = summarize(attempt, LaterAttempts(), NOW, standing=Standing(is_connected=True))
    assert "the patient is connected there all the same" in summary.sentence
    assert summary.turn == "Nobody: the patient is connected there"
    assert "You are connected" in summary.tell_patient


def test_summary_of_records_that_did_not_arrive_says_so():
    standing = Standing(is_connected=True, lacks_records=True)
    summary = summarize(_attempt(status="succeeded"), LaterAttempts(), NOW, standing=standing)
    assert "some of its records did not arrive" in summary.sentence
    assert summary.turn.startswith("Medblocks")


def test_summary_of_success_elsewhere_stays_open():
    later = _attempt(status="succeeded", connection_id="b")
    assert "tried again once" in _sentence(
        _attempt(status="failed", error="x"), LaterAttempts(1, later)
    )


def test_summary_without_session_names_the_patients_turn():
    attempt = _attempt(status="created", patient_session_id=None, returned_at=None)
    summary = summarize(attempt, LaterAttempts(), NOW)
    assert summary.turn == "The patient"
    assert summary.next_step.startswith("Ask them to try again")


@pytest.mark.parametrize(
    ("fields", "text"),
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
def test_summary_sentence_says(fields, text):
    assert text in _sentence(_attempt(**fields))


def test_summary_of_refused_start_says_never_reached_the_portal():
    attempt = _attempt(status="failed", patient_session_id=None, returned_at=None)
    assert "the patient never reached the portal" in _sentence(attempt)


@pytest.mark.parametrize("language", SAID_OF_WHO_LEFT)
@pytest.mark.parametrize(
    "fields",
    [
        *({"status": "failed", "error": code} for code in (*ERROR_MESSAGES, "brand_new_code")),
        {"status": "expired"},
        {"status": "started"},
        {"status": "created"},
    ],
    ids=str,
)
def test_summary_of_who_never_left_says_nothing_else(fields, language):
    never_left = _attempt(**fields, patient_session_id=None, returned_at=None)
    with override(language):
        summary = summarize(never_left, LaterAttempts(), NOW)
    told = [summary.sentence, summary.turn, summary.meaning, summary.tell_patient]
    told = "\n".join([*told, summary.next_step]).lower()
    assert [words for words in SAID_OF_WHO_LEFT[language] if words in told] == []


def test_summary_of_an_unsafe_address_says_never_reached_the_portal():
    attempt = _attempt(status="failed", error="unsafe_url", returned_at=None)
    assert "the patient never reached the portal" in _sentence(attempt)


@pytest.mark.parametrize("status", ["started", "expired"])
def test_summary_of_a_session_found_again_says_that_nobody_was_led_there(status):
    attempt = _attempt(status=status, returned_at=None)
    summary = summarize(attempt, LaterAttempts(), NOW, never_left=True)
    assert "nobody was led to the portal" in summary.sentence
    assert "never came back" not in summary.sentence
    assert summary.next_step.startswith("Ask them to try again")


@pytest.mark.parametrize(
    ("fields", "says_so"),
    [
        ({"status": "succeeded", "settled_at": NOW}, True),
        ({"status": "failed", "error": "user_denied", "settled_at": NOW}, True),
        ({"status": "failed", "error": "oauth_error", "expires_at": NOW - timedelta(1)}, True),
        ({"status": "expired"}, True),
        ({"status": "started", "expires_at": NOW - timedelta(1)}, True),
        # They may be trying again there.
        ({"status": "failed", "error": "oauth_error", "expires_at": NOW + timedelta(1)}, False),
        ({"status": "started"}, False),
        ({"status": "failed", "settled_at": NOW, "patient_session_id": None}, False),
        ({"status": "failed", "error": "unsafe_url", "settled_at": NOW}, False),
        ({"status": "succeeded", "settled_at": NOW, "returned_at": NOW}, False),
    ],
)
def test_summary_says_who_never_came_back(fields, says_so):
    attempt = _attempt(**{"returned_at": None, **fields})
    assert ("never came back" in _sentence(attempt)) == says_so


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
def test_summary_of_failure_names_whose_turn_it_is(error, turn):
    summary = summarize(_attempt(status="failed", error=error), LaterAttempts(), NOW)
    assert summary.turn.startswith(turn)


def test_summary_of_bare_row_has_every_part():
    for status in PatientConnectionAttempt.Status.values:
        bare = PatientConnectionAttempt(patient_id="p", status=status)
        summary = summarize(bare, LaterAttempts(), NOW)
        assert all([summary.sentence, summary.turn, summary.tell_patient, summary.next_step])
        assert "%(" not in summary.sentence


def test_summary_keeps_percent_sign_of_facility_name():
    assert "100% Health" in _sentence(_attempt(status="failed", connection_name="100% Health"))


def test_summary_of_a_forwarded_link_is_staffs_turn():
    attempt = _attempt(status="succeeded", returned_at=None, another_patient_at=NOW)
    summary = summarize(attempt, LaterAttempts(), NOW)
    assert "another patient came back from its portal" in summary.sentence
    assert "another person's" in summary.turn
    assert "Ask the patient who signed in" in summary.next_step


def test_summary_of_a_forwarded_link_that_connected_nothing_is_a_failures():
    attempt = _attempt(status="failed", error="user_denied", another_patient_at=NOW)
    summary = summarize(attempt, LaterAttempts(), NOW)
    assert "another patient came back from its portal" in summary.sentence
    assert "another person's" not in summary.turn
