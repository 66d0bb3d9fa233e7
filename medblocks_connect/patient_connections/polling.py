"""Polling: patients with standing connections are asked about in turn, for lost access is silent.

Where a webhook that tells of a loss does not come, Medblocks' own list of a patient's connections
does ("GET /patients/{patient_id}" on the API page). It is the same evidence as for a page.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Final

from django.db import router
from django.db.models import F, Q
from django.utils import timezone as django_timezone

from medblocks_connect.api import Connection, MedblocksError, NotFoundError
from medblocks_connect.api.clock import TimeLimit
from medblocks_connect.attempts.database_retry import retry_on_deadlock
from medblocks_connect.attempts.reconcile import choose_stop
from medblocks_connect.conf import conf
from medblocks_connect.medblocks_client import get_command_client
from medblocks_connect.models import PatientConnection
from medblocks_connect.models.patient_connection import ConnectionQuerySet
from medblocks_connect.patient_connections.snapshot import record_listed
from medblocks_connect.patients import Patient

logger = logging.getLogger("medblocks_connect.connections")

LEFT_ALONE_FOR: Final = timedelta(days=1)
"""How long a patient is passed over whose list cannot be read or recorded: others wait behind."""

_LEASE_TIMEOUTS: Final = 4  # of the time that one call may take


@dataclass
class Polling:
    """The account of a run: the patients that were asked about, and why it stopped.

    ``known`` counts those whom Medblocks knows, ``lost`` those of whom an attempt has lost its
    access by it, ``unanswered`` those of whom Medblocks gave no usable answer, ``broken`` those
    whose answer could not be recorded here.
    """

    asked: int = 0
    known: int = 0
    lost: int = 0
    unanswered: int = 0
    broken: int = 0
    stopped: str = ""  # "" when it came to its end

    @property
    def is_finished(self) -> bool:
        """Return whether nothing of it has to be done again."""
        return not (self.unanswered or self.broken)


def poll_patients(interval: timedelta, limit: int, time_limit: TimeLimit) -> Polling:
    """Ask about up to ``limit`` patients whom nobody asked about for ``interval``.

    The longest unasked come first. It stops where Medblocks limits the rate, refuses the key or is
    away; the rest stays first in line. Raises what the database raises where not even a hold can
    be ended.
    """
    done, away = Polling(), 0
    due = _find_due(django_timezone.now() - interval)
    patients = dict.fromkeys(due.values_list("patient_id", flat=True)[:limit])
    for patient_id in patients:
        if time_limit.is_over():
            done.stopped = "time"
            break
        if not _lease(due, patient_id):
            continue  # another process has, or a page asked meanwhile
        done.asked += 1
        error = _ask_about(patient_id, done)
        away = away + 1 if error is not None and error.is_unavailable else 0
        done.stopped = choose_stop(error, away) if error is not None else ""
        if done.stopped:
            break
    return done


def _find_due(asked_before: datetime) -> ConnectionQuerySet:
    """Return the standing connections that nobody was told of since, the longest unasked first."""
    now = django_timezone.now()
    free = Q(leased_until=None) | Q(leased_until__lt=now)
    # One that was never asked about: whatever changed it was told of it then.
    unasked = Q(asked_at__lt=asked_before) | Q(asked_at=None, changed_at__lt=asked_before)
    rows = PatientConnection.objects.where_written().in_workspace().that_stand()
    return rows.filter(unasked, free).order_by(F("asked_at").asc(nulls_first=True), "id")


def _lease(due: ConnectionQuerySet, patient_id: str) -> bool:
    """Return whether this process alone may ask about the patient now."""
    until = django_timezone.now() + timedelta(seconds=conf.timeout * _LEASE_TIMEOUTS)
    free = due.filter(patient_id=patient_id).order_by()
    return bool(_write(partial(free.update, leased_until=until)))


def _ask_about(patient_id: str, done: Polling) -> MedblocksError | None:
    """Ask and record the answer; return what kept Medblocks from giving one."""
    until: datetime | None = None
    as_of = datetime.now(timezone.utc)
    try:
        listed = _list_connections(patient_id, done)
        database = router.db_for_write(PatientConnection)
        _kept, has_settled = record_listed(Patient(patient_id), listed, as_of, database)
        done.lost += has_settled
    except MedblocksError as error:
        done.unanswered += 1
        if not (error.is_temporary or error.is_key_refused):
            until = django_timezone.now() + LEFT_ALONE_FOR
        return error
    except Exception as error:  # noqa: BLE001 - one that breaks must not stop those after it
        # The error's kind and not its text, which may hold anything.
        logger.error("A patient's connections were not recorded: %s", type(error).__name__)
        done.broken += 1
        until = django_timezone.now() + LEFT_ALONE_FOR
    finally:
        _end_lease(patient_id, until)
    return None


def _list_connections(patient_id: str, done: Polling) -> tuple[Connection, ...]:
    """Return Medblocks' list; none where it knows no such patient, but others of this run.

    Raises ``MedblocksError``; for an unknown patient, too, as long as it has known nobody: with
    another workspace's key under the same label it would know none of them, and all would be taken
    for ended.
    """
    try:
        listed = get_command_client().patients.retrieve(patient_id).connections
    except NotFoundError:
        if not done.known:
            raise
        return ()
    done.known += 1
    return listed


def _end_lease(patient_id: str, until: datetime | None) -> None:
    """End the hold, or have everybody pass the patient over ``until`` then."""
    own = PatientConnection.objects.where_written().of_patient(patient_id)
    _write(partial(own.exclude(leased_until=None).update, leased_until=until))


def _write(write: partial[int]) -> int:
    return retry_on_deadlock(write, router.db_for_write(PatientConnection))
