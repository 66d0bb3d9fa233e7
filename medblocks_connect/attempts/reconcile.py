"""Reconciliation: attempts without a confirmed outcome are asked about and settled, in batches.

Safe on several machines at once: each attempt is leased for a while before Medblocks is asked,
with ``SKIP LOCKED`` where the database has it, else with a conditional UPDATE.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import islice
from typing import Final

from django.db import IntegrityError, connections, router, transaction
from django.db.models import F, Q
from django.utils import timezone as django_timezone

from medblocks_connect.api import MedblocksError, NotFoundError, PatientSession
from medblocks_connect.api.clock import TimeLimit
from medblocks_connect.attempts.database_retry import retry_on_deadlock
from medblocks_connect.attempts.evidence import Evidence, Kind, Source
from medblocks_connect.attempts.outbox import send_due_signals
from medblocks_connect.attempts.outcome import CLOCK_TOLERANCE, Failure, Outcome, Rank, Status
from medblocks_connect.attempts.session_evidence import (
    end_of_session,
    get_name_columns,
    read_session,
)
from medblocks_connect.attempts.settle import settle
from medblocks_connect.attempts.start import DUPLICATE_SESSION
from medblocks_connect.attempts.webhook_deliveries import (
    process_waiting_deliveries,
    retry_deliveries,
    settle_with_waiting_deliveries,
)
from medblocks_connect.conf import conf
from medblocks_connect.medblocks_client import get_command_client
from medblocks_connect.models import PatientConnection, PatientConnectionAttempt
from medblocks_connect.models.attempt import AttemptQuerySet

logger = logging.getLogger("medblocks_connect.reconcile")

FAILURES_IN_A_ROW: Final = 3
"""After so many calls that Medblocks did not answer, the run ends: it is away."""

_BATCH: Final = 20
_MAX_SESSIONS_SEARCHED: Final = 500

_HOURLY_FROM_AGE: Final = timedelta(days=1)
"""How old an attempt is when it is asked about every hour, and no longer in every run."""

_HOURLY_INTERVAL: Final = timedelta(hours=1)

_NAMING_PERIOD: Final = timedelta(days=30)

_UNUSABLE_ANSWER_GRACE: Final = timedelta(days=1)
"""How long after a session's end Medblocks may answer oddly before its attempt has expired: an
answer that some proxy makes up for an hour must not decide."""

# A failure in a session that goes on is not the last word: the patient may try again there, and
# connect further facilities where they choose at Medblocks.
_UNSETTLED = (
    Q(status__in=[Status.CREATED, Status.STARTED, Status.RETURNED])
    | Q(unconfirmed=True)
    | Q(status=Status.FAILED, patient_session_id__isnull=False)
    | Q(status=Status.SUCCEEDED, is_hosted=True)
)


@dataclass
class Reconciliation:
    """The account of a run: the attempts by the status they ended in, and why it stopped."""

    statuses: Counter[str] = field(default_factory=Counter)
    adopted: int = 0
    unanswered: int = 0
    broken: int = 0  # attempts that could not be settled here
    deliveries: int = 0
    failed_deliveries: int = 0
    signals: int = 0
    failed_signals: int = 0
    stopped: str = ""  # "" when it came to its end

    @property
    def asked(self) -> int:
        """The number of attempts that Medblocks was asked about."""
        return self.statuses.total() + self.unanswered + self.broken

    @property
    def is_finished(self) -> bool:
        """Return whether nothing of it has to be done again."""
        return not (self.unanswered or self.broken or self.failed_deliveries or self.failed_signals)


def reconcile_attempts(
    *,
    limit: int,
    max_seconds: float | None = None,
    on_progress: Callable[[Reconciliation], None] = lambda _done: None,
) -> Reconciliation:
    """Settle up to ``limit`` attempts that have no confirmed outcome; as many deliveries, signals.

    After ``max_seconds`` nothing new is begun. Raises what the database raises where not even a
    failure can be noted.
    """
    done, time_limit = Reconciliation(), TimeLimit(max_seconds)
    done.deliveries, done.failed_deliveries = retry_deliveries(limit, time_limit)
    with closing(_lease_attempts(limit)) as attempts:
        _reconcile_all(attempts, done, time_limit, on_progress)
    if not done.stopped:
        _name_facilities()
    # Last: what the run itself settled may be left to it (DEFER_SIGNALS).
    done.signals, done.failed_signals = send_due_signals(limit, time_limit)
    return done


def _reconcile_all(
    attempts: Iterator[PatientConnectionAttempt],
    done: Reconciliation,
    time_limit: TimeLimit,
    on_progress: Callable[[Reconciliation], None],
) -> None:
    away = 0
    if time_limit.is_over():  # before any is leased
        done.stopped = "time"
        return
    for attempt in attempts:
        away_before, away = away, 0
        try:
            done.adopted += _reconcile_attempt(attempt)
            done.statuses[attempt.status] += 1
        except MedblocksError as error:
            done.unanswered += 1
            away = away_before + 1 if error.is_unavailable else 0
            done.stopped = choose_stop(error, away)
        except Exception as error:  # noqa: BLE001 - one that breaks must not stop those after it
            # The error's kind and not its text, which may hold anything.
            logger.error("Attempt %s was not settled: %s", attempt.pk, type(error).__name__)
            done.broken += 1
        finally:
            _end_lease(attempt, asked_at=django_timezone.now())
        on_progress(done)
        if time_limit.is_over():
            done.stopped = done.stopped or "time"
        if done.stopped:
            break


def choose_stop(error: MedblocksError, away: int = FAILURES_IN_A_ROW) -> str:
    """Return why a run ends after ``error``, ``""`` where it goes on.

    ``away`` are the calls in a row that Medblocks did not answer.
    """
    if error.is_rate_limited:
        return "rate_limited"
    if error.is_key_refused:
        return "refused"
    return "away" if away >= FAILURES_IN_A_ROW else ""


def count_unsettled() -> int:
    """Return how many attempts a run would ask about now."""
    return _unsettled(django_timezone.now()).count()


def _unsettled(now: datetime) -> AttemptQuerySet:
    # Younger rows are still in the hands of the request that made them.
    in_hand = now - timedelta(seconds=conf.timeout)
    free = Q(leased_until__isnull=True) | Q(leased_until__lt=now)
    not_asked = Q(asked_at__isnull=True) | Q(asked_at__lt=now)
    due = Q(created_at__gt=now - _HOURLY_FROM_AGE) | Q(asked_at__isnull=True)
    due |= Q(asked_at__lt=now - _HOURLY_INTERVAL)
    return (
        PatientConnectionAttempt.objects.in_workspace()
        .filter(_UNSETTLED, free, not_asked, due, settled_at__isnull=True, created_at__lt=in_hand)
        .order_by(F("asked_at").asc(nulls_first=True), "id")
    )


def _lease_attempts(limit: int) -> Generator[PatientConnectionAttempt, None, None]:
    """Yield attempts that this process alone may ask about, each once in a run.

    Those that were leased and not taken are free again when it is closed.
    """
    began = django_timezone.now()
    database = router.db_for_write(PatientConnectionAttempt)
    leased = 0
    while leased < limit:
        unsettled = _unsettled(began).where_written()[: min(_BATCH, limit - leased)]
        batch: list[PatientConnectionAttempt] = []
        try:
            retry_on_deadlock(partial(_lease_batch, unsettled, batch, database), database)
            if not batch:
                return
            leased += len(batch)
            while batch:
                yield batch.pop(0)
        finally:
            # Untouched otherwise: they keep their place in the next run's line.
            for attempt in batch:
                _end_lease(attempt)


def _lease_batch(
    unsettled: AttemptQuerySet, batch: list[PatientConnectionAttempt], database: str
) -> None:
    """Lease the attempts of ``unsettled``, and put each that was free into ``batch``."""
    batch.clear()  # a deadlock's victim has none of them
    if not connections[database].features.has_select_for_update_skip_locked:
        # Read first, write after: SQLite refuses a transaction that does it in one.
        batch.extend(attempt for attempt in list(unsettled) if _lease_attempt(attempt))
        return
    with transaction.atomic(using=database):
        free = list(unsettled.select_for_update(skip_locked=True))
        batch.extend(attempt for attempt in free if _lease_attempt(attempt))


def _lease_attempt(attempt: PatientConnectionAttempt) -> bool:
    until = django_timezone.now() + timedelta(seconds=conf.timeout * _BATCH)
    same = PatientConnectionAttempt.objects.where_written().filter(
        pk=attempt.pk, asked_at=attempt.asked_at, leased_until=attempt.leased_until
    )
    if not same.update(leased_until=until):
        return False
    attempt.leased_until = until
    return True


def _end_lease(attempt: PatientConnectionAttempt, **changes: datetime) -> None:
    database = router.db_for_write(PatientConnectionAttempt)
    ours = PatientConnectionAttempt.objects.where_written().filter(
        pk=attempt.pk, leased_until=attempt.leased_until
    )
    retry_on_deadlock(partial(ours.update, leased_until=None, **changes), database)


def _reconcile_attempt(attempt: PatientConnectionAttempt) -> bool:
    """Ask Medblocks and settle ``attempt``; whether its session was only now found.

    Raises ``MedblocksError`` when it cannot be asked, or answers oddly and may yet do better.
    """
    try:
        session = _find_session(attempt)
        if session is None:
            _expire_if_past(attempt, CLOCK_TOLERANCE)
            return False
        adopted = not attempt.patient_session_id
        if adopted and not _adopt_session(attempt, session):
            return False
        evidence = read_session(attempt, session, Source.MEDBLOCKS, client=get_command_client())
        settle_with_waiting_deliveries(attempt, evidence)
    except MedblocksError as error:
        # Neither a bad moment nor a bad key says anything of this attempt's session.
        says_nothing = error.is_temporary or error.is_key_refused
        if says_nothing or not _expire_if_past(attempt, _UNUSABLE_ANSWER_GRACE, error.code):
            raise
        return False
    if adopted:
        process_waiting_deliveries(attempt)
    return adopted


def _find_session(attempt: PatientConnectionAttempt) -> PatientSession | None:
    try:
        if attempt.patient_session_id:
            return get_command_client().patient_sessions.retrieve(attempt.patient_session_id)
        return _search_sessions(attempt)
    except NotFoundError:  # Medblocks knows no such session, or no such patient
        return None


def _search_sessions(attempt: PatientConnectionAttempt) -> PatientSession | None:
    sessions = get_command_client().patients.iterate_patient_sessions(attempt.patient_id)
    for session in islice(sessions, _MAX_SESSIONS_SEARCHED):
        if session.metadata.get("attempt") == attempt.public_id:
            return session
    return None


def _adopt_session(attempt: PatientConnectionAttempt, session: PatientSession) -> bool:
    """Make ``session`` the attempt's own; whether no other attempt has it."""
    adopted = Evidence(
        Source.MEDBLOCKS,
        Kind.ADOPTED,
        Outcome(Rank.STARTED),
        request_id=session.request_id,
        facts={"patient_session_id": session.id},
    )
    try:
        settle(attempt, adopted)
    except IntegrityError:
        refused = Outcome(Rank.FAILED, failure=Failure(DUPLICATE_SESSION), settled=True)
        settle(
            attempt,
            Evidence(Source.SITE, Kind.REFUSED, refused, request_id=session.request_id),
        )
        return False
    return True


