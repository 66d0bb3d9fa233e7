"""The snapshot of a patient's connections: Medblocks' answer, asked seldom, the last good one kept.

An answer is kept for ``CONNECTIONS_CACHE_SECONDS``, or until something is settled here. When
Medblocks is unavailable, its last good answer stands for a day, with the time of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from django.db.models import Max, Sum
from django.utils import timezone

from medblocks_connect.api import (
    MedblocksConnectionError,
    MedblocksError,
    NotFoundError,
    PatientConnection,
)
from medblocks_connect.cache import Age, build_key, cache, get_or_fetch
from medblocks_connect.conf import conf
from medblocks_connect.medblocks_client import get_client
from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.patients import Patient

LAST_GOOD_SECONDS: Final = 24 * 60 * 60
"""How long the last good answer is worth showing."""

_SHARE_OF_TIMEOUT: Final = 0.5
# A patient who reloads a slow page must not keep a worker waiting each time.
_UNAVAILABLE_SECONDS: Final = 10


@dataclass(frozen=True)
class ConnectionsSnapshot:
    """Medblocks' answer, and how far each attempt of the patient was settled at that time."""

    connections: tuple[PatientConnection, ...]
    taken_at: datetime
    revisions: Mapping[int, int]  # by the attempt's primary key
    is_current: bool = True


def get_snapshot(
    patient: Patient, attempts: list[PatientConnectionAttempt]
) -> ConnectionsSnapshot | None:
    """Return Medblocks' answer, else its last good one; None where there is neither."""
    fresh_seconds = conf.connections_cache_seconds
    keys, unavailable_key = _build_keys(patient)
    try:
        snapshot, is_current = get_or_fetch(
            keys,
            lambda: _take_snapshot(patient, attempts, unavailable_key),
            fresh_seconds=fresh_seconds,
            # 0: the site wants nothing of it kept
            last_good_seconds=LAST_GOOD_SECONDS if fresh_seconds else 0,
        )
    except MedblocksError:
        return None
    return snapshot if is_current else replace(snapshot, is_current=False)


def forget_snapshot(patient: Patient, *, with_last_good: bool) -> None:
    """Let the next page ask Medblocks again; ``with_last_good`` where that is known to be false."""
    keys, unavailable_key = _build_keys(patient)
    stale = [keys["fresh"], unavailable_key]
    cache.delete_many([*stale, keys["last-good"]] if with_last_good else stale)


def _take_snapshot(
    patient: Patient, attempts: list[PatientConnectionAttempt], unavailable_key: str
) -> ConnectionsSnapshot:
    if cache.get(unavailable_key):
        raise MedblocksConnectionError("Medblocks was unavailable a moment ago.")
    # Before asking: what is settled meanwhile may not be in the answer.
    revisions = {attempt.pk: attempt.revision for attempt in attempts}
    try:
        return ConnectionsSnapshot(_ask_medblocks(patient), timezone.now(), revisions)
    except MedblocksError:
        cache.set(unavailable_key, 1, _UNAVAILABLE_SECONDS)
        raise


def _ask_medblocks(patient: Patient) -> tuple[PatientConnection, ...]:
    seconds = conf.timeout * _SHARE_OF_TIMEOUT
    try:
        return get_client().patients.retrieve(patient.patient_id, timeout=seconds).connections
    except NotFoundError:  # nobody has started a session for this patient yet
        return ()


def _build_keys(patient: Patient) -> tuple[dict[Age, str], str]:
    """Return the keys of the answer, and that of a note that Medblocks is unavailable."""
    # Whatever is settled raises a revision: then what was kept is not this patient's state now.
    attempts = PatientConnectionAttempt.objects.of_patient(patient.patient_id)
    stamp = attempts.aggregate(newest=Max("id"), revisions=Sum("revision"))
    now = (patient.patient_id, *map(str, stamp.values()))
    keys: dict[Age, str] = {
        "fresh": build_key("connections-fresh", *now),
        "last-good": build_key("connections-last-good", patient.patient_id),
    }
    return keys, build_key("connections-unavailable", *now)
