"""The gate: its seats, when it closes, and that the first answer opens it. Seconds are held."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medblocks_connect.api import (
    EHRError,
    Gate,
    MedblocksBusyError,
    MedblocksConnectionError,
    MedblocksError,
    NoAnswerError,
    NotFoundError,
    RateLimitError,
    ServerError,
    UnexpectedReplyError,
    WaitingRoom,
    clock,
)
from medblocks_connect.api.gate import (
    CALLS_LOOKED_AT,
    CLOSED_SECONDS,
    FAILURES_IN_A_ROW,
    LONGEST_CLOSED_SECONDS,
)
from tests.api.conftest import HeldClock

SEATS = 4
AWAY = ServerError(status_code=503)
ENOUGH_SECONDS = 10.0


@pytest.fixture
def gate(held_clock: HeldClock) -> Gate:
    return Gate(WaitingRoom(SEATS))


def answer(gate: Gate) -> None:
    with gate.admit() as visit:
        visit.note_answer()


def fail(gate: Gate, failure: MedblocksError = AWAY, times: int = 1) -> None:
    for _ in range(times):
        with gate.admit() as visit:
            visit.note_failure(failure, ENOUGH_SECONDS)


def is_refused(gate: Gate) -> bool:
    try:
        with gate.admit():
            return False
    except MedblocksBusyError:
        return True


def test_who_finds_no_seat_fails_and_who_leaves_gives_it_back(gate: Gate) -> None:
    with ExitStack() as seated:
        for _ in range(SEATS):
            seated.enter_context(gate.admit())
        assert is_refused(gate)
        assert gate.state.is_full
        assert not gate.state.is_closed
    assert gate.state.waiting == 0
    assert not is_refused(gate)


def test_seat_is_given_back_whatever_ends_the_call(gate: Gate) -> None:
    for error in (KeyError, SystemExit, KeyboardInterrupt):
        with pytest.raises(error), gate.admit():
            raise error
    assert gate.state.waiting == 0


def test_seats_of_one_room_are_shared_and_its_gates_are_not(held_clock: HeldClock) -> None:
    room = WaitingRoom(1)
    one, other = Gate(room), Gate(room)
    with one.admit():
        assert is_refused(other)
    fail(one, times=FAILURES_IN_A_ROW)
    assert is_refused(one)
    assert not is_refused(other)


def test_room_without_a_seat_is_none() -> None:
    with pytest.raises(ValueError, match="seat"):
        WaitingRoom(0)


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(MedblocksConnectionError(), id="no-connection"),
        pytest.param(NoAnswerError(), id="no-answer"),
        pytest.param(ServerError(status_code=500), id="500"),
        pytest.param(RateLimitError(status_code=429, retry_after=0), id="429"),
    ],
)
def test_five_failures_in_a_row_close_for_five_seconds(
    gate: Gate, held_clock: HeldClock, failure: MedblocksError
) -> None:
    fail(gate, failure, FAILURES_IN_A_ROW - 1)
    answer(gate)  # which begins a new row
    fail(gate, failure, FAILURES_IN_A_ROW - 1)
    assert not gate.state.is_closed
    fail(gate, failure)
    assert gate.state.is_closed
    held_clock.time += CLOSED_SECONDS - 0.01
    with pytest.raises(MedblocksBusyError) as caught:
        answer(gate)
    assert caught.value.retry_after == pytest.approx(0.01)
    held_clock.time += 0.01
    answer(gate)
    assert not gate.state.is_closed


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(NotFoundError(status_code=404), id="refused"),
        pytest.param(UnexpectedReplyError(), id="odd"),
        pytest.param(EHRError(status_code=502), id="one-hospitals-system"),
    ],
)
def test_answer_that_is_an_error_is_no_failure(gate: Gate, failure: MedblocksError) -> None:
    fail(gate, failure, 2 * CALLS_LOOKED_AT)
    assert not gate.state.is_closed


def test_half_of_the_last_twenty_closes(gate: Gate) -> None:
    for number in range(CALLS_LOOKED_AT - 1):
        (fail if number % 2 else answer)(gate)
    assert not gate.state.is_closed
    fail(gate)
    assert gate.state.is_closed


def test_fewer_than_half_of_the_last_twenty_do_not_close(gate: Gate) -> None:
    for number in range(5 * CALLS_LOOKED_AT):
        (answer if number % 5 < 3 else fail)(gate)
    assert not gate.state.is_closed


def test_no_answer_in_less_time_than_is_fair_is_no_failure(gate: Gate) -> None:
    for _ in range(2 * CALLS_LOOKED_AT):
        with gate.admit() as visit:
            visit.note_failure(NoAnswerError(), 0.1)
    assert not gate.state.is_closed
    for _ in range(FAILURES_IN_A_ROW):
        with gate.admit() as visit:
            visit.note_failure(AWAY, 0.1)  # which was an answer
    assert gate.state.is_closed


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [(3600, LONGEST_CLOSED_SECONDS), (3, 3), (0, 0), (None, CLOSED_SECONDS)],
)
def test_429_closes_at_once_for_as_long_as_it_asks(
    gate: Gate, held_clock: HeldClock, retry_after: float | None, seconds: float
) -> None:
    fail(gate, RateLimitError(status_code=429, retry_after=retry_after))
    assert gate.state.seconds == seconds
    held_clock.time += seconds
    answer(gate)
    assert not gate.state.is_closed


def test_run_of_429s_is_over_ten_seconds_after_the_last(gate: Gate, held_clock: HeldClock) -> None:
    limited = RateLimitError(status_code=429, retry_after=3600)
    for _ in range(6):
        fail(gate, limited)
        held_clock.time += LONGEST_CLOSED_SECONDS
    answer(gate)
    assert not gate.state.is_closed


def close(gate: Gate) -> None:
    fail(gate, times=FAILURES_IN_A_ROW)


def test_one_call_is_let_through_while_it_is_closed(gate: Gate, held_clock: HeldClock) -> None:
    close(gate)
    held_clock.time += 3600
    with gate.admit() as probe:
        assert is_refused(gate)
        assert not probe.may_repeat
        probe.note_answer()
        assert not is_refused(gate)


def test_call_let_through_that_fails_puts_the_next_one_off_no_further(
    gate: Gate, held_clock: HeldClock
) -> None:
    """A connection that takes three seconds to fail would else keep a gate closed for eight."""
    close(gate)
    held_clock.time += CLOSED_SECONDS
    with gate.admit() as probe:
        held_clock.time += 3
        probe.note_failure(MedblocksConnectionError(), ENOUGH_SECONDS)
    assert gate.state.seconds == CLOSED_SECONDS - 3


def test_call_let_through_that_hangs_does_not_keep_the_next_one_out(
    gate: Gate, held_clock: HeldClock
) -> None:
    close(gate)
    held_clock.time += CLOSED_SECONDS
    with gate.admit():
        held_clock.time += CLOSED_SECONDS
        answer(gate)
        assert not gate.state.is_closed


def test_slow_answer_to_a_call_let_through_opens(gate: Gate, held_clock: HeldClock) -> None:
    close(gate)
    held_clock.time += CLOSED_SECONDS
    with gate.admit() as slow:
        held_clock.time += CLOSED_SECONDS
        fail(gate)
        slow.note_answer()
    assert not gate.state.is_closed


def test_calls_from_before_it_closed_decide_nothing(gate: Gate, held_clock: HeldClock) -> None:
    with gate.admit() as lost, gate.admit() as lucky:
        close(gate)
        assert not lost.may_repeat
        lucky.note_answer()
        assert gate.state.is_closed
        held_clock.time += CLOSED_SECONDS
        answer(gate)
        for _ in range(FAILURES_IN_A_ROW):
            lost.note_failure(NoAnswerError(), ENOUGH_SECONDS)
    assert not gate.state.is_closed


def test_log_has_one_line_as_it_closes_and_one_as_it_opens(
    gate: Gate, held_clock: HeldClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "medblocks_connect.gate")
    close(gate)
    for _ in range(3):
        held_clock.time += CLOSED_SECONDS
        fail(gate, RateLimitError(status_code=429, retry_after=1))
    held_clock.time += CLOSED_SECONDS
    answer(gate)
    answer(gate)
    closed, opened = caplog.messages
    assert closed == (
        "Medblocks is left alone for 5 s (the last failure: HTTP 503): patients' calls fail at once"
    )
    assert opened == "Medblocks answers again: patients' calls are let through"


def test_log_has_one_line_a_minute_where_seats_are_missing(
    held_clock: HeldClock, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Gate(WaitingRoom(1))
    with gate.admit():
        for _ in range(3):
            assert is_refused(gate)
        assert len(caplog.messages) == 1
        held_clock.time += 60
        assert is_refused(gate)
    assert len(caplog.messages) == 2


def test_child_process_begins_with_an_open_gate_and_free_seats() -> None:
    program = """
