"""Verification: asking Medblocks about an attempt, how often at most, and settling the answer."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from django.db import InternalError, OperationalError
from django.db.models import Q
from django.utils import timezone

from medblocks_connect.api import MedblocksError
from medblocks_connect.attempts.action_counts import RETURN, count_action
from medblocks_connect.attempts.evidence import Source
from medblocks_connect.attempts.session_evidence import read_session
from medblocks_connect.attempts.webhook_deliveries import settle_with_waiting_deliveries
from medblocks_connect.medblocks_client import get_client
from medblocks_connect.models import PatientConnectionAttempt

VERIFICATION_INTERVAL = timedelta(seconds=3)
"""How long patients' pages leave Medblocks alone between two questions about one attempt."""


def can_ask_about(attempt: PatientConnectionAttempt) -> bool:
    """Return whether ``attempt`` has a session, and one that the API key in force now can read."""
    return bool(attempt.patient_session_id) and attempt.is_in_workspace


def verify_attempt(attempt: PatientConnectionAttempt) -> MedblocksError | None:
    """Ask Medblocks about ``attempt`` and settle what it says; return what kept it from telling.

    Never raises for Medblocks' sake: an attempt that cannot be confirmed now stays as it is, for
    the next question, the webhook or ``medblocks_reconcile``.
    """
    if not can_ask_about(attempt):
        return None
    if attempt.settled_at is None:
        # Only for the pages that wait: losing this note to a lock costs one more question.
        with suppress(OperationalError):
            now = timezone.now()
            PatientConnectionAttempt.objects.filter(pk=attempt.pk).update(asked_at=now)
    return _verify_now(attempt)


def _verify_now(attempt: PatientConnectionAttempt) -> MedblocksError | None:
    try:
        session = get_client().patient_sessions.retrieve(attempt.patient_session_id)
        evidence = read_session(attempt, session, Source.MEDBLOCKS)
    except MedblocksError as error:
        return error
    settle_with_waiting_deliveries(attempt, evidence)
    return None


def verify_if_due(attempt: PatientConnectionAttempt) -> None:
    """Ask as :func:`verify_attempt` does, unless somebody just did, or the patient's pages have
    asked too often: then it is for the next reload, the webhook or ``medblocks_reconcile``.
    """
    now = timezone.now()
    latest = now - VERIFICATION_INTERVAL
    if not can_ask_about(attempt) or (attempt.asked_at and attempt.asked_at >= latest):
        return
    long_enough = Q(asked_at__isnull=True) | Q(asked_at__lt=latest)
    free = PatientConnectionAttempt.objects.filter(long_enough, pk=attempt.pk)
    # A page that only looks must not break over a lock, or where nothing can be written: it looks
    # again. PostgreSQL has an InternalError for the latter.
    with suppress(InternalError, OperationalError):
        if count_action(attempt.patient_id, RETURN):
            return
        # The UPDATE decides: of several pages that wait for one attempt, one asks.
        if free.update(asked_at=now):
            _verify_now(attempt)
