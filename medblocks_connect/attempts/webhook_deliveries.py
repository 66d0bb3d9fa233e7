"""Webhook deliveries: each is stored, has its effect once, and is retried while it has none.

A delivery belongs to the workspace that it was received in, and has its effect in that one alone.
Runs on what the database holds; Medblocks is never asked here. Whatever could not be done stays
noted on the delivery, for ``medblocks_reconcile``, the admin or Medblocks' next try.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, TypeAlias

from django.db import IntegrityError, OperationalError, connections, router, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from medblocks_connect import signals
from medblocks_connect.attempts.connection_rows import record_places
from medblocks_connect.attempts.database_retry import RetryLimit, retry_on_deadlock
from medblocks_connect.attempts.evidence import Evidence, PlaceEvidence
from medblocks_connect.attempts.settle import AttemptChange, plan_change, settle, write_change
from medblocks_connect.attempts.webhook_events import EventEffect, read_effect, read_records
from medblocks_connect.conf import find_workspace
from medblocks_connect.models import (
    ConnectionLink,
    PatientConnection,
    PatientConnectionAttempt,
    WebhookDelivery,
    filter_workspace,
)

logger = logging.getLogger("medblocks_connect.webhooks")

State = WebhookDelivery.State

MAX_TRIES: Final = 15
"""After so many tries, about three weeks, a failed delivery is left to staff."""

_WAIT_FOR_RECORDS: Final = timedelta(days=1)

Store: TypeAlias = Callable[[WebhookDelivery, str], bool]
FollowUp: TypeAlias = Callable[[], None]
Connected: TypeAlias = Sequence[tuple[PatientConnectionAttempt, set[str]]]

_LEASE_TIME = timedelta(minutes=2)

_EFFECT_COLUMNS: Final = (
    "attempt",
    "failure",
    "unsent_signals",
    "state",
    "processed_at",
    "leased_until",
)
"""The columns that processing writes, beside the number of tries."""

_FAILED_COLUMNS: Final = {"state": State.FAILED, "leased_until": None}

_SIGNALS_BY_NAME: Final = {
    "attempt_started": signals.attempt_started,
    "attempt_succeeded": signals.attempt_succeeded,
    "attempt_failed": signals.attempt_failed,
    "attempt_expired": signals.attempt_expired,
    "connection_lost": signals.connection_lost,
    "records_synced": signals.records_synced,
    "records_sync_failed": signals.records_sync_failed,
}


def receive_delivery(delivery: WebhookDelivery) -> FollowUp:
    """Store a verified event and give it its effect, once, however often it is sent.

    Return what is left to do once the answer is on its way, for Medblocks waits 5 seconds for it:
    the signals that it owes, and the events that waited for it. Where that is never called, they
    are left to reconciliation. Raises what the database raises when nothing could be stored;
    Medblocks then sends it again.
    """
    try:
        return _store_and_apply(delivery)
    except Exception as error:  # noqa: BLE001 - whatever it was, the event is kept
        # Verified, and not to be lost because a step after it broke: kept, marked, tried again.
        _mark_failed(delivery, error)
        _store_failure(delivery)
        return _do_nothing


def process_delivery(delivery: WebhookDelivery) -> None:
    """Give a stored delivery, leased by this process, its effect, or note why it has none yet.

    Raises what the database raises when not even the failure could be noted.
    """
    try:
        has_effect = bool(delivery.unsent_signals)
        connected = None if has_effect else _apply_effect(delivery, read_effect(delivery), _save)
        _send_owed_signals(delivery)
        _process_awaiting(connected or ())
    except Exception as error:  # noqa: BLE001 - one that breaks must not stop those after it
        _note_failure(delivery, error)


def process_waiting_deliveries(
    attempt: PatientConnectionAttempt, links: Iterable[str] = ()
) -> bool:
    """Give their effect to the events that came before ``attempt`` was known; whether any did.

    ``links`` are those of the places that it connected.
    """
    about_attempt = Q(patient_session_id=attempt.patient_session_id)
    about_attempt |= Q(patient_connection_id__in=[link_id for link_id in links if link_id])
    if attempt.patient_connection_id:
        about_attempt |= Q(patient_connection_id=attempt.patient_connection_id)
    deliveries = filter_workspace(find_deliveries())
    waiting = deliveries.filter(about_attempt, state=State.RECEIVED, unsent_signals="")
    leased = [delivery for delivery in waiting.order_by("id") if lease_delivery(delivery)]
    for delivery in leased:
        process_delivery(delivery)
    return bool(leased)


def settle_with_waiting_deliveries(attempt: PatientConnectionAttempt, evidence: Evidence) -> None:
    """Settle what Medblocks says, then what came too early for the connection that it names."""
    former = attempt.patient_connection_id
    settle(attempt, evidence)
    links = {*_list_links(evidence.places), attempt.patient_connection_id} - {former}
    if links and process_waiting_deliveries(attempt, links):
        attempt.refresh_from_db(using=router.db_for_write(PatientConnectionAttempt))


def retry_deliveries(limit: int) -> tuple[int, int]:
    """Process up to ``limit`` deliveries that are due; return how many are, and how many failed.

    Raises what the database raises where not even a failure can be noted.
    """
    states = []
    # A list of keys: an open cursor would keep other writers out of SQLite until its end.
    for key in list(_due_deliveries(timezone.now()).values_list("pk", flat=True)[:limit]):
        delivery = find_deliveries().filter(pk=key).first()
        if delivery is not None and lease_delivery(delivery):
            process_delivery(delivery)
            states.append(delivery.state)
    return states.count(State.PROCESSED), states.count(State.FAILED)


def _due_deliveries(now: datetime) -> QuerySet[WebhookDelivery]:
    """Deliveries whose processing failed a while ago, or whose attempt has appeared since."""
    attempts = PatientConnectionAttempt.objects.in_workspace()
    of_session = attempts.filter(patient_session_id=OuterRef("patient_session_id"))
    of_connection = attempts.exclude(patient_connection_id="").filter(
        patient_connection_id=OuterRef("patient_connection_id")
    )
    # Of several that a session connected, an attempt names one.
    of_link = ConnectionLink.objects.exclude(patient_connection_id="").filter(
        patient_connection_id=OuterRef("patient_connection_id"),
        connection__workspace=find_workspace(),
    )
    waiting = Q(state=State.RECEIVED) & (
        Exists(of_session)
        | Exists(of_connection)
        | Exists(of_link)
        | ~Q(unsent_signals="")
        | Q(event_type__startswith="records.", received_at__gte=now - _WAIT_FOR_RECORDS)
    )
    failed = Q(state=State.FAILED) & _is_due(now)
    return filter_workspace(find_deliveries()).filter(failed | waiting).order_by("tries", "id")


def _is_due(now: datetime) -> Q:
    """Twice at once, then whenever it is twice as old as at the last try: 4 minutes, 8, 16 …"""
    due = Q(tries__lte=1)
    for tries in range(2, MAX_TRIES):
        due |= Q(tries=tries, received_at__lt=now - timedelta(minutes=2**tries))
    return due


def find_deliveries() -> QuerySet[WebhookDelivery]:
    """Return the deliveries as they are where they are written; a replica may lag behind."""
    return WebhookDelivery.objects.using(router.db_for_write(WebhookDelivery))


def _find_same_event(delivery: WebhookDelivery) -> QuerySet[WebhookDelivery]:
    """Return the stored delivery of the same event, if any."""
    return find_deliveries().filter(event_id=delivery.event_id, workspace=delivery.workspace)


def lease_delivery(delivery: WebhookDelivery) -> bool:
    """Return whether this process may process ``delivery`` now, and no other meanwhile.

    Counts the try. One that another process worked on since it was read is not free: it may have
    a part of its effect.
    """
    now = timezone.now()
    as_read = WebhookDelivery.objects.filter(
        _is_free(now),
        pk=delivery.pk,
        state=delivery.state,
        tries=delivery.tries,
        unsent_signals=delivery.unsent_signals,
    ).exclude(state=State.PROCESSED)
    if not _update(as_read, leased_until=now + _LEASE_TIME, tries=delivery.tries + 1):
        return False
    delivery.tries += 1
    return True


def _is_free(now: datetime) -> Q:
    return Q(leased_until__isnull=True) | Q(leased_until__lt=now)


def _store_and_apply(delivery: WebhookDelivery) -> FollowUp:
    effect = read_effect(delivery)
    try:
        connected = _apply_effect(delivery, effect, _insert)
    except IntegrityError:  # it came before
        return _apply_redelivery(delivery, effect)
    return partial(_follow_up, delivery, connected or ())


def _apply_redelivery(delivery: WebhookDelivery, effect: EventEffect) -> FollowUp:
    """Give an event that came before the effect that it still owes, if any.

    What waited for its connection is left to reconciliation.
    """
    if _apply_effect(delivery, effect, _update_if_free) is not None:
        return partial(_follow_up, delivery)
    stored = _find_same_event(delivery).get()
    if stored.digest != delivery.digest:
        # The first stands; that there was another is for staff to see.
        _update(WebhookDelivery.objects.filter(pk=stored.pk), conflicts=F("conflicts") + 1)
    elif stored.unsent_signals and lease_delivery(stored):
        return partial(_follow_up, stored)
    return _do_nothing


def _follow_up(delivery: WebhookDelivery, connected: Connected = ()) -> None:
    """Send the signals that ``delivery`` owes, then process what waited for ``connected``."""
    try:
        _send_owed_signals(delivery)
        _process_awaiting(connected)
    except Exception as error:  # noqa: BLE001 - the answer has left: nobody hears of it but staff
        _note_failure(delivery, error)


def _do_nothing() -> None:
    """Follow up on an event that owes nothing."""


def _apply_effect(delivery: WebhookDelivery, effect: EventEffect, store: Store) -> Connected | None:
    """Settle what ``effect`` says and ``store`` the delivery, in one transaction.

    Return the attempts with the links that are known since, None where ``store`` refused.
    """
    database = router.db_for_write(WebhookDelivery)
    limit = RetryLimit()
    while True:
        evidence = effect.evidence
        changes = [plan_change(attempt, evidence) for attempt in effect.attempts if evidence]
        _set_effect_columns(delivery, effect, changes)
        try:
            with transaction.atomic(using=database):
                # First, so that an event that was stored before costs no more than this.
                if not store(delivery, database):
                    return None
                lost = _write_changes(changes, database)
                if lost is not None:
                    recorded = record_places(effect.patient_id, effect.places, None, database)
                    if recorded.is_complete:
                        _owe_loss(delivery, [*lost, *recorded.lost])
                        return _newly_connected(changes)
                transaction.set_rollback(True, using=database)
        except OperationalError:
            if limit.is_reached(database):
                raise
        effect = read_effect(delivery)


def _write_changes(
    changes: Iterable[AttemptChange], database: str
) -> list[PatientConnection] | None:
    """Write all of ``changes``, or leave the rest where one is refused (None)."""
    all_lost: list[PatientConnection] = []
    for change in changes:
        lost = write_change(change, database)
        if lost is None:
            return None
        all_lost += lost
    return all_lost


def _owe_loss(delivery: WebhookDelivery, lost: Sequence[PatientConnection]) -> None:
    """Note that ``delivery`` owes ``connection_lost`` for the further places that were ``lost``."""
    name = "connection_lost"
    owed = delivery.unsent_signals.split()
    is_heard = _SIGNALS_BY_NAME[name].has_listeners(PatientConnectionAttempt)
    if not lost or name in owed or not is_heard:
        return
    _set_owed(delivery, [*owed, name])
    columns = {name: getattr(delivery, name) for name in _EFFECT_COLUMNS}
    _find_same_event(delivery).update(**columns)


def _newly_connected(changes: Iterable[AttemptChange]) -> Connected:
    connected = []
    for change in changes:
        links = _list_links(change.places)
        if "patient_connection_id" not in change.columns:
            links -= {change.attempt.patient_connection_id}
        connected.append((change.attempt, links))
    return connected


def _list_links(places: Iterable[PlaceEvidence]) -> set[str]:
    return {link_id for place in places for link_id in place.links if link_id}


def _process_awaiting(connected: Connected) -> None:
    for attempt, links in connected:
        if links and _has_waiting_deliveries(links):
            process_waiting_deliveries(attempt, links)


def _has_waiting_deliveries(links: Collection[str]) -> bool:
    # Plain SQL: every success asks this, and to build the query would take longer than to run it.
    places = ", ".join(["%s"] * len(links))
    with connections[router.db_for_write(WebhookDelivery)].cursor() as cursor:
        cursor.execute(
            "SELECT id FROM medblocks_connect_webhookdelivery"  # noqa: S608 - placeholders alone
            f" WHERE patient_connection_id IN ({places}) AND state = %s AND workspace = %s",
            [*links, str(State.RECEIVED), find_workspace()],
        )
        return cursor.fetchone() is not None


def _insert(delivery: WebhookDelivery, database: str) -> bool:
    delivery.pk = None  # a former try may have been rolled back
    delivery.tries = 1
    delivery.save(using=database)
    return True


def _save(delivery: WebhookDelivery, database: str) -> bool:
    delivery.save(using=database)
    return True


def _update_if_free(delivery: WebhookDelivery, _database: str) -> bool:
    """Store the effect of an event that came before and has none yet: the UPDATE is the lease."""
    unfinished = _find_same_event(delivery).filter(
        _is_free(timezone.now()), digest=delivery.digest, unsent_signals=""
    )
    columns = {name: getattr(delivery, name) for name in _EFFECT_COLUMNS}
    changed = unfinished.exclude(state=State.PROCESSED).update(**columns, tries=F("tries") + 1)
    return bool(changed)


def _mark_failed(delivery: WebhookDelivery, error: Exception) -> None:
    # The error's kind and not its text, which may hold anything.
    logger.error("A webhook could not be processed: %s", type(error).__name__)
    delivery.failure = type(error).__name__
    delivery.state = State.FAILED


def _note_failure(delivery: WebhookDelivery, error: Exception) -> None:
    """Note on a stored delivery that it broke; the next reconciliation tries it again."""
    _mark_failed(delivery, error)
    unfinished = _find_same_event(delivery).exclude(state=State.PROCESSED)
    unfinished.update(**_FAILED_COLUMNS, failure=delivery.failure)


def _store_failure(delivery: WebhookDelivery) -> None:
    """Store a delivery that failed; whatever was written of it before was rolled back."""
    unfinished = _find_same_event(delivery).filter(_is_free(timezone.now()))
    unfinished = unfinished.exclude(state=State.PROCESSED)
    if _update(unfinished, **_FAILED_COLUMNS, failure=delivery.failure, tries=F("tries") + 1):
        return
    delivery.attempt = None
    delivery.unsent_signals = ""
    delivery.leased_until = None
    database = router.db_for_write(WebhookDelivery)
    with suppress(IntegrityError):  # it is stored, and processed or in another process' hands
        retry_on_deadlock(partial(_insert, delivery, database), database)


def _set_effect_columns(
    delivery: WebhookDelivery, effect: EventEffect, changes: Sequence[AttemptChange]
) -> None:
    due = {*effect.signals, *(signal for change in changes for signal in change.signals)}
    listened = [
        name
        for name, signal in _SIGNALS_BY_NAME.items()
        if signal in due and signal.has_listeners(PatientConnectionAttempt)
    ]
    was_waiting = delivery.attempt_id is None and delivery.state == State.RECEIVED
    delivery.attempt = effect.attempts[0] if effect.attempts else None
    delivery.failure = effect.failure
    delivery.state = State.RECEIVED if effect.is_waiting else State.PROCESSED
    if effect.failure:
        delivery.state = State.FAILED
    _set_owed(delivery, listened)
    if was_waiting and not effect.is_waiting:
        # To wait for its attempt was no failed try: it has all of them before it.
        delivery.tries = 1


def _set_owed(delivery: WebhookDelivery, names: Sequence[str]) -> None:
    """Let ``delivery`` owe the signals with these ``names``."""
    delivery.unsent_signals = " ".join(names)
    if names and delivery.state == State.PROCESSED:
        delivery.state = State.RECEIVED
    delivery.processed_at = timezone.now() if delivery.state == State.PROCESSED else None
    # Until the receivers are through, nobody else is to call them a second time.
    delivery.leased_until = timezone.now() + _LEASE_TIME if names else None


def _send_owed_signals(delivery: WebhookDelivery) -> None:
    if not delivery.unsent_signals:
        return
    failed: dict[str, str] = {}
    # Of an attempt that was deleted since, nothing is to be told.
    owed = delivery.unsent_signals if delivery.attempt else ""
    for name in owed.split():
        answers = _SIGNALS_BY_NAME[name].send_robust(
            sender=PatientConnectionAttempt,
            attempt=delivery.attempt,
            **_signal_arguments(name, delivery),
        )
        raised = [type(answer).__name__ for _, answer in answers if isinstance(answer, Exception)]
        if raised:
            failed[name] = raised[0]
    why = ", ".join(f"a receiver of {name} raised {kind}" for name, kind in failed.items())
    delivery.unsent_signals = " ".join(failed)
    delivery.failure = why[:200]
    delivery.state = State.FAILED if failed else State.PROCESSED
    delivery.processed_at = None if failed else timezone.now()
    delivery.leased_until = None
    columns = {name: getattr(delivery, name) for name in _EFFECT_COLUMNS}
    _update(_find_same_event(delivery), **columns)


def _update(deliveries: QuerySet[WebhookDelivery], **columns: Any) -> int:
    update = partial(deliveries.update, **columns)
    return retry_on_deadlock(update, router.db_for_write(WebhookDelivery))


def _signal_arguments(name: str, delivery: WebhookDelivery) -> dict[str, Any]:
    if name == "connection_lost":
        return {"actor": ""}  # Medblocks tells it: nobody here caused it
    return dict(read_records(delivery)) if name == "records_synced" else {}