import os
from medblocks_connect.api import Gate, RateLimitError, WaitingRoom
gate = Gate(WaitingRoom(1))
with gate.admit() as visit:
    visit.note_failure(RateLimitError(status_code=429), 10)
    gate._lock.acquire()
    child = os.fork()
    if child == 0:
        with gate.admit():
            os._exit(0 if not gate.state.is_closed else 1)
    gate._lock.release()
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=20)


def test_threads_never_take_more_seats_than_there_are() -> None:
    gate = Gate(WaitingRoom(SEATS))
    lock, inside, most, refused = threading.Lock(), 0, 0, 0

    def call(_number: int) -> None:
        nonlocal inside, most, refused
        try:
            with gate.admit() as visit:
                with lock:
                    inside += 1
                    most = max(most, inside)
                clock.sleep(0.001)
                with lock:
                    inside -= 1
                visit.note_answer()
        except MedblocksBusyError:
            with lock:
                refused += 1

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(call, range(800)))
    assert most <= SEATS
    assert refused
    assert gate.state.waiting == 0


OUTCOMES = st.sampled_from(
    [
        None,  # an answer
        AWAY,
        NoAnswerError(),
        MedblocksConnectionError(),
        NotFoundError(status_code=404),
        RateLimitError(status_code=429, retry_after=3600),
        RateLimitError(status_code=429),
    ]
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.none()),
        st.tuples(st.just("leave"), OUTCOMES),
        st.tuples(st.just("wait"), st.floats(0.0, 12.0)),
    ),
    max_size=120,
)


