"""The snapshot: Medblocks' own list of a patient's connections, asked seldom, recorded as evidence.

It is asked once in ``CONNECTIONS_CACHE_SECONDS``, and anew where something was settled since. Where
it differs from what is kept here, that is new evidence: of a loss that no webhook told, and of
connections that were made elsewhere in the same workspace.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from typing import Final

from django.db import router, transaction
from django.db.models import Max, Sum

from medblocks_connect.api import Connection, MedblocksError, NotFoundError
from medblocks_connect.attempts.connection_rows import read_link, record_places
from medblocks_connect.attempts.connection_state import DISCONNECTED, LinkState, tell_link
from medblocks_connect.attempts.database_retry import retry_on_deadlock
from medblocks_connect.attempts.evidence import Evidence, Kind, PlaceEvidence, Source
from medblocks_connect.attempts.losses import tell_loss
from medblocks_connect.attempts.outcome import CLOCK_TOLERANCE, Outcome, OutcomeConnection
from medblocks_connect.attempts.settle import settle
from medblocks_connect.cache import build_key, cache
from medblocks_connect.conf import conf
from medblocks_connect.medblocks_client import get_client
from medblocks_connect.models import (
    ConnectionLink,
    PatientConnection,
    PatientConnectionAttempt,
    name_place,
)
from medblocks_connect.patients import Patient
from medblocks_connect.timezones import to_stored_time

_SHARE_OF_TIMEOUT: Final = 0.5
# A patient who reloads a slow page must not keep a worker waiting each time.
_UNAVAILABLE_SECONDS: Final = 10
_FAILED: Final = "failed"


def refresh_connections(patient: Patient) -> bool:
    """Record what Medblocks lists of ``patient`` now; return whether that is known.

    Never raises for Medblocks' sake: where it cannot be asked, what is kept here stands.
    """
    key = _build_key(patient)
    asked = cache.get(key)
    if asked is not None:
        return bool(asked)
    as_of = datetime.now(timezone.utc)
    try:
        listed = _ask_medblocks(patient)
    except MedblocksError:
        cache.set(key, 0, _UNAVAILABLE_SECONDS)
        return False
    _record_listed(patient, listed, as_of)
    # Recording may have settled something: what follows is asked for under its own key.
    cache.set(_build_key(patient), 1, conf.connections_cache_seconds)
    return True


def forget_snapshot(patient: Patient) -> None:
    """Let the next page ask Medblocks again."""
    cache.delete_many([_build_key(patient)])


def _ask_medblocks(patient: Patient) -> tuple[Connection, ...]:
    seconds = conf.timeout * _SHARE_OF_TIMEOUT
    try:
        return get_client().patients.retrieve(patient.patient_id, timeout=seconds).connections
    except NotFoundError:  # nobody has started a session for this patient yet
        return ()


def _record_listed(patient: Patient, listed: Iterable[Connection], as_of: datetime) -> None:
    rows = [row for row in listed if row.status != _FAILED]
    places = _tell_places(patient, rows, as_of)
    _settle_lost(patient, places)  # first: of a further place, the change itself is what it hears
    if places:
        database = router.db_for_write(PatientConnection)
        record = partial(_record_places, patient, places, as_of, database)
        retry_on_deadlock(record, database)


def _record_places(
    patient: Patient, places: Iterable[PlaceEvidence], as_of: datetime, database: str
) -> None:
    with transaction.atomic(using=database):
        # A write first: a transaction that reads and then writes fails on SQLite under load.
        own = PatientConnection.objects.using(database).of_patient(patient.patient_id)
        own.update(asked_at=to_stored_time(as_of))
        record_places(patient.patient_id, places, None, database)


def _tell_places(
    patient: Patient, listed: Iterable[Connection], as_of: datetime
) -> list[PlaceEvidence]:
    """Return what the list tells, place by place, with what it lacks of what is kept here."""
    links: dict[str, dict[str, LinkState]] = {}
    chosen: dict[str, str] = {}
    kept = _read_kept_links(patient)
    places = {link_id: place_id for place_id, of_place in kept.items() for link_id in of_place}
    for row in listed:
        # A link that is kept stays at its place, by whichever name the list has it.
        place_id = places.get(row.id) or name_place(row.connection_id)
        chosen.setdefault(place_id, row.connection_id)
        links.setdefault(place_id, {})[row.id] = tell_link(
            row.status, as_of, since=row.created_at, lost_at=row.failure_at or row.updated_at
        )
    told = {link_id for of_place in links.values() for link_id in of_place}
    for place_id, of_place in kept.items():
        for link_id, link in of_place.items():
            if link_id not in told and _is_gone(link, as_of):
                links.setdefault(place_id, {})[link_id] = tell_link(DISCONNECTED, as_of)
    return [
        PlaceEvidence(
            place_id,
            of_place,
            connection_id="" if place_id in kept else chosen[place_id],
            asked_at=as_of,
        )
        for place_id, of_place in links.items()
    ]


def _is_gone(link: LinkState, as_of: datetime) -> bool:
    """Return whether a link that works here and is not listed has ended.

    A list may lag behind what was connected a moment ago.
    """
    return link.is_active and as_of - link.as_of > CLOCK_TOLERANCE


def _read_kept_links(patient: Patient) -> dict[str, dict[str, LinkState]]:
    links = ConnectionLink.objects.filter(
        connection__in=PatientConnection.objects.where_written().of_patient(patient.patient_id)
    )
    kept: dict[str, dict[str, LinkState]] = {}
    for link in links.using(router.db_for_write(ConnectionLink)).select_related("connection"):
        states = kept.setdefault(link.connection.place_id, {})
        states[link.patient_connection_id] = read_link(link)
    return kept


def _settle_lost(patient: Patient, places: Iterable[PlaceEvidence]) -> None:
    """Tell the attempts that a lost link came of, and who listens, that access is gone."""
    lost = {
        link_id: link
        for place in places
        for link_id, link in place.links.items()
        if link_id and link.is_lost
    }
    hosted = _settle_lost_of_hosted(patient, lost)
    own = PatientConnectionAttempt.objects.where_written().of_patient(patient.patient_id)
    holders = own.in_workspace().successes().filter(patient_connection_id__in=lost, lost_at=None)
    for attempt in holders.exclude(pk__in=hosted):
        link_id = attempt.patient_connection_id
        settle(attempt, _build_loss(link_id, lost[link_id]))


def _settle_lost_of_hosted(patient: Patient, lost: Mapping[str, LinkState]) -> set[int]:
    """Settle what is lost of places that came of hosted sessions; return their attempts' keys."""
    links = ConnectionLink.objects.filter(
        connection__in=PatientConnection.objects.where_written().of_patient(patient.patient_id),
        connection__attempt__is_hosted=True,
        patient_connection_id__in=lost,
    )
    hosted = set()
    for link in links.using(router.db_for_write(ConnectionLink)).select_related(
        "connection__attempt"
    ):
        attempt = link.connection.attempt
        if attempt is None:
            continue
        hosted.add(attempt.pk)
        if not read_link(link).is_lost:
            state = lost[link.patient_connection_id]
            place = PlaceEvidence(link.connection.place_id, {link.patient_connection_id: state})
            told = tell_loss(link, _build_loss(link.patient_connection_id, state))
            settle(attempt, replace(told, places=(place,)))
    return hosted


def _build_loss(link_id: str, link: LinkState) -> Evidence:
    return Evidence(
        Source.MEDBLOCKS,
        Kind.LOST,
        Outcome(connection=OutcomeConnection(link.status, link_id)),
        occurred_at=link.told_lost_at or link.as_of,
    )


def _build_key(patient: Patient) -> str:
    # Whatever is settled raises a revision: then Medblocks is asked anew.
    attempts = PatientConnectionAttempt.objects.of_patient(patient.patient_id)
    stamp = attempts.aggregate(newest=Max("id"), revisions=Sum("revision"))
    return build_key("connections-asked", patient.patient_id, *map(str, stamp.values()))
