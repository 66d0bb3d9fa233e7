"""The text about an attempt for Medblocks' support: ids, codes and times alone.

Neither the patient's id nor the actor's (which may be an e-mail address or a record number) nor any
free text, in which a portal may have put a name: text without the shape of a code is left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from medblocks_connect import __version__
from medblocks_connect.admin.deidentify import show_code, show_facility_id
from medblocks_connect.conf import conf
from medblocks_connect.models import AttemptEvent, PatientConnectionAttempt
from medblocks_connect.timezones import to_utc


def write_bundle(
    attempt: PatientConnectionAttempt, events: Iterable[AttemptEvent], events_left_out: int = 0
) -> str:
    """Return the bundle as plain text, in English: its readers are at Medblocks."""
    facts = [
        ("django-medblocks-connect", __version__),
        ("Medblocks API version", conf.api_version),
        ("attempt (metadata.attempt)", attempt.public_id),
        ("patient session", show_code(attempt.patient_session_id or "")),
        ("connection_id (facility)", show_facility_id(attempt.connection_id)),
        ("type", show_code(attempt.connection_type)),
        ("connection (conn_)", show_code(attempt.patient_connection_id)),
        ("connection status", show_code(attempt.connection_status)),
        ("status here", attempt.status),
        ("rests on the return URL alone", "yes" if attempt.unconfirmed else ""),
        ("claim and fact disagree", "yes" if attempt.claim_disagrees else ""),
        ("error", show_code(attempt.error)),
        ("error in the return URL", show_code(attempt.claimed_error)),
        ("request id", show_code(attempt.request_id)),
        *[(name, _time(getattr(attempt, field))) for name, field in _TIMES],
    ]
    lines = [f"{name}: {value}" for name, value in facts if value]
    heading = f"timeline ({events_left_out} events left out):" if events_left_out else "timeline:"
    return "\n".join([*lines, heading, *[_line(event) for event in events]])


_TIMES = (
    ("created", "created_at"),
    ("session expires", "expires_at"),
    ("came back", "returned_at"),
    ("failed at, says Medblocks", "failure_at"),
    ("finished", "finished_at"),
    ("access lost", "lost_at"),
)


def _line(event: AttemptEvent) -> str:
    codes = [event.error, event.connection_status, event.request_id]
    facts = [event.source, event.kind, *map(show_code, codes)]
    when = _time(event.occurred_at or event.created_at)
    return f"  {when} " + " ".join(filter(None, facts))


def _time(moment: datetime | None) -> str:
    return to_utc(moment).isoformat(timespec="seconds") if moment else ""
