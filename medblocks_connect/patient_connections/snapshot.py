"""What Medblocks says of a patient's connections: asked seldom, and its last word kept for longer.

An answer is kept for ``CONNECTIONS_CACHE_SECONDS``, or until something is settled here. When
Medblocks is away, its last good answer stands for a day, with the time of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db.models import Max, Sum
from django.utils import timezone

from medblocks_connect import __version__
from medblocks_connect.api import (
    MedblocksConnectionError,
    MedblocksError,
    NotFoundError,
    PatientConnection,
)
from medblocks_connect.cache import cache
from medblocks_connect.conf import conf
from medblocks_connect.medblocks_client import get_client
from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.patients import Patient

LAST_WORD_SECONDS: Final = 24 * 60 * 60
"""How long the last good answer is worth showing."""

_SHARE_OF_TIMEOUT: Final = 0.5
# A patient who reloads a slow page must not keep a worker waiting each time.
_AWAY_SECONDS: Final = 10


@dataclass(frozen=True)
class Told:
    """What Medblocks said, and how far each attempt of the patient was settled at that time."""

    links: tuple[PatientConnection, ...]
    at: datetime
    revisions: Mapping[int, int]  # by the attempt's primary key
    is_current: bool = True


def ask_for_connections(patient: Patient, attempts: list[PatientConnectionAttempt]) -> Told | None:
    """Return what Medblocks says, else what it said last; None where nobody can tell."""
    key = _key_now(patient)
    told: Told | None = cache.get(key)
    if told is not None:
        return told
    try:
        told = _ask(patient, attempts, f"{key}:away")
    except MedblocksError:
        last: Told | None = cache.get(_key_last(patient))
        return last and Told(last.links, last.at, last.revisions, is_current=False)
    cache.set(key, told, conf.connections_cache_seconds)
    if conf.connections_cache_seconds:  # 0: the site wants nothing of it kept
        cache.set(_key_last(patient), told, LAST_WORD_SECONDS)
    return told


def forget_connections(patient: Patient, *, with_last_word: bool) -> None:
    """Let the next page ask Medblocks again; ``with_last_word`` where that is known to be false."""
    key = _key_now(patient)
    stale = [key, f"{key}:away"]
    cache.delete_many([*stale, _key_last(patient)] if with_last_word else stale)


def _ask(patient: Patient, attempts: list[PatientConnectionAttempt], away: str) -> Told:
    if cache.get(away):
        raise MedblocksConnectionError("Medblocks was away a moment ago.")
    # Before asking: what is settled meanwhile may not be in the answer.
    revisions = {each.pk: each.revision for each in attempts}
    try:
        return Told(_ask_medblocks(patient), timezone.now(), revisions)
    except MedblocksError:
        cache.set(away, 1, _AWAY_SECONDS)
        raise


def _ask_medblocks(patient: Patient) -> tuple[PatientConnection, ...]:
    seconds = conf.timeout * _SHARE_OF_TIMEOUT
    try:
        return get_client().patients.retrieve(patient.patient_id, timeout=seconds).connections
    except NotFoundError:  # nobody has started a session for this patient yet
        return ()


def _key_now(patient: Patient) -> str:
    # Whatever is settled raises a revision: then what was kept is not this patient's state now.
    attempts = PatientConnectionAttempt.objects.filter(patient_id=patient.patient_id)
    stamp = attempts.aggregate(newest=Max("id"), revisions=Sum("revision"))
    return _key(patient, *map(str, stamp.values()))


def _key_last(patient: Patient) -> str:
    return _key(patient, "last")


def _key(patient: Patient, *parts: str) -> str:
    told = "\0".join((__version__, conf.base_url, patient.patient_id, *parts))
    return f"medblocks_connect:connections:{hashlib.sha256(told.encode()).hexdigest()}"
