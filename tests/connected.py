"""What settling keeps of a success, for attempts that a test makes as bare rows."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

from django.db import transaction

from medblocks_connect.attempts.connection_rows import record_places
from medblocks_connect.attempts.connection_state import LinkState, tell_link
from medblocks_connect.attempts.evidence import PlaceEvidence
from medblocks_connect.attempts.outcome import LOST_STATUSES
from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.timezones import to_utc


def create_attempt(**columns) -> PatientConnectionAttempt:
    """Make an attempt, and the connection that it came to where it is a success."""
    attempt = PatientConnectionAttempt.objects.create(**columns)
    attempt.refresh_from_db()  # times that were given as text
    return record_connection(attempt)


def record_connection(
    attempt: PatientConnectionAttempt, *, is_ended_here: bool = False, actor: str = ""
) -> PatientConnectionAttempt:
    """Keep what settling would have kept of the place that ``attempt`` connected."""
    if attempt.status == "succeeded":
        places = [
            PlaceEvidence(
                attempt.place_id,
                {attempt.patient_connection_id: told},
                connection_id=attempt.connection_id,
                connection_name=attempt.connection_name,
                connection_type=attempt.connection_type,
                actor=actor,
            )
            for told in _tell(attempt, is_ended_here=is_ended_here)
        ]
        # In the attempt's own workspace, be it in force or not.
        with (
            mock.patch(
                "medblocks_connect.attempts.connection_rows.find_workspace",
                return_value=attempt.workspace,
            ),
            mock.patch(
                "medblocks_connect.models.workspace.find_workspace", return_value=attempt.workspace
            ),
        ):
            for place in places:
                with transaction.atomic():
                    record_places(attempt.patient_id, [place], attempt, "default")
    return attempt


def _tell(attempt: PatientConnectionAttempt, *, is_ended_here: bool) -> Iterator[LinkState]:
    made_at = to_utc(attempt.created_at)
    yield tell_link("active", made_at, since=to_utc(attempt.finished_at or attempt.created_at))
    if attempt.lost_at is not None:
        lost_at = to_utc(attempt.lost_at)
        told = attempt.connection_status
        status = told if told in LOST_STATUSES else "expired"
        yield tell_link(
            "disconnected" if is_ended_here else status,
            max(lost_at, made_at),
            lost_at=lost_at,
            is_ended_here=is_ended_here,
        )
