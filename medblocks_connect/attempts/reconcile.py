"""How attempts that nobody settled are settled after all: which, in what order, and how politely.

Safe on several machines at once: each attempt is claimed for a while before Medblocks is asked,
with ``SKIP LOCKED`` where the database has it, else with a conditional UPDATE.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from itertools import islice
from typing import Final

from django.db import connections, router, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone as django_timezone

from medblocks_connect.api import (
    MedblocksError,
    NotFoundError,
    PatientSession,
    RateLimitError,
)
from medblocks_connect.attempts.confirm import read_session
from medblocks_connect.attempts.deliver import (
    claim_delivery,
    process_delivery,
    process_waiting_deliveries,
)
from medblocks_connect.attempts.outcome import LAPSE, Outcome, Rank, Status
from medblocks_connect.attempts.settle import Evidence, Kind, Source, settle
from medblocks_connect.clock import aware, storable
from medblocks_connect.conf import conf
from medblocks_connect.medblocks import get_client
from medblocks_connect.models import PatientConnectionAttempt, WebhookDelivery

FAILURES_IN_A_ROW: Final = 3
"""After so many calls that Medblocks did not answer, the run ends: it is away."""

_BATCH: Final = 20
_MAX_SESSIONS_LOOKED_THROUGH: Final = 500
_WAIT_FOR_RECORDS = timedelta(days=1)
_UNSETTLED = Q(status__in=[Status.CREATED, Status.STARTED, Status.RETURNED]) | Q(unconfirmed=True)


@dataclass
class Reconciliation:
    """What a run did: how many attempts ended in which status, and why it stopped."""

    statuses: Counter[str] = field(default_factory=Counter)
    adopted: int = 0
    unanswered: int = 0
    deliveries: int = 0
    stopped: str = ""  # "" when it came to its end

    @property
    def asked(self) -> int:
        """How many attempts Medblocks was asked about."""
        return self.statuses.total() + self.unanswered


def reconcile_attempts(
    *, limit: int, on_progress: Callable[[Reconciliation], None] = lambda _done: None
) -> Reconciliation:
    """Settle up to ``limit`` attempts that have no confirmed outcome, and waiting deliveries.

    Raises what the database raises.
    """
    done = Reconciliation()
    # A list of keys: an open cursor would keep other writers out of SQLite until its end.
    for key in list(_unfinished_deliveries().values_list("pk", flat=True)[:limit]):
        delivery = WebhookDelivery(pk=key)
        if claim_delivery(delivery):
            process_delivery(delivery)
            done.deliveries += 1
    with closing(_claim_attempts(limit)) as attempts:
        _ask_about(attempts, done, on_progress)
    return done


def _ask_about(
    attempts: Iterator[PatientConnectionAttempt],
    done: Reconciliation,
    on_progress: Callable[[Reconciliation], None],
) -> None:
    away = 0
    for attempt in attempts:
        try:
            adopted = _reconcile(attempt)
        except RateLimitError:
            done.unanswered += 1
            done.stopped = "rate_limited"
        except MedblocksError:
            done.unanswered += 1
            away += 1
            done.stopped = "away" if away >= FAILURES_IN_A_ROW else ""
        else:
            away = 0
            done.adopted += adopted
            done.statuses[attempt.status] += 1
        finally:
            _release(attempt, asked_at=django_timezone.now())
        on_progress(done)
        if done.stopped:
            break


def count_unsettled() -> int:
    """Return how many attempts a run would ask about now."""
    return _unsettled(django_timezone.now()).count()


def _unsettled(now: datetime) -> QuerySet[PatientConnectionAttempt]:
    # Younger rows are still in the hands of the request that made them.
    in_hand = now - timedelta(seconds=conf.timeout)
    free = Q(claimed_until__isnull=True) | Q(claimed_until__lt=now)
    not_asked = Q(asked_at__isnull=True) | Q(asked_at__lt=now)
    return PatientConnectionAttempt.objects.filter(
        _UNSETTLED, free, not_asked, settled_at__isnull=True, created_at__lt=in_hand
    ).order_by(F("asked_at").asc(nulls_first=True), "id")


def _claim_attempts(limit: int) -> Generator[PatientConnectionAttempt, None, None]:
    """Yield attempts that this process alone may ask about, each once in a run.

    Those that were claimed and not taken are free again when it is closed.
    """
    began = django_timezone.now()
    claimed = 0
    while claimed < limit:
        batch = _claim_batch(_unsettled(began), min(_BATCH, limit - claimed))
        if not batch:
            return
        claimed += len(batch)
        try:
            while batch:
                yield batch.pop(0)
        finally:
            # Untouched otherwise: they keep their place in the next run's line.
            for each in batch:
                _release(each)


def _claim_batch(
    unsettled: QuerySet[PatientConnectionAttempt], size: int
) -> list[PatientConnectionAttempt]:
    database = router.db_for_write(PatientConnectionAttempt)
    unsettled = unsettled.using(database)
    if not connections[database].features.has_select_for_update_skip_locked:
        # Read first, write after: SQLite refuses a transaction that does it in one.
        return [each for each in unsettled[:size] if _claim(each, database)]
    with transaction.atomic(using=database):
        batch = list(unsettled.select_for_update(skip_locked=True)[:size])
        return [each for each in batch if _claim(each, database)]


def _claim(attempt: PatientConnectionAttempt, database: str) -> bool:
    until = django_timezone.now() + timedelta(seconds=conf.timeout * _BATCH)
    same = PatientConnectionAttempt.objects.using(database).filter(
        pk=attempt.pk, asked_at=attempt.asked_at, claimed_until=attempt.claimed_until
    )
    if not same.update(claimed_until=until):
        return False
    attempt.claimed_until = until
    return True


def _release(attempt: PatientConnectionAttempt, **changes: datetime) -> None:
    PatientConnectionAttempt.objects.filter(
        pk=attempt.pk, claimed_until=attempt.claimed_until
    ).update(claimed_until=None, **changes)


def _reconcile(attempt: PatientConnectionAttempt) -> bool:
    """Ask Medblocks and settle ``attempt``; whether its session was only now found.

    Raises ``MedblocksError`` when it cannot be asked.
    """
    session = _find_session(attempt)
    if session is None:
        _expire_if_lapsed(attempt)
        return False
    adopted = not attempt.patient_session_id
    if adopted:
        _adopt(attempt, session)
    settle(attempt, read_session(attempt, session, Source.MEDBLOCKS))
    if adopted:
        process_waiting_deliveries(attempt)
    return adopted


def _find_session(attempt: PatientConnectionAttempt) -> PatientSession | None:
    try:
        if attempt.patient_session_id:
            return get_client().patient_sessions.retrieve(attempt.patient_session_id)
        return _look_through_sessions(attempt)
    except NotFoundError:  # Medblocks knows no such session, or no such patient
        return None


def _look_through_sessions(attempt: PatientConnectionAttempt) -> PatientSession | None:
    sessions = get_client().patients.iterate_patient_sessions(attempt.patient_id)
    for session in islice(sessions, _MAX_SESSIONS_LOOKED_THROUGH):
        if session.metadata.get("attempt") == attempt.public_id:
            return session
    return None


def _adopt(attempt: PatientConnectionAttempt, session: PatientSession) -> None:
    settle(
        attempt,
        Evidence(
            Source.MEDBLOCKS,
            Kind.ADOPTED,
            Outcome(Rank.STARTED),
            request_id=session.request_id,
            facts={
                "patient_session_id": session.id,
                "expires_at": storable(session.expires_at),
            },
        ),
    )


def _expire_if_lapsed(attempt: PatientConnectionAttempt) -> None:
    lifetime = timedelta(seconds=conf.session_expires_in) + LAPSE
    if datetime.now(timezone.utc) > aware(attempt.created_at) + lifetime:
        settle(attempt, Evidence(Source.SITE, Kind.EXPIRED, Outcome(Rank.EXPIRED, settled=True)))


def _unfinished_deliveries() -> QuerySet[WebhookDelivery]:
    """Deliveries whose processing failed, or whose attempt has appeared since."""
    attempts = PatientConnectionAttempt.objects
    of_session = attempts.filter(patient_session_id=OuterRef("patient_session_id"))
    of_connection = attempts.exclude(patient_connection_id="").filter(
        patient_connection_id=OuterRef("patient_connection_id")
    )
    lately = django_timezone.now() - _WAIT_FOR_RECORDS
    waiting = Q(state=WebhookDelivery.State.RECEIVED) & (
        Exists(of_session)
        | Exists(of_connection)
        | ~Q(unsent_signals="")
        | Q(event_type__startswith="records.", received_at__gte=lately)
    )
    return WebhookDelivery.objects.filter(Q(state=WebhookDelivery.State.FAILED) | waiting).order_by(
        "tries", "id"
    )
