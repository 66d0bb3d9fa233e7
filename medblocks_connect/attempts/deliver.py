"""What effect a webhook event has on an attempt: once, however often it comes.

Runs on what the database holds; Medblocks is never asked here. Whatever could not be done stays
noted on the delivery, for ``medblocks_reconcile``, the admin or Medblocks' next try.
"""

from __future__ import annotations

import threading
from datetime import timedelta
from functools import partial
from typing import Any, Final

from django.db import connections, router, transaction
from django.db.models import Q
from django.dispatch import Signal
from django.utils import timezone

from medblocks_connect import signals
from medblocks_connect.attempts.events import Said, read_event, read_records
from medblocks_connect.attempts.settle import try_to_settle
from medblocks_connect.models import PatientConnectionAttempt, WebhookDelivery

State = WebhookDelivery.State

RECEIVERS_MAY_TAKE: Final = 2.0
"""Seconds that the host's signal receivers may take before the answer to Medblocks leaves without
them (it waits 5); they run on in their thread."""

_CLAIM = timedelta(minutes=2)

_SIGNALS: Final = {
    "attempt_started": signals.attempt_started,
    "attempt_succeeded": signals.attempt_succeeded,
    "attempt_failed": signals.attempt_failed,
    "attempt_expired": signals.attempt_expired,
    "connection_lost": signals.connection_lost,
    "records_synced": signals.records_synced,
    "records_sync_failed": signals.records_sync_failed,
}


def process_delivery(delivery: WebhookDelivery, *, receivers_may_take: float | None = None) -> None:
    """Give a delivery its effect and store it, or store why it has none yet.

    ``receivers_may_take`` is in seconds, None for as long as they like. Never raises for what the
    event holds or what a receiver does; raises what the database raises (``IntegrityError``: this
    event was stored before).
    """
    if not delivery.unsent_signals:
        while not _try_to_process(delivery):
            pass
    if delivery.unsent_signals:
        _send_within(delivery, receivers_may_take)


def process_waiting_deliveries(attempt: PatientConnectionAttempt) -> None:
    """Give their effect to the events that came before ``attempt`` was known here."""
    waiting = WebhookDelivery.objects.filter(
        patient_session_id=attempt.patient_session_id, state=State.RECEIVED
    )
    for delivery in waiting:
        if claim_delivery(delivery):
            process_delivery(delivery)


def claim_delivery(delivery: WebhookDelivery) -> bool:
    """Whether this process may process ``delivery`` now, and no other meanwhile.

    A claimed one is read anew: another process may just have given it a part of its effect.
    """
    now = timezone.now()
    free = Q(claimed_until__isnull=True) | Q(claimed_until__lt=now)
    unfinished = WebhookDelivery.objects.filter(free, pk=delivery.pk).exclude(state=State.PROCESSED)
    if not unfinished.update(claimed_until=now + _CLAIM):
        return False
    delivery.refresh_from_db()
    return True


def _try_to_process(delivery: WebhookDelivery) -> bool:
    database = router.db_for_write(WebhookDelivery)
    said = read_event(delivery)
    with transaction.atomic(using=database):
        due: list[Signal] | None = []
        if said.attempt is not None and said.evidence is not None:
            due = try_to_settle(said.attempt, said.evidence, database)
        if due is None:
            return False
        _note_effect(delivery, said, due)
        delivery.save(using=database)
    return True


def _note_effect(delivery: WebhookDelivery, said: Said, due: list[Signal]) -> None:
    listened = [
        name
        for name, signal in _SIGNALS.items()
        if signal in (*due, *said.signals) and signal.has_listeners(PatientConnectionAttempt)
    ]
    delivery.attempt = said.attempt
    delivery.tries += 1
    delivery.failure = said.failure
    delivery.unsent_signals = " ".join(listened)
    if said.failure:
        delivery.state = State.FAILED
    else:
        delivery.state = State.RECEIVED if said.is_waiting or listened else State.PROCESSED
    is_done = delivery.state == State.PROCESSED
    delivery.processed_at = timezone.now() if is_done else None
    # Until the receivers are through, nobody else is to call them a second time.
    delivery.claimed_until = timezone.now() + _CLAIM if listened else None


def _send_within(delivery: WebhookDelivery, seconds: float | None) -> None:
    if seconds is None:
        _send(delivery)
        return
    sending = partial(_send_and_close, delivery)
    thread = threading.Thread(target=sending, name="medblocks-receivers", daemon=True)
    thread.start()
    thread.join(seconds)


def _send_and_close(delivery: WebhookDelivery) -> None:
    try:
        _send(delivery)
    finally:
        connections.close_all()  # this thread's own


def _send(delivery: WebhookDelivery) -> None:
    failed: dict[str, str] = {}
    for name in delivery.unsent_signals.split():
        answers = _SIGNALS[name].send_robust(
            sender=PatientConnectionAttempt, attempt=delivery.attempt, **_arguments(name, delivery)
        )
        raised = [type(answer).__name__ for _, answer in answers if isinstance(answer, Exception)]
        if raised:
            failed[name] = raised[0]
    # The error's kind and not its text, which may hold anything.
    why = ", ".join(f"a receiver of {name} raised {kind}" for name, kind in failed.items())
    WebhookDelivery.objects.filter(pk=delivery.pk).update(
        unsent_signals=" ".join(failed),
        failure=why[:200],
        state=State.FAILED if failed else State.PROCESSED,
        processed_at=None if failed else timezone.now(),
        claimed_until=None,
    )


def _arguments(name: str, delivery: WebhookDelivery) -> dict[str, Any]:
    return dict(read_records(delivery)) if name == "records_synced" else {}
