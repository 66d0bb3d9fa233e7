"""When a webhook delivery without its effect is tried again, and how often."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from medblocks_connect.attempts.webhook_deliveries import (
    claim_delivery,
    find_deliveries,
    process_delivery,
)
from medblocks_connect.models import PatientConnectionAttempt, WebhookDelivery

MAX_TRIES: Final = 15
"""After so many tries, about three weeks, a failed delivery is left to staff."""

_WAIT_FOR_RECORDS: Final = timedelta(days=1)

_State = WebhookDelivery.State


def retry_deliveries(limit: int) -> tuple[int, int]:
    """Process up to ``limit`` deliveries that are due; return how many are, and how many failed.

    Raises what the database raises where not even a failure can be noted.
    """
    states = []
    # A list of keys: an open cursor would keep other writers out of SQLite until its end.
    for key in list(_due_deliveries(timezone.now()).values_list("pk", flat=True)[:limit]):
        delivery = find_deliveries().filter(pk=key).first()
        if delivery is not None and claim_delivery(delivery):
            process_delivery(delivery)
            states.append(delivery.state)
    return states.count(_State.PROCESSED), states.count(_State.FAILED)


def _due_deliveries(now: datetime) -> QuerySet[WebhookDelivery]:
    """Deliveries whose processing failed a while ago, or whose attempt has appeared since."""
    attempts = PatientConnectionAttempt.objects
    of_session = attempts.filter(patient_session_id=OuterRef("patient_session_id"))
    of_connection = attempts.exclude(patient_connection_id="").filter(
        patient_connection_id=OuterRef("patient_connection_id")
    )
    waiting = Q(state=_State.RECEIVED) & (
        Exists(of_session)
        | Exists(of_connection)
        | ~Q(unsent_signals="")
        | Q(event_type__startswith="records.", received_at__gte=now - _WAIT_FOR_RECORDS)
    )
    failed = Q(state=_State.FAILED) & _is_due(now)
    return find_deliveries().filter(failed | waiting).order_by("tries", "id")


def _is_due(now: datetime) -> Q:
    """Twice at once, then whenever it is twice as old as at the last try: 4 minutes, 8, 16 …"""
    due = Q(tries__lte=1)
    for tries in range(2, MAX_TRIES):
        due |= Q(tries=tries, received_at__lt=now - timedelta(minutes=2**tries))
    return due
