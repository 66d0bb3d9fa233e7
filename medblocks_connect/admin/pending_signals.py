"""Signals that were not sent yet, as staff read them on an attempt's and a delivery's page."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from medblocks_connect.admin import formatting
from medblocks_connect.attempts.outbox import MAX_TRIES
from medblocks_connect.models import PendingSignal

_AT_MOST = 20


@dataclass(frozen=True)
class PendingEntry:
    """One signal as staff read it."""

    name: SafeString
    tries: int
    why: SafeString
    next_try: SafeString


def list_pending_signals(signals: QuerySet[PendingSignal]) -> list[PendingEntry]:
    """Return the first of ``signals``, the oldest before the others."""
    return [_describe(signal) for signal in signals.order_by("id")[:_AT_MOST]]


def _describe(signal: PendingSignal) -> PendingEntry:
    is_due = signal.due_at <= timezone.now()
    if signal.failure:
        why = formatting.show_external_text(signal.failure)
    else:
        why = format_html("{}", _("Waits to be sent.") if is_due else _("Is being sent."))
    if signal.tries >= MAX_TRIES:
        next_try = _("Not by itself any more")
    else:
        next_try = _("With the next run") if is_due else formatting.format_time(signal.due_at)
    return PendingEntry(
        name=formatting.show_dotted(signal.name),
        tries=signal.tries,
        why=why,
        next_try=format_html("{}", next_try),
    )
