"""A write that the database refused is repeated for a moment, but in nobody else's transaction."""

from __future__ import annotations

import pytest
from django.db import OperationalError, transaction

from medblocks_connect.attempts import database_retry
from medblocks_connect.attempts.database_retry import retry_on_deadlock


@pytest.fixture
def refuse():
    """A write that is refused so many times, each taking so long, and then gives 1."""

    def make(times, seconds=0.0, clock=None):
        refused = []

        def write():
            if clock:
                clock[0] += seconds
            if len(refused) < times:
                refused.append(1)
                raise OperationalError("deadlock")
            return 1

        return write

    return make


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(database_retry.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.django_db(transaction=True)
def test_write_refused_by_a_deadlock_is_repeated(refuse, clock):
    assert retry_on_deadlock(refuse(3, 0.1, clock), "default") == 1


@pytest.mark.django_db(transaction=True)
def test_write_refused_after_waiting_for_a_lock_is_not_repeated(refuse, clock):
    with pytest.raises(OperationalError):
        retry_on_deadlock(refuse(1, 5.0, clock), "default")


@pytest.mark.django_db(transaction=True)
def test_write_refused_for_over_a_second_raises(refuse, clock):
    with pytest.raises(OperationalError):
        retry_on_deadlock(refuse(99, 0.1, clock), "default")


def test_write_refused_in_a_callers_transaction_raises(db, refuse):
    with transaction.atomic(), pytest.raises(OperationalError):
        retry_on_deadlock(refuse(1), "default")
