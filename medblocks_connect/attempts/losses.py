"""Losses: what the end of a link means for the attempt that connected its place. Writes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.db import router
from django.db.models import QuerySet

from medblocks_connect.attempts.connection_state import ACTIVE
from medblocks_connect.attempts.evidence import Evidence
from medblocks_connect.attempts.outcome import CLOCK_TOLERANCE, Outcome
from medblocks_connect.models import ConnectionLink, PatientConnection, PatientConnectionAttempt


def tell_loss(link: ConnectionLink, evidence: Evidence) -> Evidence:
    """Return ``evidence`` that ``link`` is lost as the attempt of its connection is to hear it.

    Of a further place it decides nothing: that is a line on the timeline. Neither does it where
    another link, made in the same session, still holds the attempt's own place.
    """
    row, attempt, lost = link.connection, link.connection.attempt, evidence.outcome.connection
    if attempt is None or lost is None or _is_decisive(link, attempt):
        return evidence
    return replace(evidence, outcome=Outcome(), connection_status=lost.status, **name_line(row))


def name_line(row: PatientConnection) -> dict[str, Any]:
    """Return what tells a line about ``row`` from those about other places of its attempt."""
    return {"place_id": row.place_id, "facility": row.facility}


def is_further(row: PatientConnection, attempt: PatientConnectionAttempt) -> bool:
    """Return whether ``attempt``, which connected ``row``, connected another place first."""
    return attempt.place_id != row.place_id


def _is_decisive(link: ConnectionLink, attempt: PatientConnectionAttempt) -> bool:
    row = link.connection
    if is_further(row, attempt) or not attempt.is_hosted:
        return attempt.patient_connection_id == link.patient_connection_id
    return not _list_others_made_with(link, attempt).filter(status=ACTIVE).exists()


def _list_others_made_with(
    link: ConnectionLink, attempt: PatientConnectionAttempt
) -> QuerySet[ConnectionLink]:
    """Return the links to the place of ``link`` that the session of ``attempt`` made besides.

    Which session made a link is not kept: these are of its time, and no other attempt's own.
    """
    database = router.db_for_write(ConnectionLink)
    others = ConnectionLink.objects.using(database).filter(
        connection=link.connection, since__gte=attempt.created_at - CLOCK_TOLERANCE
    )
    if attempt.settled_at is not None:
        others = others.filter(since__lte=attempt.settled_at + CLOCK_TOLERANCE)
    attempts = PatientConnectionAttempt.objects.using(database)
    other_attempts = attempts.of_patient(attempt.patient_id).exclude(pk=attempt.pk)
    their_own = other_attempts.values("patient_connection_id")
    return others.exclude(pk=link.pk).exclude(patient_connection_id__in=their_own)
