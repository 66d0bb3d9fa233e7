"""The command for a worker: it sends what is due, prints one line, and says what failed."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from medblocks_connect.attempts.outbox import MAX_TRIES
from medblocks_connect.models import PendingSignal


def run(*options: str, **keywords) -> tuple[str, int]:
    """Run the command; return its one line and its exit code."""
    out = io.StringIO()
    try:
        call_command("medblocks_send_signals", *options, stdout=out, **keywords)
    except CommandError as error:
        assert not out.getvalue()
        return str(error), error.returncode
    return out.getvalue(), 0


def test_send_signals_prints_one_line(make_attempt, owe):
    for _ in range(3):
        owe(make_attempt(patient_session_id=None))
    assert run("--limit=2") == ("medblocks_send_signals: 2 sent.\n", 0)
    assert run("--verbosity=0") == ("", 0)
    assert run() == ("medblocks_send_signals: 0 sent.\n", 0)


def test_send_signals_that_fail_exits_1(make_attempt, owe, breaking):
    attempt = make_attempt()
    for _ in range(2):
        owe(attempt)
    breaking.append("ann@mail.example")
    assert run() == ("medblocks_send_signals: 1 sent, 1 failed again.", 1)
    assert PendingSignal.objects.get().failure == "RuntimeError"


def test_send_signals_given_up_sends_those_alone(make_attempt, owe):
    attempt = make_attempt()
    due = owe(attempt)
    owe(attempt, tries=MAX_TRIES)
    assert run("--given-up") == ("medblocks_send_signals: 1 sent.\n", 0)
    assert PendingSignal.objects.get() == due


@pytest.mark.parametrize("limit", [0, -1])
def test_send_signals_refuses_a_limit_below_1(db, limit):
    with pytest.raises(CommandError, match="--limit"):
        call_command("medblocks_send_signals", limit=limit)
