"""Who did what with patients' data in the admin: an entry in Django's own log for each.

Health-privacy rules ask who looked; the setting ``LOG_PATIENT_VIEWS`` says whether looking is
kept, exports and questions to Medblocks always are.
"""

from __future__ import annotations

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.http import HttpRequest
from django.utils.translation import gettext as _

from medblocks_connect.conf import conf
from medblocks_connect.models import (
    PatientConnectionAttempt,
    PatientHistory,
    WebhookDelivery,
)

_FILTERS_MAX_LENGTH = 1000


def log_export(request: HttpRequest) -> None:
    """Note who exports the attempts, and with which filters."""
    filters = request.GET.urlencode()[:_FILTERS_MAX_LENGTH] or _("no filter")
    _note(request, PatientConnectionAttempt, "", _("CSV export"), _("Exported: %s") % filters)


def log_look(request: HttpRequest, newest: PatientConnectionAttempt) -> None:
    """Note who looks at the history of the patient of ``newest``, if the setting says so."""
    if conf.log_patient_views:
        words = _("Looked at the history, and changed nothing.")
        _note(request, PatientHistory, str(newest.pk), newest.patient_id, words)


def log_question(request: HttpRequest, attempt: PatientConnectionAttempt) -> None:
    """Note who had Medblocks asked about an attempt."""
    _note(
        request,
        PatientConnectionAttempt,
        str(attempt.pk),
        str(attempt),
        _("Asked Medblocks again."),
    )


def log_processing(request: HttpRequest, delivery: WebhookDelivery) -> None:
    """Note who had a delivery processed again."""
    _note(request, WebhookDelivery, str(delivery.pk), str(delivery), _("Processed again."))


def _note(
    request: HttpRequest, model: type[Model], object_id: str, words: str, message: str
) -> None:
    content_type = ContentType.objects.get_for_model(model, for_concrete_model=False)
    LogEntry.objects.create(
        user_id=str(request.user.pk),
        content_type_id=content_type.pk,
        object_id=object_id or None,
        object_repr=words[:200],
        action_flag=CHANGE,  # Django's log knows no "looked at"
        change_message=message,
    )
