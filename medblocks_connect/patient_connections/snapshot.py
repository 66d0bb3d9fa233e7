"""The snapshot: Medblocks' own list of a patient's connections, asked seldom, recorded as evidence.

It is asked once in ``CONNECTIONS_CACHE_SECONDS``, and anew where something was settled since. Where
it differs from what is kept here, that is new evidence: of a loss that no webhook told, and of
connections that were made elsewhere in the same workspace.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from typing import Final, TypeAlias

from django.db import InternalError, OperationalError, router, transaction
from django.db.models import Max, Sum

from medblocks_connect.api import (
    Connection,
    MedblocksBusyError,
    MedblocksError,
    NotFoundError,
)
from medblocks_connect.attempts.connection_rows import (
    Kept,
    read_connections,
    read_link,
    record_places,
)
from medblocks_connect.attempts.connection_state import (
    DISCONNECTED,
    LinkState,
    merge_links,
    tell_link,
)
from medblocks_connect.attempts.database_retry import retry_on_deadlock
from medblocks_connect.attempts.evidence import Evidence, Kind, PlaceEvidence, Source
from medblocks_connect.attempts.losses import tell_loss
from medblocks_connect.attempts.outcome import (
    CLOCK_TOLERANCE,
    LOST_STATUSES,
    Outcome,
    OutcomeConnection,
)
from medblocks_connect.attempts.settle import settle
from medblocks_connect.cache import build_key, cache
from medblocks_connect.conf import conf
from medblocks_connect.medblocks_client import get_client
from medblocks_connect.models import (
    ConnectionLink,
    PatientConnection,
    PatientConnectionAttempt,
    is_url,
    name_place,
)
from medblocks_connect.patients import Patient
from medblocks_connect.timezones import to_stored_time, to_utc

_SHARE_OF_TIMEOUT: Final = 0.5
# A patient who reloads a slow page must not keep a worker waiting each time.
_UNAVAILABLE_SECONDS: Final = 5
_FAILED: Final = "failed"

logger = logging.getLogger("medblocks_connect.connections")

States: TypeAlias = dict[tuple[str, str], LinkState]
"""Links by the place and their own id, which Medblocks may leave out."""


def refresh_connections(patient: Patient) -> tuple[bool, Kept]:
    """Record what Medblocks lists of ``patient`` now; return whether that is known, and what is.

    Where Medblocks cannot be asked, or the database takes no writes, what is kept here stands.
    """
    database = router.db_for_write(PatientConnection)
    key = _build_key(patient)
    asked = cache.get(key)
    if asked is not None:
        return bool(asked), read_connections(patient.patient_id, database)
    as_of = datetime.now(timezone.utc)
    try:
        listed = _ask_medblocks(patient)
    except MedblocksBusyError:  # which cost no time, and may be over in a moment
        return False, read_connections(patient.patient_id, database)
    except MedblocksError:
        cache.set(key, 0, _UNAVAILABLE_SECONDS)
        return False, read_connections(patient.patient_id, database)
    try:
        kept, has_settled = record_listed(patient, listed, as_of, database)
    except (InternalError, OperationalError) as error:
        # Full, read-only or locked: what is kept can be shown, and the list is asked for again.
        logger.error("A patient's connections were not recorded: %s", type(error).__name__)
        cache.set(key, 0, _UNAVAILABLE_SECONDS)
        return False, read_connections(patient.patient_id, database)
    # To settle something is another key: what follows is asked for under its own.
    key = _build_key(patient) if has_settled else key
    cache.set(key, 1, conf.connections_cache_seconds)
    return True, kept


def forget_snapshot(patient: Patient) -> None:
    """Let the next page ask Medblocks again."""
    cache.delete_many([_build_key(patient)])


def _ask_medblocks(patient: Patient) -> tuple[Connection, ...]:
    seconds = conf.timeout * _SHARE_OF_TIMEOUT
    try:
        return get_client().patients.retrieve(patient.patient_id, timeout=seconds).connections
    except NotFoundError:  # nobody has started a session for this patient yet
        return ()


def record_listed(
    patient: Patient, listed: Iterable[Connection], as_of: datetime, database: str
) -> tuple[Kept, bool]:
    """Record what the list tells; return what is kept since, and whether an attempt was told."""
    rows = [row for row in listed if row.status != _FAILED]
    hosted = _settle_lost_of_hosted(patient, rows, as_of)
    record = partial(_record_places, patient, rows, as_of, database)
    kept, links, has_news = retry_on_deadlock(record, database)
    has_settled = _settle_lost(patient, links, hosted) or bool(hosted)
    return read_connections(patient.patient_id, database) if has_news else kept, has_settled


def _record_places(
    patient: Patient, listed: Sequence[Connection], as_of: datetime, database: str
) -> tuple[Kept, States, bool]:
    """Return what was kept, the links as they are since, and whether there was news."""
    with transaction.atomic(using=database):
        # A write first: a transaction that reads and then writes fails on SQLite under load. And
        # what is kept is read behind it: no other process changes it then.
        own = PatientConnection.objects.using(database).of_patient(patient.patient_id)
        own.update(asked_at=to_stored_time(as_of))
        kept = read_connections(patient.patient_id, database)
        states: States = {}
        has_urls = any(is_url(row.connection_id) for row in listed)
        by_url = _read_places_by_url(patient) if has_urls else {}
        places = _tell_places(kept, listed, as_of, states, by_url)
        if places:
            record_places(patient.patient_id, places, None, database)
    return kept, states, bool(places)


def _tell_places(
    kept: Kept,
    listed: Iterable[Connection],
    as_of: datetime,
    states: States,
    by_url: Mapping[str, str],
) -> list[PlaceEvidence]:
    """Return what the list tells that is new, with what it lacks of what is kept here.

    Put the links into ``states``, as they are with it.
    """
    places: dict[str, str] = {}
    for row, of_place in kept.items():
        for each in of_place:
            places[each.patient_connection_id] = row.place_id
            states[row.place_id, each.patient_connection_id] = read_link(each)
    chosen = {row.place_id: "" for row in kept}  # what is kept was chosen here
    told: States = {}
    for listing in listed:
        # A link that is kept stays at its place, by whichever name the list has it.
        named = name_place(listing.connection_id)
        place_id = places.get(listing.id or "?") or by_url.get(named, named)
        chosen.setdefault(place_id, listing.connection_id)
        told[place_id, listing.id] = _tell_listed(listing, as_of)
    listed_ids = {link_id for _, link_id in told}
    for key, link in states.items():
        if key[1] not in listed_ids and _is_gone(link, as_of):
            told[key] = tell_link(DISCONNECTED, as_of)
    links: dict[str, dict[str, LinkState]] = {}
    for (place_id, link_id), word in told.items():
        before = states.get((place_id, link_id))
        after = states[place_id, link_id] = merge_links(before, word) if before else word
        if before is None or _is_news(before, after):
            links.setdefault(place_id, {})[link_id] = word
    return [
        PlaceEvidence(place_id, of_place, connection_id=chosen[place_id], asked_at=as_of)
        for place_id, of_place in links.items()
    ]


def _tell_listed(row: Connection, as_of: datetime) -> LinkState:
    lost_at = row.failure_at or row.updated_at
    return tell_link(row.status, as_of, since=row.created_at, lost_at=lost_at)


def _is_news(before: LinkState, after: LinkState) -> bool:
    """Return whether more has changed than when it was told last."""
    return replace(after, as_of=before.as_of, active_as_of=before.active_as_of) != before


def _read_places_by_url(patient: Patient) -> dict[str, str]:
    """Return Medblocks' own ids of the places that the patient chose by their URLs."""
    own = PatientConnectionAttempt.objects.where_written().of_patient(patient.patient_id)
    by_url = own.in_workspace().filter(connection_id__startswith="http")
    told = by_url.exclude(place_id__startswith="http").values_list("connection_id", "place_id")
    return {name_place(url): place_id for url, place_id in told if is_url(url)}


