"""Settling: merged into the row, told on the timeline, signalled once per change."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medblocks_connect import signals
from medblocks_connect.api import ReturnedFailure, ReturnedSuccess
from medblocks_connect.attempts.evidence import Evidence, Kind, Source
from medblocks_connect.attempts.outcome import (
    Failure,
    Outcome,
    OutcomeConnection,
    Rank,
    conclude_from_return,
)
from medblocks_connect.attempts.settle import plan_change, read_outcome, settle, write_change
from medblocks_connect.models import PatientConnectionAttempt
from tests.attempts.conftest import FACILITY
from tests.attempts.test_outcome import evidence, merge_all

pytestmark = pytest.mark.django_db(transaction=True)

CONNECTED = Evidence(
    Source.MEDBLOCKS,
    Kind.CONNECTED,
    Outcome(Rank.SUCCEEDED, connection=OutcomeConnection("active", "conn_1"), settled=True),
)


def claim_of(code, words):
    return conclude_from_return(ReturnedFailure("ps_1", "", code, words))


DENIED = Evidence(Source.RETURN, Kind.CLAIMED_FAILURE, claim_of("user_denied", "They said no"))
CAME_BACK = Evidence(
    Source.RETURN,
    Kind.CLAIMED_SUCCESS,
    conclude_from_return(ReturnedSuccess("ps_1", "", FACILITY)),
)
OVER = Evidence(Source.MEDBLOCKS, Kind.EXPIRED, Outcome(Rank.EXPIRED, settled=True))
REFUSED = Evidence(
    Source.MEDBLOCKS, Kind.REFUSED, Outcome(Rank.FAILED, failure=Failure("oauth_error", "Words"))
)
OUTCOME_COLUMNS = (
    "status", "unconfirmed", "error", "error_description", "failure_at", "claimed_success",
    "claimed_error", "claimed_error_description", "claim_disagrees", "patient_connection_id",
    "connection_status",
)  # fmt: skip
EVENT_COLUMNS = (
    "source", "kind", "status", "error", "error_description", "detail", "request_id",
    "connection_status", "occurred_at",
)  # fmt: skip
LATELY = datetime(2026, 11, 1, 10, tzinfo=timezone.utc)
LOST = Evidence(
    Source.WEBHOOK, Kind.LOST, Outcome(connection=OutcomeConnection("refresh_failed", "conn_1"))
)


@pytest.fixture
def heard():
    """Collect the signals that are sent, by name."""
    names = [
        "attempt_started", "attempt_succeeded", "attempt_failed", "attempt_expired",
        "connection_lost",
    ]  # fmt: skip
    sent = []
    receivers = []
    for name in names:

        def receive(name=name, attempt=None, **_kwargs):
            sent.append((name, attempt.status))

        getattr(signals, name).connect(receive)
        receivers.append((name, receive))
    yield sent
    for name, receive in receivers:
        getattr(signals, name).disconnect(receive)


def read(attempt):
    return PatientConnectionAttempt.objects.get(pk=attempt.pk)


def test_settle_writes_the_row_and_the_object_alike(make_attempt):
    attempt = make_attempt()
    settle(attempt, CONNECTED)
    assert read(attempt).status == attempt.status == "succeeded"
    assert read(attempt).finished_at == attempt.finished_at is not None
    assert read_outcome(read(attempt)) == read_outcome(attempt) == CONNECTED.outcome
    assert read(attempt).revision == attempt.revision == 1


def test_settle_with_a_stale_object_merges_again(make_attempt):
    attempt = make_attempt()
    stale = read(attempt)
    settle(attempt, CONNECTED)
    settle(stale, DENIED)
    assert read(attempt).status == stale.status == "succeeded"
    assert read(attempt).claimed_error == "user_denied"
    assert read(attempt).claim_disagrees


@pytest.mark.parametrize(
    "order", [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]]
)
def test_settle_any_order_ends_in_the_same_columns(make_attempt, order):
    attempt = make_attempt()
    for index in order:
        settle(attempt, [CONNECTED, DENIED, CAME_BACK][index])
    row = read(attempt)
    assert (row.status, row.error, row.unconfirmed) == ("succeeded", "", False)
    assert (row.claimed_success, row.claimed_error) == (True, "user_denied")
    assert row.events.count() == 3


def test_settle_claimed_failure_shows_its_code_and_words(make_attempt):
    attempt = make_attempt()
    settle(attempt, DENIED)
    row = read(attempt)
    assert (row.status, row.unconfirmed) == ("failed", True)
    assert (row.error, row.error_description) == ("user_denied", "They said no")


def test_settle_a_row_that_a_host_made(db):
    attempt = PatientConnectionAttempt.objects.create(
        patient_id="p-1", connection_id=FACILITY, status="failed", error="oauth_error"
    )
    settle(attempt, CONNECTED)
    assert read(attempt).status == "succeeded"


def test_settle_same_evidence_twice_is_one_event(make_attempt, heard):
    attempt = make_attempt()
    settle(attempt, CONNECTED)
    settle(read(attempt), CONNECTED)
    assert attempt.events.count() == 1
    assert heard == [("attempt_succeeded", "succeeded")]


def test_settle_claimed_failure_is_signalled_once_confirmed(make_attempt, heard):
    attempt = make_attempt()
    settle(attempt, DENIED)
    assert heard == []
    settle(attempt, REFUSED)
    settle(read(attempt), REFUSED)
    assert heard == [("attempt_failed", "failed")]


def test_settle_claimed_failure_is_signalled_once_the_session_is_over(make_attempt, heard):
    attempt = make_attempt()
    settle(attempt, DENIED)
    settle(attempt, OVER)
    assert heard == [("attempt_failed", "failed")]
    assert read(attempt).unconfirmed


def test_settle_claimed_failure_after_the_end_is_signalled(make_attempt, heard):
    attempt = make_attempt()
    settle(attempt, OVER)
    settle(attempt, DENIED)
    assert heard == [("attempt_expired", "expired"), ("attempt_failed", "failed")]


def test_settle_claimed_failure_that_was_none_is_never_signalled(make_attempt, heard):
    attempt = make_attempt()
    settle(attempt, DENIED)
    settle(attempt, CONNECTED)
    assert heard == [("attempt_succeeded", "succeeded")]


def test_settle_failure_is_signalled_once(make_attempt, heard):
    attempt = make_attempt()
    settle(attempt, REFUSED)
    settle(attempt, CAME_BACK)
    assert read(attempt).claim_disagrees
    assert heard == [("attempt_failed", "failed")]


def test_settle_start_is_signalled(make_attempt, heard):
    attempt = make_attempt(status="created", patient_session_id=None)
    settle(attempt, Evidence(Source.MEDBLOCKS, Kind.STARTED, Outcome(Rank.STARTED)))
    assert heard == [("attempt_started", "started")]


@pytest.mark.parametrize(
    ("piece", "is_end"),
    [
        pytest.param(CONNECTED, True, id="connected"),
        pytest.param(REFUSED, True, id="failed"),
        pytest.param(OVER, True, id="expired"),
        pytest.param(CAME_BACK, False, id="came-back"),
    ],
)
def test_settle_every_end_is_dated(make_attempt, piece, is_end):
    attempt = make_attempt()
    settle(attempt, piece)
    assert (read(attempt).finished_at is not None) is is_end


def test_settle_writes_every_column_of_the_event(make_attempt):
    attempt = make_attempt()
    outcome = Outcome(
        Rank.FAILED, Failure("oauth_error", "Words", LATELY), connection=OutcomeConnection("odd")
    )
    more = {"request_id": "req_1", "occurred_at": LATELY, "detail": "More"}
    settle(attempt, Evidence(Source.WEBHOOK, Kind.FAILED, outcome, **more))
    event = attempt.events.values(*EVENT_COLUMNS).get()
    assert tuple(event.values()) == (
        ("webhook", "failed", "failed", "oauth_error", "Words", "More", "req_1", "odd", LATELY)
    )
    assert read(attempt).failure_at == LATELY


def test_settle_claimed_failure_is_on_the_timeline_with_its_code(make_attempt):
    attempt = make_attempt()
    settle(attempt, DENIED)
    event = attempt.events.values_list("error", "error_description").get()
    assert event == ("user_denied", "They said no")


def test_settle_same_evidence_for_two_attempts_is_an_event_each(make_attempt):
    for number in (1, 2):
        attempt = make_attempt(patient_session_id=f"ps_{number}")
        settle(attempt, Evidence(Source.MEDBLOCKS, Kind.STILL_OPEN, Outcome(Rank.STARTED)))
        assert attempt.events.count() == 1


def test_settle_same_event_written_twice_is_no_conflict(make_attempt):
    """As where two processes, neither of which saw the other's, say the same."""
    attempt = make_attempt()
    change = plan_change(attempt, Evidence(Source.SITE, Kind.STILL_OPEN, Outcome()))
    assert [write_change(change, "default") for _ in range(2)] == [[], []]
    assert attempt.events.count() == 1


