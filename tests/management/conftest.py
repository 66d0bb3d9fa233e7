"""The fixtures of attempts, for the commands that work on them, and signals that are owed."""

import pytest
from django.utils import timezone

from medblocks_connect import signals
from medblocks_connect.models import PendingSignal
from tests.attempts.conftest import breaks_once, make_attempt, make_old, medblocks

__all__ = ["breaks_once", "make_attempt", "make_old", "medblocks"]


@pytest.fixture
def owe(db):
    """Write down a signal that is due."""

    def make(attempt, **changes):
        fields = {"name": "attempt_succeeded", "due_at": timezone.now(), **changes}
        return PendingSignal.objects.create(attempt=attempt, **fields)

    return make


@pytest.fixture
def breaking():
    """Listen; the receiver raises once for each entry in the list."""
    errors = []

    def receive(**kwargs):
        if errors:
            raise RuntimeError(errors.pop())

    signals.attempt_succeeded.connect(receive)
    yield errors
    signals.attempt_succeeded.disconnect(receive)