def _is_gone(link: LinkState, as_of: datetime) -> bool:
    """Return whether a link that works here and is not listed has ended.

    A list may lag behind what was connected a moment ago.
    """
    return link.is_active and as_of - link.as_of > CLOCK_TOLERANCE


def _settle_lost_of_hosted(
    patient: Patient, listed: Iterable[Connection], as_of: datetime
) -> set[int]:
    """Settle what is lost of places that came of hosted sessions; return their attempts' keys.

    Before the list is recorded: the change of a place is what its attempt hears of.
    """
    lost = {
        row.id: _tell_listed(row, as_of) for row in listed if row.id and row.status in LOST_STATUSES
    }
    hosted: set[int] = set()
    if not lost:
        return hosted
    links = ConnectionLink.objects.using(router.db_for_write(ConnectionLink)).filter(
        connection__in=PatientConnection.objects.where_written().of_patient(patient.patient_id),
        connection__attempt__is_hosted=True,
        patient_connection_id__in=lost,
    )
    for link in links.select_related("connection__attempt"):
        attempt = link.connection.attempt
        if attempt is None:
            continue
        hosted.add(attempt.pk)
        if read_link(link).is_lost:
            continue
        state = lost[link.patient_connection_id]
        place = PlaceEvidence(link.connection.place_id, {link.patient_connection_id: state})
        loss = _build_loss(link.patient_connection_id, state, state.lost_at or state.as_of)
        settle(attempt, replace(tell_loss(link, loss), places=(place,)))
    return hosted


def _build_loss(link_id: str, link: LinkState, lost_at: datetime) -> Evidence:
    return Evidence(
        Source.MEDBLOCKS,
        Kind.LOST,
        Outcome(connection=OutcomeConnection(link.status, link_id)),
        occurred_at=lost_at,
    )


def _settle_lost(patient: Patient, links: States, but_for: set[int]) -> bool:
    """Tell the attempts that a lost link came of, and who listens; return whether there were any.

    Also of one that was recorded as lost before: whoever did may have died before telling it.
    """
    lost = {link_id: link for (_, link_id), link in links.items() if link_id and link.is_lost}
    own = PatientConnectionAttempt.objects.where_written().of_patient(patient.patient_id)
    has_settled = False
    for attempt in (
        own.in_workspace()
        .successes()
        .filter(patient_connection_id__in=lost, lost_at=None)
        .exclude(pk__in=but_for)
    ):
        link = lost[attempt.patient_connection_id]
        lost_at = link.lost_at or link.as_of
        if to_utc(attempt.created_at) > max(lost_at, link.as_of):
            continue  # connecting again may keep the link: this is not about what began since
        settle(attempt, _build_loss(attempt.patient_connection_id, link, lost_at))
        has_settled = True
    return has_settled


def _build_key(patient: Patient) -> str:
    # Whatever is settled raises a revision: then Medblocks is asked anew.
    attempts = PatientConnectionAttempt.objects.where_written().of_patient(patient.patient_id)
    stamp = attempts.aggregate(newest=Max("id"), revisions=Sum("revision"))
    return build_key("connections-asked", patient.patient_id, *map(str, stamp.values()))
