"""The admin's page that erases a patient: a question first, with all that goes, then the answer.

Its address names an attempt and not the patient; nor does anything that is left afterwards.
"""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from django.contrib import messages
from django.db import connections, transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _

from medblocks_connect.admin import formatting
from medblocks_connect.admin.audit_log import log_erasure
from medblocks_connect.admin.links import patient_url
from medblocks_connect.admin.read_only import VIEW_PERMISSION, require_permissions
from medblocks_connect.admin.workspaces import describe_other_workspace
from medblocks_connect.api import MedblocksError
from medblocks_connect.erasure import erase_patient, find_erasure, name_erased
from medblocks_connect.medblocks_client import get_client
from medblocks_connect.models import PatientConnection, PatientConnectionAttempt

if TYPE_CHECKING:
    from medblocks_connect.admin.read_only import ReadOnlyAdmin
    from medblocks_connect.error_reports import View

ERASE_PERMISSION: Final = "medblocks_connect.erase_patient"

_PSEUDONYM_SHOWN: Final = 19  # characters: the word before the HMAC, and 12 of it


def outside_transactions(view: View) -> View:
    """Return ``view`` without ``ATOMIC_REQUESTS``: the tombstone must stand whatever follows it."""
    for alias in connections:
        view = transaction.non_atomic_requests(using=alias)(view)
    return view


def show_erasure_page(model_admin: ReadOnlyAdmin, request: HttpRequest, pk: int) -> HttpResponse:
    """Ask whether to erase the patient whose attempt is ``pk``; by POST, erase them.

    Raises ``PermissionDenied`` without both permissions, ``Http404`` for no attempt, or one without
    a patient.
    """
    require_permissions(request, VIEW_PERMISSION, ERASE_PERMISSION)
    attempt = PatientConnectionAttempt.objects.filter(pk=pk, patient_id__gt="").first()
    if attempt is None:
        raise Http404
    attempts = PatientConnectionAttempt.objects.of_patient(attempt.patient_id)
    if not attempts.in_workspace().exists():
        messages.warning(request, describe_other_workspace(attempt.workspace))
        return HttpResponseRedirect(patient_url(pk))
    if request.method == "POST":
        return _erase(request, attempt)
    if request.method not in {"GET", "HEAD"}:
        return HttpResponse(status=HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": "GET, POST"})
    number = attempts.in_workspace().count()
    context: dict[str, Any] = {
        **model_admin.admin_site.each_context(request),
        "title": _("Erase patient %s") % formatting.shorten(attempt.patient_id, formatting.SHORT),
        "opts": model_admin.opts,
        "media": model_admin.media,
        "patient_id": attempt.patient_id,
        "patient_url": patient_url(pk),
        "attempts": number,
        "connections": PatientConnection.objects.of_patient(attempt.patient_id).count(),
        "has_others": attempts.count() > number,
    }
    return TemplateResponse(request, "admin/medblocks_connect/erase_patient.html", context)


def _erase(request: HttpRequest, attempt: PatientConnectionAttempt) -> HttpResponse:
    # First: whatever breaks, it is known who asked for it.
    log_erasure(request, name_erased(attempt.patient_id))
    try:
        done = erase_patient(attempt.patient_id, client=get_client())
    except MedblocksError as error:
        text = _(
            "Medblocks could not be told to delete the patient (%(code)s). Nothing was deleted "
            "here yet. It is tried again by itself, or erase the patient again now."
        )
        messages.error(request, text % {"code": error.code})
        return HttpResponseRedirect(patient_url(attempt.pk))
    text = _("The patient was erased, at Medblocks and here. The log calls them %(name)s…")
    messages.success(request, text % {"name": done.pseudonym[:_PSEUDONYM_SHOWN]})
    return HttpResponseRedirect(reverse("admin:medblocks_connect_patienthistory_changelist"))


def find_unfinished_erasure(patient_id: str) -> datetime | None:
    """Return since when the patient is being erased; None where nobody is to be, or it is done."""
    tombstone = find_erasure(patient_id)
    is_unfinished = tombstone is not None and tombstone.finished_at is None
    return tombstone.erased_at if tombstone and is_unfinished else None


def tell_of_erasure(request: HttpRequest, patient_ids: list[str]) -> None:
    """Say so where a patient with one of ``patient_ids`` was erased: no list has them any more."""
    for tombstone in filter(None, map(find_erasure, patient_ids)):
        if tombstone.finished_at is not None:
            when = formatting.format_time(tombstone.finished_at)
            text = _("A patient with this id was erased: %(when)s.")
            messages.info(request, text % {"when": when})
