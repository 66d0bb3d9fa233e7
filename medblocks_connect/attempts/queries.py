"""What counts as a later success: the same patient, the same facility, in the order of time."""

from __future__ import annotations

from django.db.models import OuterRef, Q, QuerySet, Value
from django.db.models.functions import Coalesce

from medblocks_connect.models import PatientConnectionAttempt


def find_later_successes() -> QuerySet[PatientConnectionAttempt]:
    """Return what ``Exists`` asks about an attempt: the successes that came after it there."""
    # No column's equality but the patient's: SQLite would enter by the index on another one, which
    # has thousands of rows where the patient's has a handful.
    place, state = Coalesce("connection_id", Value("")), Coalesce("status", Value(""))
    return PatientConnectionAttempt.objects.alias(place=place, state=state).filter(
        Q(created_at__gt=OuterRef("created_at")) | Q(pk__gt=OuterRef("pk")),
        patient_id=OuterRef("patient_id"),
        created_at__gte=OuterRef("created_at"),
        place=OuterRef("connection_id"),
        state=PatientConnectionAttempt.Status.SUCCEEDED,
    )
