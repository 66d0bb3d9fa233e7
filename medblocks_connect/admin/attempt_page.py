"""What an attempt's page tells: the timeline, with who said what and when; then every field."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from medblocks_connect.admin import columns
from medblocks_connect.admin.links import patient_url
from medblocks_connect.models import AttemptEvent, PatientConnectionAttempt

FIELDSETS: Final[Any] = (
    (
        None,
        {
            "fields": (
                "patient_id",
                "connection_name",
                "connection_id",
                "connection_type",
                "status",
                "unconfirmed",
                "claim_disagrees",
                "error",
                "error_description",
            )
        },
    ),
    (
        _("What the return URL said"),
        {"fields": ("claimed_success", "claimed_error", "claimed_error_description")},
    ),
    (
        _("At Medblocks"),
        {
            "fields": (
                "patient_session_id",
                "request_id",
                "patient_connection_id",
                "connection_status",
            )
        },
    ),
    (
        _("Times"),
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


def describe_attempt(attempt: PatientConnectionAttempt) -> dict[str, Any]:
    """Return what the template of an attempt's page needs beside Django's own."""
    return {
        "attempt": attempt,
        "patient_url": patient_url(attempt.patient_id),
        "timeline": [show_event(each) for each in attempt.events.order_by("id")[:_EVENTS]],
    }


def show_event(event: AttemptEvent) -> TimelineEntry:
    """Put one piece of evidence as staff read it."""
    when = event.occurred_at or event.created_at
    tone = columns.TONES.get(PatientConnectionAttempt.Status(event.status), "quiet")
    description = event.error_description or event.detail
    return TimelineEntry(
        when=when,
        recorded_at=event.created_at if when != event.created_at else None,
        source=event.get_source_display(),
        what=event.get_kind_display(),
        status=columns.show_badge(event.get_status_display(), tone),
        error=columns.show_error(event.error),
        description=columns.show_foreign(description, columns.LONG),
        request_id=columns.show_copyable(event.request_id),
    )
