"""Webhook deliveries: each is stored, has its effect once, and is retried while it has none.

A delivery belongs to the workspace that it was received in, and has its effect in that one alone.
Runs on what the database holds; Medblocks is never asked here. Whatever could not be done stays
noted on the delivery, for ``medblocks_reconcile``, the admin or Medblocks' next try. What an effect
is worth to the host's receivers is the outbox's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import chain
from typing import Any, Final, TypeAlias

from django.db import IntegrityError, OperationalError, connections, router, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.dispatch import Signal
from django.utils import timezone

from medblocks_connect import signals
from medblocks_connect.api.clock import NO_LIMIT, TimeLimit
from medblocks_connect.attempts.connection_rows import record_places
from medblocks_connect.attempts.database_retry import RetryLimit, is_repeatable, retry_on_deadlock
from medblocks_connect.attempts.evidence import Evidence, PlaceEvidence
from medblocks_connect.attempts.outbox import (
    MAX_TRIES,
    owe_signals,
    send_after_commit,
    send_signals,
)
from medblocks_connect.attempts.settle import AttemptChange, plan_change, settle, write_change
from medblocks_connect.attempts.tombstones import is_about_erased
from medblocks_connect.attempts.webhook_events import EventEffect, read_effect
from medblocks_connect.conf import find_workspace
from medblocks_connect.models import (
    ConnectionLink,
    PatientConnection,
    PatientConnectionAttempt,
    PendingSignal,
    WebhookDelivery,
    filter_workspace,
)

logger = logging.getLogger("medblocks_connect.webhooks")

State = WebhookDelivery.State

_WAIT_FOR_RECORDS: Final = timedelta(days=1)

_SECONDS_FOR_SIGNALS: Final = 2.0
"""How long an answered request goes on calling receivers: it keeps one of the server's workers."""

Store: TypeAlias = Callable[[WebhookDelivery, str], bool]
FollowUp: TypeAlias = Callable[[], None]
Connected: TypeAlias = Sequence[tuple[PatientConnectionAttempt, set[str]]]

_EFFECT_COLUMNS: Final = ("attempt", "failure", "state", "processed_at")
"""The columns that processing writes, beside the number of tries."""


@dataclass(frozen=True)
class _Applied:
    """The attempts whose connections an event told, and the signals that it owes."""

    connected: Connected = ()
    owed: Sequence[PendingSignal] = ()


def receive_delivery(delivery: WebhookDelivery) -> FollowUp:
    """Store a verified event and give it its effect, once, however often it is sent.

    Return what is left to do once the answer is on its way, for Medblocks waits 5 seconds for it:
    the signals that it owes, and the events that waited for it. Where that is never called, they
    are left to reconciliation. Of a patient who was erased nothing is stored. Raises what the
    database raises when nothing could be stored; Medblocks then sends it again.
    """
    try:
        applied = _store_and_apply(delivery)
    except Exception as error:  # noqa: BLE001 - whatever it was, the event is kept
        if is_about_erased(delivery):
            return partial(_follow_up, _Applied())
        # Verified, and not to be lost because a step after it broke: kept, marked, tried again.
        _mark_failed(delivery, error)
        _store_failure(delivery)
        applied = _Applied()
    return partial(_follow_up, applied)


def process_delivery(delivery: WebhookDelivery) -> bool:
    """Give a stored delivery its effect, or note why it has none yet; then send what it owes.

    Return whether it was this process that did, and nobody since it was read. Raises what the
    database raises when not even the failure could be noted.
    """
    owed = _process(delivery)
    send_after_commit(owed or (), router.db_for_write(PendingSignal))
    return owed is not None


def process_waiting_deliveries(
    attempt: PatientConnectionAttempt, links: Iterable[str] = ()
) -> bool:
    """Give their effect to the events that came before ``attempt`` was known; whether any did.

    ``links`` are those of the places that it connected.
    """
    owed = _process_waiting(attempt, links)
    send_after_commit(list(chain(*owed)), router.db_for_write(PendingSignal))
    return bool(owed)


def settle_with_waiting_deliveries(attempt: PatientConnectionAttempt, evidence: Evidence) -> None:
    """Settle what Medblocks says, then what came too early for the connection that it names."""
    former = attempt.patient_connection_id
    settle(attempt, evidence)
    links = {*_list_links(evidence.places), attempt.patient_connection_id} - {former}
    if links and process_waiting_deliveries(attempt, links):
        attempt.refresh_from_db(using=router.db_for_write(PatientConnectionAttempt))