def _expire_if_past(attempt: PatientConnectionAttempt, grace: timedelta, error: str = "") -> bool:
    if datetime.now(timezone.utc) <= end_of_session(attempt) + grace:
        return False
    expired = Outcome(Rank.EXPIRED, settled=True)
    settle(attempt, Evidence(Source.SITE, Kind.EXPIRED, expired, error=error))
    return True


def _name_facilities() -> None:
    """Name the facilities of attempts that a webhook settled: it has no time to ask."""
    nameless = (
        PatientConnectionAttempt.objects.in_workspace()
        .filter(
            status=Status.SUCCEEDED,
            created_at__gt=django_timezone.now() - _NAMING_PERIOD,
            connection_name="",
            asked_at__isnull=True,
            settled_at__isnull=False,
        )
        .exclude(connection_id="")
    )
    for attempt in nameless[:_BATCH]:
        try:
            columns = get_name_columns(attempt.connection_id, get_command_client())
        except MedblocksError as error:
            if error.is_temporary or error.is_key_refused:
                return
            columns = {}  # and not asked for again: nobody can tell it
        PatientConnectionAttempt.objects.filter(pk=attempt.pk).update(
            **columns, asked_at=django_timezone.now()
        )
        if columns:
            connections = PatientConnection.objects.of_patient(attempt.patient_id)
            connections.filter(place_id=attempt.place_id, connection_name="").update(**columns)
