"""The load test's judgement: what it must call wrong, so that a clean table means something."""

from __future__ import annotations

import pytest

from benchmarks.load.commands import is_right, judge_pages
from medblocks_connect.models import PatientConnectionAttempt


@pytest.mark.parametrize(
    ("status", "error", "outcomes", "expected"),
    [
        ("succeeded", "", ["active"], True),
        ("succeeded", "", ["", "active"], True),
        ("succeeded", "", [], False),
        ("succeeded", "", ["user_denied"], False),
        ("failed", "user_denied", ["active"], False),
        ("failed", "user_denied", ["user_denied"], True),
        ("failed", "not_connected", ["user_denied"], False),
        ("expired", "", ["user_denied"], False),
        ("failed", "throttled", [], True),
        ("expired", "", [""], True),
        ("expired", "", ["active"], False),
    ],
)
def test_load_judgement_of_an_attempt_is_what_medblocks_knows(status, error, outcomes, expected):
    attempt = PatientConnectionAttempt(status=status, error=error)
    assert is_right(attempt, outcomes) is expected


@pytest.mark.parametrize(
    ("title", "status", "problems"),
    [
        ("You are connected", "succeeded", 0),
        ("You are connected", "failed", 1),
        ("You are connected", None, 1),
        ("Checking your connection", "failed", 0),
        ("You cancelled", "succeeded", 1),
        ("You cancelled", "failed", 0),
    ],
)
def test_load_judgement_of_a_page_is_the_attempts_final_status(title, status, problems):
    statuses = {} if status is None else {"ps_1": status}
    assert len(judge_pages({"ps_1": title}, statuses)) == problems