def columns_after(pieces):
    """Return what a row holds of the outcome once it has met ``pieces``, one by one."""
    attempt = PatientConnectionAttempt(patient_id="p-1")
    for piece in pieces:
        change = plan_change(attempt, Evidence(Source.MEDBLOCKS, Kind.FAILED, piece))
        for name, value in change.columns.items():
            setattr(attempt, name, value)
    return [getattr(attempt, name) for name in OUTCOME_COLUMNS]


@given(st.lists(evidence, max_size=5), st.randoms(use_true_random=False))
def test_settle_any_order_leaves_the_same_columns(pieces, random):
    """Written to a row and read back between any two, the evidence merges as it does at once."""
    shuffled = pieces + [random.choice(pieces) for _ in range(2) if pieces]
    random.shuffle(shuffled)
    assert columns_after(shuffled) == columns_after(pieces) == columns_after([merge_all(pieces)])


def test_settle_claim_without_description_stays_without(make_attempt):
    attempt = make_attempt()
    settle(attempt, Evidence(Source.RETURN, Kind.CLAIMED_FAILURE, claim_of("oauth_error", "")))
    settle(attempt, REFUSED)
    settle(attempt, CAME_BACK)
    assert read(attempt).claimed_error_description == ""
    assert read(attempt).error_description == "Words"


