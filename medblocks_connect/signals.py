"""Signals that a host can listen to, sent after each change is committed.

Every signal has ``sender=PatientConnectionAttempt`` and ``attempt=<the attempt>``; who started it,
where that was not the patient, is ``attempt.actor``. ``webhooks_stopped`` is about no attempt, and
there it is None. Each change sends one, at least once: it comes again where a receiver raised or
the process died, so a receiver may be called twice for a change.

A session at Medblocks' own page may connect several places. The attempt is the same for all of
them, and its facility is the first: what comes later of another is told with that attempt too.
``PatientConnection.objects.filter(attempt=attempt)`` has the state of each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django import dispatch

logger = logging.getLogger("medblocks_connect.signals")


class Signal(dispatch.Signal):
    """A signal whose receivers' errors are logged by their kind alone.

    Django logs an error's text and its traceback, which may hold a patient's data.
    """

    def _log_robust_failure(self, receiver: Callable[..., Any], err: Exception) -> None:
        name = getattr(receiver, "__qualname__", type(receiver).__qualname__)
        logger.error("A receiver raised %s: %s", type(err).__name__, name)


attempt_started = Signal()
"""Medblocks has opened a patient session; the browser is on its way to the portal."""

attempt_succeeded = Signal()
"""Medblocks confirmed that the facility is connected. Records may still be on their way."""

attempt_failed = Signal()
"""It did not work, says Medblocks: ``attempt.error`` says why.

Never for a return URL's claim alone, which may be wrong. Where the session ended and Medblocks
said nothing else, the claim stands, and ``attempt.unconfirmed`` is true. ``attempt_succeeded``
may still follow: a patient can try again in the same session.
"""

attempt_expired = Signal()
"""The patient never finished, and the session is over."""

connection_lost = Signal()
"""Access that this attempt had won is gone; the patient can connect again.

Sent for each place of a session that connected several. Of several attempts that share the
connection, the newest is named. Also given ``actor``: who
disconnected it here for the patient, ``""`` where it was the patient or any other cause.
"""

records_synced = Signal()
"""Medblocks has fetched records; also given ``total`` and ``errors``, each an int or None."""

records_sync_failed = Signal()
"""Medblocks could not fetch records over this connection."""

webhooks_stopped = Signal()
"""Medblocks sends this site no webhooks any more; ``attempt`` is None.

Also given ``status``, which is ``"disabled"`` or ``"missing"`` and says how the endpoint is, and
``since``, a time as a text in ISO 8601. Sent once for each stop.
"""
