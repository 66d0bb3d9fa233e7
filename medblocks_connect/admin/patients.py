"""What staff see of a patient: every attempt there is, whatever came of it, and what holds now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from medblocks_connect.admin import columns
from medblocks_connect.admin.evidence import may_look
from medblocks_connect.admin.links import attempt_url, unquote_patient_id
from medblocks_connect.models import PatientConnectionAttempt

if TYPE_CHECKING:
    from medblocks_connect.admin.evidence import EvidenceAdmin

Status = PatientConnectionAttempt.Status

_MOST: Final = 1000
"""Attempts that a patient's page shows, the newest; nobody has a hundred."""


@dataclass(frozen=True)
class HistoryRow:
    """One attempt in a patient's history."""

    url: str
    when: datetime
    facility: SafeString
    status: SafeString
    error: SafeString
    description: SafeString
    took: str


def show_patient_page(
    model_admin: EvidenceAdmin, request: HttpRequest, quoted: str
) -> HttpResponse:
    """Show the whole history of the patient whose quoted id is in the address.

    Raises ``PermissionDenied`` without the view permission, ``Http404`` for a patient without an
    attempt.
    """
    if not may_look(request):
        raise PermissionDenied
    patient_id = unquote_patient_id(quoted)
    attempts = find_history(patient_id)
    if not attempts:
        raise Http404
    connected = latest_connections(attempts)
    context: dict[str, Any] = {
        **model_admin.admin_site.each_context(request),
        "title": _("Patient %s") % columns.shorten(patient_id, columns.SHORT),
        "opts": model_admin.opts,
        "media": model_admin.media,
        "patient_id": patient_id,
        "rows": [show_row(each) for each in attempts[:_MOST]],
        "is_cut": len(attempts) > _MOST,
        "holding": [show_row(each) for each in connected if each.lost_at is None],
        "lost": [show_row(each) for each in connected if each.lost_at is not None],
    }
    return TemplateResponse(request, "admin/medblocks_connect/patient.html", context)


def find_history(patient_id: str) -> list[PatientConnectionAttempt]:
    """Return the attempts of exactly this patient, newest first, one more than a page shows."""
    if not patient_id or "\0" in patient_id:
        return []
    found = PatientConnectionAttempt.objects.filter(patient_id=patient_id)
    newest = found.order_by("-created_at", "-id")[: _MOST + 1]
    # Compared here too: MySQL takes "ab " for "ab".
    return [each for each in newest if each.patient_id == patient_id]


def latest_connections(
    attempts: Iterable[PatientConnectionAttempt],
) -> list[PatientConnectionAttempt]:
    """Return, of ``attempts`` (newest first), the last that connected each facility."""
    latest: dict[str, PatientConnectionAttempt] = {}
    for attempt in attempts:
        if attempt.status == Status.SUCCEEDED:
            latest.setdefault(attempt.connection_id, attempt)
    return list(latest.values())


def show_row(attempt: PatientConnectionAttempt) -> HistoryRow:
    """Put one attempt as a line of the history."""
    return HistoryRow(
        url=attempt_url(attempt.pk),
        when=attempt.created_at,
        facility=columns.show_facility(attempt),
        status=columns.show_status(attempt),
        error=columns.show_error(attempt.error),
        description=columns.show_foreign(attempt.error_description, columns.LONG),
        took=columns.name_duration(columns.time_taken(attempt)),
    )
