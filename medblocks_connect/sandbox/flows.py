"""Flows: act in a session as the patient does, change a connection later, and record the event.

Each function is one action. A session for one facility is complete once the patient has decided
there. A hosted one, which names no facility, stays open whatever they decide, at as many
facilities as they like, until ``finish``. Once a session is over, all of these raise
``SessionClosed``.
"""

from datetime import datetime

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from medblocks_connect.sandbox import conf
from medblocks_connect.sandbox.fictional_records import MAX_RECORDS
from medblocks_connect.sandbox.models import (
    ConnectionStatus,
    SandboxConnection,
    SandboxEvent,
    SandboxSession,
    new_id,
)
from medblocks_connect.sandbox.serializers import serialize_connection, serialize_session
from medblocks_connect.sandbox.webhook_sender import record_event

SCOPES = ["openid", "fhirUser", "offline_access", "patient/*.read"]


class SessionClosed(Exception):  # noqa: N818 - a state, not an error of the caller
    """The session was complete or expired before this action."""


class ConnectionNotActive(Exception):  # noqa: N818 - a state, not an error of the caller
    """The connection has no access that could be lost or used."""


def approve(session: SandboxSession, facility_id: str = "") -> SandboxConnection:
    """Let the site read: a connection is active, and a session for one facility complete.

    ``facility_id`` is what the patient picked, where the session names no facility. Raises
    ``SessionClosed``, and ``ValueError`` where no facility is known.
    """
    return _record_outcome(session, facility_id, "")


def cancel(session: SandboxSession, facility_id: str = "") -> SandboxConnection:
    """Refuse: as ``fail`` with ``user_denied``."""
    return fail(session, "user_denied", facility_id)


def fail(session: SandboxSession, code: str, facility_id: str = "") -> SandboxConnection:
    """Add a connection that failed by ``code``. Completes and raises as ``approve``."""
    if not code:
        raise ValueError("a failure has a code")
    return _record_outcome(session, facility_id, code)


def finish(session: SandboxSession) -> None:
    """Press Done: complete the session with the connections it has. Raises ``SessionClosed``."""
    with transaction.atomic():
        _complete(session, timezone.now())
        _record_completed(session)


def let_expire(session: SandboxSession) -> None:
    """Make the session expire now. Raises ``SessionClosed``."""
    now = timezone.now()
    still_open = SandboxSession.objects.filter(pk=session.pk, completed_at=None, expires_at__gt=now)
    if not still_open.update(expires_at=now):
        raise SessionClosed
    session.expires_at = now


def lose_access(connection: SandboxConnection) -> SandboxEvent:
    """Let the hospital stop renewing the access. Raises ``ConnectionNotActive``."""
    now = timezone.now()
    with transaction.atomic():
        _update_active(connection, status=ConnectionStatus.REFRESH_FAILED, updated_at=now)
        return record_event("connection.token_refresh_failed", serialize_connection(connection))


def disconnect(connection: SandboxConnection) -> None:
    """End the access for good, at the patient's wish."""
    now = timezone.now()
    SandboxConnection.objects.filter(pk=connection.pk).update(
        status=ConnectionStatus.DISCONNECTED, updated_at=now
    )
    connection.refresh_from_db()


def sync_records(
    connection: SandboxConnection, *, ok: bool = True, total: int = 128
) -> SandboxEvent:
    """Let ``total`` records arrive and report it, or report that none could be fetched.

    Raises ``ConnectionNotActive``.
    """
    resource = {
        "resource_type": "records_sync",
        "patient_id": connection.patient_id,
        "connection_id": connection.connection_id,
    }
    with transaction.atomic():
        if not ok:
            _update_active(connection, status=ConnectionStatus.ACTIVE)
            message = {"error_message": "The hospital's server stopped answering."}
            return record_event("records.sync.failed", resource | message)
        _update_active(
            connection,
            records_total=min(total, MAX_RECORDS),
            records_synced_at=timezone.now(),
        )
        counts = {"total": total, "errors": 0, "duration_ms": 4_200}
        return record_event("records.sync.completed", resource | counts)


def _complete(session: SandboxSession, now: datetime) -> None:
    _update_open(session, now, completed_at=now)
    session.completed_at = now


def _update_open(session: SandboxSession, now: datetime, **changes: object) -> None:
    # The conditional UPDATE is the first statement of its transaction: of two clicks one wins,
    # and SQLite never has to turn a read lock into a write lock.
    still_open = SandboxSession.objects.filter(pk=session.pk, completed_at=None, expires_at__gt=now)
    if not still_open.update(**changes):
        raise SessionClosed


def _record_outcome(session: SandboxSession, facility_id: str, code: str) -> SandboxConnection:
    facility = session.connection_id or facility_id
    if not facility:
        raise ValueError("this session names no facility: say which one the patient picked")
    has_id = not code or conf.failed_connections_have_ids()
    now = timezone.now()
    with transaction.atomic():
        if session.is_hosted:
            _update_open(session, now, expires_at=F("expires_at"))  # nothing but the lock
        else:
            _complete(session, now)
        connection: SandboxConnection = SandboxConnection.objects.create(
            conn_id=new_id("conn") if has_id else None,
            session=session,
            patient_id=session.patient_id,
            connection_id=facility,
            status=ConnectionStatus.FAILED if code else ConnectionStatus.ACTIVE,
            failure_code=code,
            failure_at=now if code else None,
            scopes=[] if code else SCOPES,
            created_at=now,
            updated_at=now,
        )
        if not session.is_hosted:
            _record_completed(session)
    return connection


def _record_completed(session: SandboxSession) -> None:
    record_event("patient_session.completed", serialize_session(session))


def _update_active(connection: SandboxConnection, **changes: object) -> None:
    active = SandboxConnection.objects.filter(pk=connection.pk, status=ConnectionStatus.ACTIVE)
    if not active.update(**changes):
        raise ConnectionNotActive
    connection.refresh_from_db()
