"""Erasure: a patient is deleted at Medblocks and here, in steps that may each be repeated.

1. The tombstone is written, with the patient's id until the erasure is finished.
2. The tombstone is given the patient's sessions and connections, as HMACs.
3. Medblocks is told to delete the patient. Known to nobody there is deleted, too.
4. That it is so is noted: what was told until then is erased.
5. What is kept here is deleted: webhook deliveries, attempts, connections, requests, counters.
6. In the log an HMAC takes the place of the id.
7. The id goes from the tombstone, which stays.

Until Medblocks is through nothing is deleted here, so that staff see what is still to be done. One
that was cut short is gone on with by :func:`repeat_erasures`, or begun anew by whoever asks again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Final

from django.db import IntegrityError, router, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from medblocks_connect.api import MedblocksClient, MedblocksError, NotFoundError
from medblocks_connect.api.clock import TimeLimit
from medblocks_connect.attempts.action_counts import forget_actions
from medblocks_connect.attempts.database_retry import retry_on_deadlock
from medblocks_connect.attempts.log_entries import hide_patient, list_logged_patients
from medblocks_connect.attempts.retention import delete_rows
from medblocks_connect.attempts.tombstones import (
    find_erased_identifiers,
    find_tombstones,
    find_tombstones_of,
    make_signers,
)
from medblocks_connect.attempts.webhook_deliveries import find_deliveries
from medblocks_connect.conf import find_workspace
from medblocks_connect.facilities.remote import forget_kept_count
from medblocks_connect.medblocks_client import get_command_client
from medblocks_connect.models import (
    ConnectionLink,
    ErasedIdentifier,
    ErasedPatient,
    FacilityRequest,
    PatientConnection,
    PatientConnectionAttempt,
    filter_workspace,
)
from medblocks_connect.patient_connections.snapshot import forget_snapshot
from medblocks_connect.patients import PATIENT_ID_MAX_LENGTH, Patient

__all__ = [
    "Erasure",
    "RepeatedErasures",
    "erase_patient",
    "find_erasure",
    "name_erased",
    "repeat_erasures",
]

logger = logging.getLogger("medblocks_connect.erasure")

_PAGE: Final = 500  # ids that are looked at in one query


@dataclass(frozen=True)
class Erasure:
    """The account of an erasure that is finished.

    ``pseudonym`` stands in the log in place of the id. ``deleted`` are the rows by their kind.
    """

    pseudonym: str
    deleted: dict[str, int]


@dataclass
class RepeatedErasures:
    """The account of a run: erasures finished, those that failed again, and rows come back."""

    finished: int = 0
    failed: int = 0
    deleted: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """The number of rows that had come back and are deleted again."""
        return sum(self.deleted.values())


def erase_patient(patient_id: str, *, client: MedblocksClient | None = None) -> Erasure:
    """Delete the patient at Medblocks, with all connections and records, and all that is kept here.

    There is no way back. It is about the workspace in force. Safe to repeat after any failure; a
    patient nobody knows may be erased, too. Raises ``MedblocksError`` where Medblocks could not be
    told (then what is kept here is kept, and ``medblocks_reconcile`` goes on with it), and
    ``ValueError`` for what is no patient's id. Not to be called in a transaction.
    """
    if not 0 < len(patient_id) <= PATIENT_ID_MAX_LENGTH or "\x00" in patient_id:
        raise ValueError("A patient's id is text of 1 to 200 characters.")
    tombstone = _write_tombstone(patient_id)
    return _go_on(tombstone, client or get_command_client())


def find_erasure(patient_id: str) -> ErasedPatient | None:
    """Return the last erasure of the patient in the workspace in force, finished or not."""
    return find_tombstones_of(patient_id).order_by("-erased_at").first()


def name_erased(patient_id: str) -> str:
    """Return the pseudonym that an erasure of the patient gives them in the log."""
    return _build_tombstone(patient_id).pseudonym


def repeat_erasures(*, max_seconds: float | None = None) -> RepeatedErasures:
    """Go on with erasures that were cut short, and erase again what came back, as from a backup.

    What a patient did since, of their own will, is left alone. After ``max_seconds`` nothing new is
    begun. Raises what the database raises.
    """
    done, time_limit = RepeatedErasures(), TimeLimit(max_seconds)
    _finish_unfinished(done, time_limit)
    _erase_returned(done, time_limit)
    return done


def _finish_unfinished(done: RepeatedErasures, time_limit: TimeLimit) -> None:
    unfinished = find_tombstones().exclude(unfinished_patient_id="")
    for tombstone in list(unfinished.order_by("erased_at")):
        if time_limit.is_over():
            return
        try:
            _go_on(tombstone, get_command_client())
            done.finished += 1
        except MedblocksError as error:
            logger.warning("An erasure is not finished: %s", error.code)
            done.failed += 1
            if error.is_temporary or error.is_key_refused:
                return


def _erase_returned(done: RepeatedErasures, time_limit: TimeLimit) -> None:
    finished = find_tombstones().filter(unfinished_patient_id="")
    erased = {tombstone.pk: tombstone for tombstone in finished}
    if not erased:
        return
    signers = make_signers()
    for patient_id in _list_kept_patients():
        if time_limit.is_over():
            return
        for sign in signers:
            tombstone = erased.get(sign("patient", patient_id))
            if tombstone is not None:
                _erase_again(patient_id, tombstone, done)
    # Of what is known by a link alone there is no patient to begin with.
    for page in _list_pages(find_deliveries(), "patient_connection_id"):
        returned = find_erased_identifiers("connection", page)
        rows = find_deliveries().filter(patient_connection_id__in=returned)
        if returned:
            _count(done.deleted, "webhook deliveries", delete_rows(rows, "received_at"))


def _erase_again(patient_id: str, tombstone: ErasedPatient, done: RepeatedErasures) -> None:
    deleted = _delete_rows(patient_id, tombstone.erased_at)
    if any(deleted.values()):
        _forget_counts(patient_id)
    for kind, number in deleted.items():
        _count(done.deleted, kind, number)
    hide_patient(patient_id, tombstone.pseudonym)


def _count(deleted: dict[str, int], kind: str, number: int) -> None:
    if number:
        deleted[kind] = deleted.get(kind, 0) + number


def _list_kept_patients() -> Iterator[str]:
    """Yield each patient of whom something is kept, in whichever workspace; some of them twice."""
    # Not of one workspace: a second condition would have another index used, or none.
    for rows in (
        _find_attempts(),
        _find_connections(),
        find_deliveries(),
        FacilityRequest.objects.using(router.db_for_write(FacilityRequest)),
    ):
        for page in _list_pages(rows, "patient_id"):
            yield from page
    yield from list_logged_patients()


def _list_pages(rows: QuerySet[Any], column: str) -> Iterator[list[str]]:
    """Yield the values of ``column`` that are not empty, each once, by its index."""
    last = ""
    while True:
        further = rows.filter(**{f"{column}__gt": last}).order_by(column)
        page = list(further.values_list(column, flat=True).distinct()[:_PAGE])
        if not page:
            return
        yield page
        last = page[-1]


def _build_tombstone(patient_id: str) -> ErasedPatient:
    return ErasedPatient(
        signature=make_signers()[0]("patient", patient_id),
        workspace=find_workspace(),
        unfinished_patient_id=patient_id,
        erased_at=timezone.now(),
    )


def _write_tombstone(patient_id: str) -> ErasedPatient:
    database = router.db_for_write(ErasedPatient)
    tombstone = _build_tombstone(patient_id)
    # durable: inside a caller's transaction it would be gone with the caller's error.
    try:
        with transaction.atomic(using=database, durable=True):
            tombstone.save(using=database)
    except IntegrityError:  # somebody else writes it in the same moment
        with transaction.atomic(using=database, durable=True):
            tombstone.save(using=database)
    return tombstone


def _go_on(tombstone: ErasedPatient, client: MedblocksClient) -> Erasure:
    """Take the steps after the first, but for asking Medblocks again once it is through."""
    patient_id = tombstone.unfinished_patient_id
    began_before = tombstone.deleted_at
    if began_before is None:
        _keep_identifiers(tombstone, client)
        _delete_at_medblocks(patient_id, client)
        now = timezone.now()
        _change(tombstone, deleted_at=now, erased_at=now)
    # Gone on with later: what the patient did meanwhile is a new start.
    deleted = _delete_rows(patient_id, began_before)
    _forget_counts(patient_id)
    hide_patient(patient_id, tombstone.pseudonym)
    _change(tombstone, unfinished_patient_id="", finished_at=timezone.now())
    return Erasure(tombstone.pseudonym, deleted)


def _change(tombstone: ErasedPatient, **columns: Any) -> None:
    rows = find_tombstones().filter(pk=tombstone.pk)
    retry_on_deadlock(partial(rows.update, **columns), rows.db)
    for name, value in columns.items():
        setattr(tombstone, name, value)


def _keep_identifiers(tombstone: ErasedPatient, client: MedblocksClient) -> None:
    """Give ``tombstone`` the sessions and connections that are known here and at Medblocks."""
    patient_id = tombstone.unfinished_patient_id
    sessions, links = _list_identifiers(patient_id)
    links |= _ask_for_links(patient_id, client)
    sign = make_signers()[0]
    signatures = [sign("session", each) for each in sessions]
    signatures += [sign("connection", each) for each in links]
    identifiers = [ErasedIdentifier(signature=each, patient=tombstone) for each in signatures]
    database = router.db_for_write(ErasedIdentifier)
    insert = partial(
        ErasedIdentifier.objects.using(database).bulk_create,
        identifiers,
        batch_size=_PAGE,
        ignore_conflicts=True,
    )
    retry_on_deadlock(insert, database)


def _ask_for_links(patient_id: str, client: MedblocksClient) -> set[str]:
    """Return the connections that Medblocks lists: an event of a lost one names no patient."""
    try:
        listed = client.patients.retrieve(patient_id).connections
    except MedblocksError as error:
        if error.is_temporary or error.is_key_refused:
            raise
        return set()  # unknown there, or answered oddly: that must not keep it from being deleted
    return {connection.id for connection in listed if connection.id}


def _delete_at_medblocks(patient_id: str, client: MedblocksClient) -> None:
    try:
        client.patients.delete(patient_id)
    except NotFoundError as error:
        # Medblocks' own word, and not some proxy's: with that nothing is deleted.
        if not error.type:
            raise


def _list_identifiers(patient_id: str) -> tuple[set[str], set[str]]:
    """Return Medblocks' ids of the patient's sessions and connections that are kept here."""
    attempts = filter_workspace(_find_attempts()).filter(patient_id=patient_id)
    told = list(attempts.values_list("patient_session_id", "patient_connection_id"))
    links = ConnectionLink.objects.using(router.db_for_write(ConnectionLink)).filter(
        connection__patient_id=patient_id, connection__workspace=find_workspace()
    )
    kept = set(links.values_list("patient_connection_id", flat=True))
    sessions = {session_id for session_id, _ in told if session_id}
    return sessions, (kept | {link_id for _, link_id in told}) - {""}


def _delete_rows(patient_id: str, until: datetime | None) -> dict[str, int]:
    """Delete what is kept here of the patient, up to ``until`` where that is given."""
    own = {"patient_id": patient_id}
    deleted: dict[str, int] = {}
    # The deliveries first: some are known by the attempts and links alone. What an attempt that is
    # being settled writes of its place waits for it to be deleted, and is deleted after it.
    for kind, rows, moment in (
        ("webhook deliveries", _find_own_deliveries(patient_id), "received_at"),
        ("attempts", filter_workspace(_find_attempts()).filter(**own), "created_at"),
        ("connections", filter_workspace(_find_connections()).filter(**own), "changed_at"),
        ("facility requests", _find_requests().filter(**own), "created_at"),
    ):
        old: QuerySet[Any] = rows if until is None else rows.filter(**{f"{moment}__lte": until})
        if kind == "attempts":
            forget_snapshot(Patient(patient_id))
        deleted[kind] = delete_rows(old, moment)
    return deleted


def _find_own_deliveries(patient_id: str) -> QuerySet[Any]:
    sessions, links = _list_identifiers(patient_id)
    attempts = filter_workspace(_find_attempts()).filter(patient_id=patient_id)
    about = Q(patient_id=patient_id) | Q(attempt__in=list(attempts.values_list("pk", flat=True)))
    about |= Q(patient_session_id__in=sessions) | Q(patient_connection_id__in=links)
    return filter_workspace(find_deliveries()).filter(about)


def _forget_counts(patient_id: str) -> None:
    forget_actions(patient_id)
    forget_kept_count(patient_id)


def _find_attempts() -> QuerySet[PatientConnectionAttempt]:
    return PatientConnectionAttempt.objects.where_written()


def _find_connections() -> QuerySet[PatientConnection]:
    return PatientConnection.objects.where_written()


def _find_requests() -> QuerySet[FacilityRequest]:
    requests = FacilityRequest.objects.using(router.db_for_write(FacilityRequest))
    return requests.filter(missing__workspace=find_workspace())
