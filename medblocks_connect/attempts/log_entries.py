"""Django's log of the admin: in what staff did with a patient, an HMAC takes the place of the id.

That somebody looked, and when, stays. The admin need not be installed.
"""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Final
from urllib.parse import quote_plus, unquote_plus

from django.apps import apps
from django.db import router
from django.db.models import QuerySet

from medblocks_connect.attempts.database_retry import retry_on_deadlock
from medblocks_connect.models import PatientConnectionAttempt

_PSEUDONYM: Final = "erased:"


def list_logged_patients() -> list[str]:
    """Return the ids of the patients whose pages the log says that somebody looked at."""
    entries = _find_entries("patienthistory")
    if entries is None:
        return []
    named = entries.order_by().values_list("object_repr", flat=True).distinct()
    return list(named.exclude(object_repr__startswith=_PSEUDONYM))


def hide_patient(patient_id: str, pseudonym: str) -> None:
    """Write ``pseudonym`` in place of the id into the log's entries about the patient.

    Not into those about an attempt that is there: another workspace's patient with the same id, or
    a new start of this one.
    """
    views, exports = _find_entries("patienthistory"), _find_entries("patientconnectionattempt")
    if views is None or exports is None:
        return
    for entry in list(views.filter(object_repr=patient_id)):
        # Compared again: MySQL takes "ab" for "AB".
        if entry.object_repr == patient_id and not _is_kept(entry.object_id):
            _update(views.filter(pk=entry.pk), object_repr=pseudonym)
    for entry in list(exports.filter(change_message__contains=quote_plus(patient_id))):
        message = _hide_in_filters(entry.change_message, patient_id, pseudonym)
        if message != entry.change_message:
            _update(exports.filter(pk=entry.pk), change_message=message)


def _hide_in_filters(message: str, patient_id: str, pseudonym: str) -> str:
    """Replace the id in the filters of an export, which end its message as a query string."""
    text, space, query = message.rpartition(" ")
    parts = []
    for part in query.split("&"):
        name, equals, quoted = part.partition("=")
        value = unquote_plus(quoted)
        if name == "q":  # where it may be one of several words
            pattern = rf"(?<!\w){re.escape(patient_id)}(?!\w)"
            hidden = re.sub(pattern, lambda _match: pseudonym, value)
        else:
            hidden = pseudonym if value == patient_id else value
        parts.append(part if hidden == value else f"{name}{equals}{quote_plus(hidden)}")
    return f"{text}{space}{'&'.join(parts)}"


def _is_kept(attempt_pk: str | None) -> bool:
    if attempt_pk is None or not attempt_pk.isdecimal():
        return False
    return PatientConnectionAttempt.objects.where_written().filter(pk=attempt_pk).exists()


def _find_entries(model: str) -> QuerySet[Any] | None:
    """Return the entries about our ``model``, where they are written; None without the admin."""
    if not apps.is_installed("django.contrib.admin"):
        return None
    entries: QuerySet[Any] = apps.get_model("admin", "LogEntry").objects.all()
    about = entries.using(router.db_for_write(entries.model))
    return about.filter(content_type__app_label="medblocks_connect", content_type__model=model)


def _update(entries: QuerySet[Any], **columns: str) -> None:
    retry_on_deadlock(partial(entries.update, **columns), entries.db)
