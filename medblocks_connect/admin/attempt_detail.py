"""The content of an attempt's page, in this order: summary, evidence, what to do, every field."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.contrib import messages
from django.db.models import Count, Q, Window
from django.db.models.functions import Left
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from medblocks_connect.admin import formatting
from medblocks_connect.admin.attempt_summary import LaterAttempts, summarize
from medblocks_connect.admin.audit_log import log_medblocks_asked
from medblocks_connect.admin.links import attempt_url, delivery_url, patient_url
from medblocks_connect.admin.pending_signals import list_pending_signals
from medblocks_connect.admin.support_bundle import write_bundle
from medblocks_connect.admin.workspaces import describe_other_workspace
from medblocks_connect.api import MedblocksError, NotFoundError
from medblocks_connect.attempts.queries import find_standing, has_never_left, was_ended_here
from medblocks_connect.attempts.verification import can_ask_about, verify_attempt
from medblocks_connect.error_messages import describe_error
from medblocks_connect.models import AttemptEvent, PatientConnectionAttempt

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise

ASK_PERMISSION: Final = "medblocks_connect.ask_medblocks"


def _fieldset(title: StrPromise, names: str) -> tuple[StrPromise, Any]:
    return title, {"fields": tuple(names.split())}


FIELDSETS: Final[Any] = (
    _fieldset(
        gettext_lazy("Outcome"),
        "patient_id whole_actor connection_name connection_id record_system status is_unconfirmed "
        "has_disagreement error whole_description",
    ),
    _fieldset(
        gettext_lazy("What the return URL said"),
        "was_claimed claimed_error whole_claim claim_count another_patient_at",
    ),
    _fieldset(
        gettext_lazy("At Medblocks"),
        "workspace public_id patient_session_id request_id patient_connection_id connection_status",
    ),
    _fieldset(
        gettext_lazy("Times"),
        "created_at expires_at returned_at failure_at finished_at lost_at asked_at answered_at "
        "settled_at",
    ),
)
"""An attempt's page, field by field."""

_NEWEST_EVENTS: Final = 200
_FIRST_EVENTS: Final = 20
"""Of how many events a timeline is made, from both its ends; an attempt has about five."""

_AT_ONCE: Final = timedelta(minutes=1)

_DELIVERIES: Final = 20


@dataclass(frozen=True)
class TimelineEntry:
    """One event as staff read it."""

    when: datetime
    recorded_at: datetime | None  # where it was recorded later than it happened
    source: str
    what: str
    actor: SafeString
    status: SafeString
    error: SafeString
    description: SafeString
    request_id: SafeString


def describe_attempt(request: HttpRequest, attempt: PatientConnectionAttempt) -> dict[str, Any]:
    """Return what the template of an attempt's page needs beside Django's own."""
    events, events_left_out = read_events(attempt)
    may_ask = can_ask_about(attempt) and request.user.has_perm(ASK_PERMISSION)
    return {
        "attempt": attempt,
        "status_badge": formatting.show_status(attempt),
        "summary": summarize(
            attempt,
            find_later_attempts(attempt),
            timezone.now(),
            standing=find_standing(attempt),
            was_disconnected=was_ended_here(attempt),
            never_left=has_never_left(attempt),
        ),
        "timeline": [show_event(event) for event in events],
        "events_left_out": events_left_out,
        "deliveries": [
            (delivery_url(delivery.pk), delivery)
            for delivery in attempt.deliveries.all()[:_DELIVERIES]
        ],
        "pending_signals": list_pending_signals(attempt.pending_signals.all()),
        "bundle": write_bundle(attempt, events, events_left_out),
        "patient_url": patient_url(attempt.pk) if attempt.patient_id else "",
        "may_ask": may_ask,
    }


def read_events(attempt: PatientConnectionAttempt) -> tuple[list[Any], int]:
    """Return the newest events and the very first, by time, and how many between are left out.

    The database shortens descriptions to what is shown.
    """
    words = Left("error_description", formatting.LONG + 1)
    described: Any = attempt.events.defer("error_description").annotate(words=words)
    newest = list(described.order_by("-id")[:_NEWEST_EVENTS])
    first: list[Any] = []
    left_out = 0
    if len(newest) == _NEWEST_EVENTS:
        older = described.filter(pk__lt=newest[-1].pk).annotate(number=Window(Count("pk")))
        first = list(older.order_by("id")[:_FIRST_EVENTS])
        left_out = first[0].number - len(first) if first else 0
    return sorted([*first, *newest], key=lambda event: (event_time(event), event.pk)), left_out


