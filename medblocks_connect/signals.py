"""What a host can listen to. Each is sent once per change, after the change is committed.

Every signal has ``sender=PatientConnectionAttempt`` and ``attempt=<the attempt>``.
"""

from __future__ import annotations

from django.dispatch import Signal

attempt_started = Signal()
"""Medblocks has opened a patient session; the browser is on its way to the portal."""

attempt_succeeded = Signal()
"""Medblocks confirmed that the facility is connected. Records may still be on their way."""

attempt_failed = Signal()
"""It did not work: ``attempt.error`` says why, ``attempt.unconfirmed`` who says so."""

attempt_expired = Signal()
"""The patient never finished, and the session is over."""

connection_lost = Signal()
"""Access that this attempt had won is gone; the patient can connect again."""

records_synced = Signal()
"""Medblocks has fetched records; also given ``total`` and ``errors``, each an int or None."""

records_sync_failed = Signal()
"""Medblocks could not fetch records over this connection."""
