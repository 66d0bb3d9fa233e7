"""What the patient does at the portal, and what becomes of a connection later.

Each function is one deed. The first to end a session wins: everybody after gets ``SessionOver``.
"""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from medblocks_connect.sandbox.models import (
    ConnectionStatus,
    SandboxConnection,
    SandboxEvent,
    SandboxSession,
    new_id,
)
from medblocks_connect.sandbox.serializers import show_connection, show_session
from medblocks_connect.sandbox.webhook_sender import record_event

SCOPES = ["openid", "fhirUser", "offline_access", "patient/*.read"]
LOST_ACCESS = "token_unavailable"


class SessionOver(Exception):  # noqa: N818 - a state, not a mistake of anybody
    """The session was complete or expired before this deed."""


class NotActive(Exception):  # noqa: N818 - a state, not a mistake of anybody
    """The connection has no access that could be lost or used."""


def approve(session: SandboxSession, facility_id: str = "") -> SandboxConnection:
    """Let the site read: the session is complete, the connection active.

    ``facility_id`` is what the patient picked, where the session names no facility. Raises
    ``SessionOver``, and ``ValueError`` where no facility is known.
    """
    return _end_with_connection(session, facility_id, "")


def cancel(session: SandboxSession, facility_id: str = "") -> SandboxConnection:
    """Refuse: the session is complete with a connection failed by ``user_denied``."""
    return fail(session, "user_denied", facility_id)


def fail(session: SandboxSession, code: str, facility_id: str = "") -> SandboxConnection:
    """Complete the session with a connection failed by ``code``. Raises as ``approve``."""
    if not code:
        raise ValueError("a failure has a code")
    return _end_with_connection(session, facility_id, code)


def finish(session: SandboxSession) -> None:
    """Complete the session without any connection. Raises ``SessionOver``."""
    with transaction.atomic():
        _end(session, timezone.now())
        _tell_completed(session)


def let_expire(session: SandboxSession) -> None:
    """Make the session expire now. Raises ``SessionOver``."""
    now = timezone.now()
    still_open = SandboxSession.objects.filter(pk=session.pk, completed_at=None, expires_at__gt=now)
    if not still_open.update(expires_at=now):
        raise SessionOver
    session.expires_at = now


def lose_access(connection: SandboxConnection) -> SandboxEvent:
    """Let the hospital stop renewing the access. Raises ``NotActive``."""
    now = timezone.now()
    with transaction.atomic():
        _change_active(
            connection,
            status=ConnectionStatus.REFRESH_FAILED,
            failure_code=LOST_ACCESS,
            failure_at=now,
            updated_at=now,
        )
        return record_event("connection.token_refresh_failed", show_connection(connection))


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
    """Report that ``total`` records were fetched, or that none could be. Raises ``NotActive``."""
    if connection.status != ConnectionStatus.ACTIVE:
        raise NotActive
    about = {
        "resource_type": "records_sync",
        "patient_id": connection.patient_id,
        "connection_id": connection.connection_id,
    }
    if ok:
        counts = {"total": total, "errors": 0, "duration_ms": 4_200}
        return record_event("records.sync.completed", about | counts)
    message = {"error_message": "The hospital's server stopped answering."}
    return record_event("records.sync.failed", about | message)


def _end(session: SandboxSession, now: datetime) -> None:
    # The conditional UPDATE is the first statement of its transaction: of two clicks one wins,
    # and SQLite never has to turn a read lock into a write lock.
    still_open = SandboxSession.objects.filter(pk=session.pk, completed_at=None, expires_at__gt=now)
    if not still_open.update(completed_at=now):
        raise SessionOver
    session.completed_at = now


def _end_with_connection(session: SandboxSession, facility_id: str, code: str) -> SandboxConnection:
    facility = session.connection_id or facility_id
    if not facility:
        raise ValueError("this session names no facility: say which one the patient picked")
    now = timezone.now()
    with transaction.atomic():
        _end(session, now)
        connection: SandboxConnection = SandboxConnection.objects.create(
            conn_id=None if code else new_id("conn"),
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
        _tell_completed(session)
    return connection


def _tell_completed(session: SandboxSession) -> None:
    record_event("patient_session.completed", show_session(session))


def _change_active(connection: SandboxConnection, **changes: object) -> None:
    active = SandboxConnection.objects.filter(pk=connection.pk, status=ConnectionStatus.ACTIVE)
    if not active.update(**changes):
        raise NotActive
    connection.refresh_from_db()