def find_later_attempts(attempt: PatientConnectionAttempt) -> LaterAttempts:
    """Return the same patient's later attempts, counted; one query however many."""
    later = PatientConnectionAttempt.objects.filter(
        # Made in the same moment: the id says which was later.
        Q(created_at__gt=attempt.created_at) | Q(pk__gt=attempt.pk),
        patient_id=attempt.patient_id,
        created_at__gte=attempt.created_at,
    )
    described = "error_description", "claimed_error_description"
    counted: Any = later.defer(*described).annotate(count=Window(Count("pk")))
    last = counted.order_by("-created_at", "-id").first()
    return LaterAttempts(last.count, last) if last else LaterAttempts()


def event_time(event: AttemptEvent) -> datetime:
    """Return the time that the timeline shows for ``event``."""
    return event.occurred_at or event.created_at


def show_event(event: Any) -> TimelineEntry:
    """Return the timeline's entry for an event of :func:`read_events`."""
    when = event_time(event)
    description = event.words or event.detail
    is_refusal = event.kind == AttemptEvent.Kind.REFUSED
    return TimelineEntry(
        when=when,
        recorded_at=event.created_at if event.created_at - when > _AT_ONCE else None,
        source=event.get_source_display(),
        what=event.get_kind_display(),
        actor=formatting.show_actor(event.actor),
        status=formatting.show_badge(
            event.get_status_display(),
            formatting.choose_tone(event.status, event.error, at_start=is_refusal),
        ),
        error=formatting.show_error(event.error, at_start=is_refusal),
        description=formatting.show_external_text(description, formatting.LONG),
        request_id=formatting.show_copyable(event.request_id),
    )


def ask_again(request: HttpRequest, pk: int) -> HttpResponseRedirect:
    """Ask Medblocks about the attempt ``pk`` now, settle its answer, and show the page again.

    Raises ``Http404`` for no such attempt.
    """
    attempt = get_object_or_404(PatientConnectionAttempt, pk=pk)
    if not attempt.is_in_workspace:
        messages.warning(request, describe_other_workspace(attempt.workspace))
    elif attempt.patient_session_id:
        before = _outcome(attempt)
        error = verify_attempt(attempt)
        log_medblocks_asked(request, attempt)
        attempt.refresh_from_db()
        _report_answer(request, attempt, error, is_new=before != _outcome(attempt))
    else:
        messages.warning(request, _("It has no session at Medblocks to ask about."))
    return HttpResponseRedirect(attempt_url(attempt.pk))


def _outcome(attempt: PatientConnectionAttempt) -> tuple[object, ...]:
    return (
        attempt.status,
        attempt.error,
        attempt.unconfirmed,
        attempt.claim_disagrees,
        attempt.connection_status,
        attempt.lost_at,
    )


def _report_answer(
    request: HttpRequest,
    attempt: PatientConnectionAttempt,
    error: MedblocksError | None,
    *,
    is_new: bool,
) -> None:
    status = attempt.get_status_display()
    facts = {"status": f"{status} ({attempt.error})" if attempt.error else status}
    if error is not None and error.is_unanswered:
        messages.warning(request, _("Medblocks did not answer. Nothing was changed."))
    elif isinstance(error, NotFoundError):
        messages.warning(request, _("Medblocks knows no such session. Nothing was changed."))
    elif error is not None:
        refusal = {"code": error.code, "meaning": describe_error(error.code).meaning}
        text = _("Medblocks did not tell, but said %(code)s: %(meaning)s Nothing was changed.")
        messages.warning(request, text % refusal)
    elif is_new:
        messages.success(request, _("Medblocks says: %(status)s.") % facts)
    else:
        messages.info(request, _("Medblocks says nothing new: %(status)s.") % facts)
