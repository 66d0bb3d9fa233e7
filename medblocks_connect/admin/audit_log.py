"""Entries in Django's own log for what staff do with patients' data in the admin.

Health-privacy rules ask who looked; the setting ``LOG_PATIENT_VIEWS`` decides whether looking is
kept; exports, questions to Medblocks and erasures always are.
"""

from __future__ import annotations

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.http import HttpRequest
from django.utils.translation import gettext as _

from medblocks_connect.conf import conf
from medblocks_connect.models import (
    OperationRun,
    PatientConnectionAttempt,
    PatientHistory,
    WebhookDelivery,
)

_FILTERS_MAX_LENGTH = 1000


def log_export(request: HttpRequest) -> None:
    """Log who exports the attempts, and with which filters."""
    filters = request.GET.urlencode()[:_FILTERS_MAX_LENGTH] or _("no filter")
    _log(request, PatientConnectionAttempt, "", _("CSV export"), _("Exported: %s") % filters)


def log_patient_view(request: HttpRequest, newest: PatientConnectionAttempt) -> None:
    """Log who looks at the history of the patient of ``newest``, if the setting is on."""
    if conf.log_patient_views:
        message = _("Looked at the history, and changed nothing.")
        _log(request, PatientHistory, str(newest.pk), newest.patient_id, message)


def log_medblocks_asked(request: HttpRequest, attempt: PatientConnectionAttempt) -> None:
    """Log who had Medblocks asked about an attempt."""
    _log(
        request,
        PatientConnectionAttempt,
        str(attempt.pk),
        str(attempt),
        _("Asked Medblocks again."),
    )


def log_processing(request: HttpRequest, delivery: WebhookDelivery) -> None:
    """Log who had a delivery processed again."""
    _log(request, WebhookDelivery, str(delivery.pk), str(delivery), _("Processed again."))


def log_erasure(request: HttpRequest, pseudonym: str) -> None:
    """Log who had a patient erased, who is called ``pseudonym`` from now on."""
    _log(request, PatientHistory, "", pseudonym, _("Asked for the patient to be erased."))


def log_endpoint_enabled(request: HttpRequest, endpoint_id: str) -> None:
    """Log who had the webhook endpoint enabled."""
    _log(request, OperationRun, "", endpoint_id, _("Had the webhook endpoint enabled."))


def _log(request: HttpRequest, model: type[Model], object_id: str, name: str, message: str) -> None:
    content_type = ContentType.objects.get_for_model(model, for_concrete_model=False)
    LogEntry.objects.create(
        user_id=str(request.user.pk),
        content_type_id=content_type.pk,
        object_id=object_id or None,
        object_repr=name[:200],
        action_flag=CHANGE,  # Django's log knows no "looked at"
        change_message=message,
    )