def retry_deliveries(limit: int, time_limit: TimeLimit = NO_LIMIT) -> tuple[int, int]:
    """Process up to ``limit`` deliveries that are due; return how many are, and how many failed.

    Raises what the database raises where not even a failure can be noted.
    """
    states = []
    # A list of keys: an open cursor would keep other writers out of SQLite until its end.
    for key in list(_due_deliveries(timezone.now()).values_list("pk", flat=True)[:limit]):
        if time_limit.is_over():
            break
        delivery = find_deliveries().filter(pk=key).first()
        if delivery is not None and process_delivery(delivery):
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


def _store_and_apply(delivery: WebhookDelivery) -> _Applied:
    effect = read_effect(delivery)
    # What a session or a link that is kept here names is nobody's who was erased.
    store = _insert if effect.is_certain else _insert_unless_erased
    try:
        return _apply_effect(delivery, effect, store) or _Applied()
    except IntegrityError:  # it came before
        return _apply_redelivery(delivery, effect)


def _apply_redelivery(delivery: WebhookDelivery, effect: EventEffect) -> _Applied:
    """Give an event that came before its effect, where it has none yet.

    What waited for its connection is left to reconciliation.
    """
    applied = _apply_effect(delivery, effect, _update_unprocessed)
    if applied is not None:
        return _Applied(owed=applied.owed)
    stored = _find_same_event(delivery).get()
    if stored.digest != delivery.digest and stored.digest and delivery.digest:
        # The first stands; that there was another is for staff to see.
        _update(WebhookDelivery.objects.filter(pk=stored.pk), conflicts=F("conflicts") + 1)
    return _Applied()


def _follow_up(applied: _Applied) -> None:
    """Process what waited for the connections that are known now, then send what all of it owes."""
    owed = [*applied.owed, *_process_awaiting(applied.connected)]
    send_signals(owed, _SECONDS_FOR_SIGNALS)


def _process(delivery: WebhookDelivery) -> Sequence[PendingSignal] | None:
    """Process a stored delivery; return what it owes, None where somebody else was faster."""
    if delivery.state == State.PROCESSED:
        return None
    read_state, read_tries = delivery.state, delivery.tries
    as_read = find_deliveries().filter(pk=delivery.pk, state=read_state, tries=read_tries)

    def count_try() -> int:
        # To wait for its attempt was no failed try: it has all of them before it.
        has_waited = read_state == State.RECEIVED != delivery.state
        return 1 if has_waited else read_tries + 1

    def store(delivery: WebhookDelivery, _database: str) -> bool:
        delivery.tries = count_try()
        return bool(as_read.update(**_effect_columns(delivery), tries=delivery.tries))

    try:
        applied = _apply_effect(delivery, read_effect(delivery), store)
    except Exception as error:  # noqa: BLE001 - one that breaks must not stop those after it
        _mark_failed(delivery, error)
        failed = {"state": State.FAILED, "failure": delivery.failure, "tries": count_try()}
        return () if _update(as_read, **failed) else None
    if applied is None:
        return None
    return [*applied.owed, *_process_awaiting(applied.connected)]


def _process_waiting(
    attempt: PatientConnectionAttempt, links: Iterable[str]
) -> list[Sequence[PendingSignal]]:
    """Process what came before ``attempt`` was known; return what each of them owes."""
    about_attempt = Q(patient_session_id=attempt.patient_session_id)
    known = {*links, attempt.patient_connection_id} - {""}
    about_attempt |= Q(patient_connection_id__in=known)
    waiting = filter_workspace(find_deliveries()).filter(about_attempt, state=State.RECEIVED)
    processed = [_process(delivery) for delivery in list(waiting.order_by("id"))]
    return [owed for owed in processed if owed is not None]


def _process_awaiting(connected: Connected) -> list[PendingSignal]:
    """Process what waited for the connections of ``connected``; return what that owes."""
    owed: list[PendingSignal] = []
    try:
        for attempt, links in connected:
            if links and _has_waiting_deliveries(links):
                owed += chain(*_process_waiting(attempt, links))
    except Exception as error:  # noqa: BLE001 - they wait on: reconciliation finds them
        logger.error("Waiting webhooks were not processed: %s", type(error).__name__)
    return owed