@given(steps=STEPS, seats=st.integers(1, 5))
def test_whatever_happens_seats_are_kept_probes_are_single_and_it_opens_again(
    steps: list[tuple[str, object]], seats: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        held = HeldClock()
        patch.setattr(clock, "monotonic", lambda: held.time)
        gate, inside, probed_at = Gate(WaitingRoom(seats)), [], -CLOSED_SECONDS
        for action, value in steps:
            if action == "wait":
                held.time += value  # type: ignore[operator]
            elif action == "leave" and inside:
                stack, visit = inside.pop(0)
                if value is None:
                    visit.note_answer()
                else:
                    visit.note_failure(value, ENOUGH_SECONDS)
                stack.close()
            elif action == "enter":
                was_closed, stack = gate.state.is_closed, ExitStack()
                try:
                    visit = stack.enter_context(gate.admit())
                except MedblocksBusyError:
                    assert was_closed or len(inside) == seats
                    continue
                inside.append((stack, visit))
                assert len(inside) == gate.state.waiting <= seats
                if was_closed:
                    assert held.time - probed_at >= CLOSED_SECONDS - 1e-6
                    probed_at = held.time
        for stack, _visit in inside:
            stack.close()
        assert gate.state.seconds <= LONGEST_CLOSED_SECONDS + 1e-6  # of a difference of two floats
        held.time += gate.state.seconds
        answer(gate)
        assert not gate.state.is_closed
