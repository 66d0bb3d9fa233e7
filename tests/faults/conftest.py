"""Fixtures of the fault cases: the clinic in one process, and its signals."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from medblocks_connect import signals
from medblocks_connect.models import PatientConnectionAttempt
from tests.api.conftest import certificate, held_clock, serve  # noqa: F401 - fixtures
from tests.faults.clinic import SETTINGS, Clinic, Medblocks, catch_calls

SIGNALS = (
    "attempt_started",
    "attempt_succeeded",
    "attempt_failed",
    "attempt_expired",
    "connection_lost",
    "records_synced",
    "records_sync_failed",
)


@pytest.fixture
def medblocks(settings) -> Iterator[Medblocks]:
    """A Medblocks in this process."""
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, **SETTINGS}
    medblocks = Medblocks()
    with catch_calls(medblocks):
        yield medblocks


@pytest.fixture
def clinic(patient_client, medblocks) -> Clinic:
    """A site in which the patient is signed in."""
    return Clinic(patient_client, medblocks)


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """The names of the signals that were sent, in order."""
    names: list[str] = []
    receivers = []
    for name in SIGNALS:

        def listen(name: str = name, **kwargs: object) -> None:
            names.append(name)

        receivers.append((getattr(signals, name), listen))
        getattr(signals, name).connect(listen, sender=PatientConnectionAttempt)
    yield names
    for signal, receiver in receivers:
        signal.disconnect(receiver, sender=PatientConnectionAttempt)
