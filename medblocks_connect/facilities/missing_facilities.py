"""Missing facilities, counted for the host: the words looked for, and nothing of who typed them."""

from __future__ import annotations

from typing import Final

from django.db import IntegrityError, router, transaction
from django.db.models import F
from django.utils import timezone

from medblocks_connect.api.text import clean_text
from medblocks_connect.conf import conf
from medblocks_connect.facilities.matching.normalization import fold
from medblocks_connect.models import FacilityRequest, MissingFacility, filter_workspace
from medblocks_connect.models.facility import FOLDED_MAX_LENGTH
from medblocks_connect.patients import Patient

TEXT_MAX_LENGTH: Final = 100
NOTE_MAX_LENGTH: Final = 1000

_MOST_KEPT: Final = 20_000  # texts of a workspace; whoever types on at random fills no disk


def count_search(text: str) -> None:
    """Count a search for ``text`` that found nothing."""
    _count(text, "searches")


def request_facility(patient: Patient, text: str, note: str = "") -> bool:
    """Keep that a patient misses a facility; return whether its name is kept.

    It is not where ``text`` says nothing, and where so many others are kept that it is only
    counted. The note and the patient's id are kept only where the host's settings ask for them.
    """
    missing = _count(text, "requests")
    if missing is None or missing.is_beyond_limit:
        return False
    kept_note = clean_text(note, NOTE_MAX_LENGTH) if conf.request_notes else ""
    patient_id = patient.patient_id if conf.requests_name_patient else ""
    if kept_note or patient_id:
        FacilityRequest.objects.create(missing=missing, note=kept_note, patient_id=patient_id)
    return True


def _fold(text: str) -> str:
    return fold(clean_text(text, TEXT_MAX_LENGTH))[:FOLDED_MAX_LENGTH]


def _count(text: str, column: str) -> MissingFacility | None:
    """Add one to ``column`` of the row for ``text``, or of that for all beyond the limit.

    Return the row; None where ``text`` says nothing.
    """
    folded = _fold(text)
    if not folded:
        return None
    row = _count_in_row(folded, column)
    if row is not None:
        return row
    if filter_workspace(MissingFacility.objects.all()).count() < _MOST_KEPT:
        return _insert_row(folded, clean_text(text, TEXT_MAX_LENGTH), column)
    return _count_in_row("", column) or _insert_row("", "", column)


def _count_in_row(folded: str, column: str) -> MissingFacility | None:
    rows = filter_workspace(MissingFacility.objects.filter(folded=folded))
    # The UPDATE first: a transaction that reads and then writes fails on SQLite under load.
    is_there = rows.update(**{column: F(column) + 1, "last_at": timezone.now()})
    return rows.first() if is_there else None


def _insert_row(folded: str, text: str, column: str) -> MissingFacility | None:
    try:
        with transaction.atomic(using=router.db_for_write(MissingFacility)):
            return MissingFacility.objects.create(text=text, folded=folded, **{column: 1})
    except IntegrityError:  # somebody else was first
        return _count_in_row(folded, column)