def test_settle_loss_keeps_the_outcome_and_is_signalled_once(make_attempt, heard):
    attempt = make_attempt()
    settle(attempt, CONNECTED)
    settle(attempt, LOST)
    settle(read(attempt), LOST)
    row = read(attempt)
    assert (row.status, row.connection_status) == ("succeeded", "refresh_failed")
    assert row.lost_at is not None
    assert heard == [("attempt_succeeded", "succeeded"), ("connection_lost", "succeeded")]


def test_settle_loss_is_dated_by_its_event(make_attempt):
    attempt = make_attempt()
    settle(attempt, CONNECTED)
    settle(attempt, replace(LOST, occurred_at=LATELY))
    assert read(attempt).lost_at == LATELY


def test_settle_receiver_that_raises_harms_nobody(make_attempt, heard, caplog):
    def raise_error(**_kwargs):
        raise ValueError("ann@mail.example")

    signals.attempt_succeeded.connect(raise_error)
    try:
        settle(make_attempt(), CONNECTED)
    finally:
        signals.attempt_succeeded.disconnect(raise_error)
    assert heard == [("attempt_succeeded", "succeeded")]
    assert "A receiver raised ValueError: " in caplog.text
    assert "ann@mail.example" not in caplog.text


def test_settle_signals_nothing_when_the_transaction_fails(make_attempt, heard):
    from django.db import transaction

    attempt = make_attempt()
    with transaction.atomic():
        settle(attempt, CONNECTED)
        transaction.set_rollback(True)
    assert heard == []
    assert read(attempt).status == "started"


def test_settle_known_evidence_writes_nothing(make_attempt, django_assert_num_queries):
    attempt = make_attempt()
    settle(attempt, CONNECTED)
    with django_assert_num_queries(1) as queries:
        settle(attempt, CONNECTED)
    assert queries[0]["sql"].startswith("SELECT")


@pytest.mark.parametrize("refusals", [1, 2, 3])
def test_settle_refused_by_the_database_is_repeated_twice(
    make_attempt, heard, monkeypatch, refusals
):
    from django.db import OperationalError

    from medblocks_connect.attempts import settle as module

    write, refused = module.write_change, []

    def refuse(*args):
        if len(refused) < refusals:
            refused.append(1)
            raise OperationalError("database is locked")
        return write(*args)

    monkeypatch.setattr(module, "write_change", refuse)
    attempt = make_attempt()
    if refusals == 3:
        with pytest.raises(OperationalError):
            settle(attempt, CONNECTED)
    else:
        settle(attempt, CONNECTED)
    succeeded = refusals < 3
    assert (read(attempt).status == "succeeded") is succeeded
    assert heard == [("attempt_succeeded", "succeeded")] * succeeded