def _apply_effect(delivery: WebhookDelivery, effect: EventEffect, store: Store) -> _Applied | None:
    """Settle what ``effect`` says and ``store`` the delivery, in one transaction.

    None where ``store`` refused, or the patient was erased meanwhile: nothing was written.
    """
    database = router.db_for_write(WebhookDelivery)
    limit = RetryLimit()
    while True:
        evidence = effect.evidence
        changes = [plan_change(attempt, evidence) for attempt in effect.attempts if evidence]
        _set_effect_columns(delivery, effect)
        try:
            with transaction.atomic(using=database):
                # First: who loses a race for the delivery has written nothing, and an event that
                # was stored before costs no more than this.
                if not store(delivery, database):
                    return None
                lost = _write_changes(changes, database)
                if lost is not None:
                    recorded = record_places(effect.patient_id, effect.places, None, database)
                    if recorded.is_complete:
                        lost += recorded.lost
                        owed = _owe_signals(delivery, effect, changes, lost, database)
                        return _Applied(_newly_connected(changes), owed)
                transaction.set_rollback(True, using=database)
        except OperationalError as error:
            if not is_repeatable(error) or limit.is_reached(database):
                raise
        effect = read_effect(delivery)
        if not effect.is_certain and is_about_erased(delivery):  # just now
            return None


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


def _owe_signals(
    delivery: WebhookDelivery,
    effect: EventEffect,
    changes: Sequence[AttemptChange],
    lost: Sequence[PatientConnection],
    database: str,
) -> list[PendingSignal]:
    """Write down what the event owes: each signal once, with the newest of its attempts.

    ``lost`` are further places of theirs that are lost by it.
    """
    due: dict[Signal, Mapping[str, Any]] = {}
    for change in changes:
        due |= change.signals
    if lost:
        due.setdefault(signals.connection_lost, {"actor": ""})
    due |= effect.signals
    if not due:
        return []
    return owe_signals(due, database, attempt=effect.attempts[0], delivery=delivery)


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


def _has_waiting_deliveries(links: Collection[str]) -> bool:
    # Plain SQL: every success asks this, and to build the query would take longer than to run it.
    statement = (
        "SELECT id FROM medblocks_connect_webhookdelivery"
        " WHERE patient_connection_id = %s AND state = %s AND workspace = %s"
    )
    with connections[router.db_for_write(WebhookDelivery)].cursor() as cursor:
        for link_id in links:  # one, but for a hosted session
            cursor.execute(statement, [link_id, str(State.RECEIVED), find_workspace()])
            if cursor.fetchone() is not None:
                return True
    return False


def _insert(delivery: WebhookDelivery, database: str) -> bool:
    delivery.pk = None  # a former try may have been rolled back
    delivery.tries = 1
    delivery.save(using=database)
    return True


def _insert_unless_erased(delivery: WebhookDelivery, database: str) -> bool:
    # Written first: a transaction that reads and then writes fails on SQLite under load.
    _insert(delivery, database)
    if not is_about_erased(delivery):
        return True
    transaction.set_rollback(True, using=database)
    return False


def _update_unprocessed(delivery: WebhookDelivery, _database: str) -> bool:
    """Store the effect of an event that came before and has none yet."""
    same = _find_same_event(delivery)
    # One of Medblocks' list has no digest (``webhook_endpoint/missed_events.py``).
    unprocessed = same.filter(digest__in=[delivery.digest, ""]).exclude(state=State.PROCESSED)
    if not unprocessed.update(**_effect_columns(delivery), tries=F("tries") + 1):
        return False
    delivery.pk = same.values_list("pk", flat=True).get()
    return True


def _mark_failed(delivery: WebhookDelivery, error: Exception) -> None:
    # The error's kind and not its text, which may hold anything.
    logger.error("A webhook could not be processed: %s", type(error).__name__)
    delivery.failure = type(error).__name__
    delivery.state = State.FAILED


def _store_failure(delivery: WebhookDelivery) -> None:
    """Store a delivery that failed; whatever was written of it before was rolled back."""
    unfinished = _find_same_event(delivery).exclude(state=State.PROCESSED)
    failed = {"state": State.FAILED, "failure": delivery.failure}
    if _update(unfinished, **failed, tries=F("tries") + 1):
        return
    delivery.attempt = None
    database = router.db_for_write(WebhookDelivery)
    with suppress(IntegrityError):  # it is stored, and processed
        retry_on_deadlock(partial(_insert, delivery, database), database)


def _set_effect_columns(delivery: WebhookDelivery, effect: EventEffect) -> None:
    delivery.attempt = effect.attempts[0] if effect.attempts else None
    delivery.failure = effect.failure
    if effect.failure:
        delivery.state = State.FAILED
    else:
        delivery.state = State.RECEIVED if effect.is_waiting else State.PROCESSED
    delivery.processed_at = timezone.now() if delivery.state == State.PROCESSED else None


def _effect_columns(delivery: WebhookDelivery) -> dict[str, Any]:
    return {name: getattr(delivery, name) for name in _EFFECT_COLUMNS}


def _update(deliveries: QuerySet[WebhookDelivery], **columns: Any) -> int:
    update = partial(deliveries.update, **columns)
    return retry_on_deadlock(update, router.db_for_write(WebhookDelivery))
