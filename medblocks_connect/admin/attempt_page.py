"""What an attempt's page tells, in this order: the story, the evidence, what to do, every field."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib import messages
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from medblocks_connect.admin import columns
from medblocks_connect.admin.bundle import write_bundle
from medblocks_connect.admin.evidence import VIEW_PERMISSION, demand
from medblocks_connect.admin.links import attempt_url, delivery_url, patient_url
from medblocks_connect.admin.log import log_question
from medblocks_connect.admin.story import tell_story
from medblocks_connect.attempts.confirm import confirm_attempt
from medblocks_connect.models import AttemptEvent, PatientConnectionAttempt

ASK_PERMISSION: Final = "medblocks_connect.ask_medblocks"

FIELDSETS: Final[Any] = (
    (
        gettext_lazy("Outcome"),
        {
            "fields": (
                "patient_id",
                "connection_name",
                "connection_id",
                "record_system",
                "status",
                "unconfirmed",
                "claim_disagrees",
                "error",
                "whole_description",
            )
        },
    ),
    (
        gettext_lazy("What the return URL said"),
        {"fields": ("claimed_success", "claimed_error", "whole_claim")},
    ),
    (
        gettext_lazy("At Medblocks"),
        {
            "fields": (
                "public_id",
                "patient_session_id",
                "request_id",
                "patient_connection_id",
                "connection_status",
            )
        },
    ),
    (
        gettext_lazy("Times"),
        {
            "fields": (
                "created_at",
                "expires_at",
                "returned_at",
                "failure_at",
                "finished_at",
                "lost_at",
                "asked_at",
                "answered_at",
                "settled_at",
            )
        },
    ),
)

_EVENTS: Final = 200
"""Events that a timeline shows; an attempt has about five."""

_AT_ONCE: Final = timedelta(minutes=1)

_LATER: Final = 20
"""Later attempts of the same patient that the story looks at."""


@dataclass(frozen=True)
class TimelineEntry:
    """One piece of evidence as staff read it."""

    when: datetime
    recorded_at: datetime | None  # where it was told later than it happened
    source: str
    what: str
    status: SafeString
    error: SafeString
    description: SafeString
    request_id: SafeString


def describe_attempt(request: HttpRequest, attempt: PatientConnectionAttempt) -> dict[str, Any]:
    """Return what the template of an attempt's page needs beside Django's own."""
    events = list(attempt.events.order_by("id")[:_EVENTS])
    may_ask = bool(attempt.patient_session_id) and request.user.has_perm(ASK_PERMISSION)
    return {
        "attempt": attempt,
        "badge": columns.show_status(attempt),
        "story": tell_story(attempt, find_later(attempt), timezone.now()),
        "timeline": [show_event(each) for each in events],
        "deliveries": [(delivery_url(each.pk), each) for each in attempt.deliveries.all()[:_LATER]],
        "bundle": write_bundle(attempt, events),
        "patient_url": patient_url(attempt.patient_id),
        "may_ask": may_ask,
    }


def find_later(attempt: PatientConnectionAttempt) -> list[PatientConnectionAttempt]:
    """Return the newest of the same patient's later attempts, newest first."""
    later = PatientConnectionAttempt.objects.filter(
        patient_id=attempt.patient_id, created_at__gte=attempt.created_at
    ).exclude(pk=attempt.pk)
    newest = later.defer("error_description", "claimed_error_description")
    newest = newest.order_by("-created_at", "-id")[:_LATER]
    # Made in the same moment: the id says which was later. MySQL takes "ab " for "ab".
    return [
        each
        for each in newest
        if each.patient_id == attempt.patient_id
        and (each.created_at, each.pk) > (attempt.created_at, attempt.pk)
    ]


def show_event(event: AttemptEvent) -> TimelineEntry:
    """Put one piece of evidence as staff read it."""
    when = event.occurred_at or event.created_at
    description = event.error_description or event.detail
    return TimelineEntry(
        when=when,
        recorded_at=event.created_at if event.created_at - when > _AT_ONCE else None,
        source=event.get_source_display(),
        what=event.get_kind_display(),
        status=columns.show_badge(
            event.get_status_display(), columns.TONES.get(event.status, "quiet")
        ),
        error=columns.show_error(event.error),
        description=columns.show_foreign(description, columns.LONG),
        request_id=columns.show_copyable(event.request_id),
    )


def ask_again(request: HttpRequest, pk: int) -> HttpResponseRedirect:
    """Ask Medblocks about the attempt ``pk`` now, settle what it says, and show the page anew.

    Raises ``PermissionDenied`` without the permission to ask, ``Http404`` for no such attempt.
    """
    demand(request, VIEW_PERMISSION, ASK_PERMISSION)
    attempt = get_object_or_404(PatientConnectionAttempt, pk=pk)
    before = attempt.status, attempt.lost_at
    answered = confirm_attempt(attempt)
    log_question(request, attempt)
    words = {"status": attempt.get_status_display()}
    if not answered:
        messages.warning(request, _("Medblocks did not answer. Nothing was changed."))
    elif before == (attempt.status, attempt.lost_at):
        messages.info(request, _("Medblocks says nothing new: %(status)s.") % words)
    else:
        messages.success(request, _("Medblocks says: %(status)s.") % words)
    return HttpResponseRedirect(attempt_url(attempt.pk))
