"""A patient chooses a facility: the row first, then Medblocks, then the way to the portal.

The row is committed before Medblocks is asked, so that no attempt is lost to an error, a crash
or a refusal.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from django.db import IntegrityError, router, transaction
from django.http import HttpRequest
from django.urls import reverse

from medblocks_connect.api import (
    AuthenticationError,
    BillingError,
    FhirSource,
    MedblocksConnectionError,
    MedblocksError,
    NoAnswerError,
    NotFoundError,
    PatientSession,
    PermissionDeniedError,
    RateLimitError,
)
from medblocks_connect.attempts.deliver import process_waiting_deliveries
from medblocks_connect.attempts.outcome import Failure, Outcome, Rank
from medblocks_connect.attempts.settle import Evidence, Kind, Source, settle
from medblocks_connect.clock import storable
from medblocks_connect.conf import conf
from medblocks_connect.facilities import get_facility
from medblocks_connect.medblocks import get_client
from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.patients import Patient

UNSAFE_URL = "unsafe_url"
"""Our code for a session whose ``url`` no browser may be sent to."""

DUPLICATE_SESSION = "duplicate_session"
"""Our code for a session that Medblocks had already given for another attempt."""

_URL_MAX_LENGTH = 2048
# A share of the deadline: the name on the row is worth a wait, but not the patient's session.
_NAME_SHARE = 0.3


@dataclass(frozen=True)
class StartedAttempt:
    """An attempt whose patient can go to the portal at ``url`` (a secret: it is their session)."""

    attempt: PatientConnectionAttempt
    url: str = field(repr=False)


class StartRefusedError(Exception):
    """The attempt could not start; its row says why.

    ``status_code`` is the HTTP status for the patient's page.
    """

    def __init__(self, attempt: PatientConnectionAttempt, status_code: int) -> None:
        super().__init__(f"attempt {attempt.pk} did not start: {attempt.error or attempt.status}")
        self.attempt = attempt
        self.status_code = status_code


def start_attempt(
    patient: Patient, connection_id: str, return_url: str, *, recommended: Sequence[str] = ()
) -> StartedAttempt:
    """Start a patient session for ``patient`` at the facility ``connection_id``.

    With ``connection_id`` ``""`` the patient chooses at Medblocks' own page, which shows them the
    facilities ``recommended`` first. ``return_url`` is absolute. Raises
    :class:`StartRefusedError` when there is no session to go to, and what the database raises.
    """
    attempt = _record(patient, connection_id)
    deadline = time.monotonic() + conf.timeout
    try:
        facility = _look_up(connection_id) if connection_id else None
        _note_facility(attempt, facility)
        session = get_client().patient_sessions.create(
            patient_id=patient.patient_id,
            return_url=return_url,
            connection_id=connection_id,
            recommended_connection_ids=() if connection_id else recommended,
            patient_email=patient.email,
            patient_name=patient.name,
            expires_in=conf.session_expires_in,
            metadata={**patient.metadata, "attempt": attempt.public_id},
            timeout=max(deadline - time.monotonic(), 0.1),
        )
    except MedblocksError as error:
        refusal = error
    else:
        return _open(attempt, session)
    _settle_refusal(attempt, refusal)
    raise StartRefusedError(attempt, _status_code(refusal))


def build_return_url(request: HttpRequest) -> str:
    """Return where the portal sends the patient back to: the setting, else this request's host.

    The host is one of ``ALLOWED_HOSTS`` (Django refuses any other before this is reached).
    """
    return conf.return_url or request.build_absolute_uri(reverse("medblocks_connect:return"))


def is_safe_url(url: str) -> bool:
    """Whether a browser may be sent to ``url``: https, or http to this machine; nothing odd."""
    if not 0 < len(url) <= _URL_MAX_LENGTH or not url.isascii() or not url.isprintable():
        return False
    if any(each in url for each in ' \\"<>'):
        return False
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.password is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _record(patient: Patient, connection_id: str) -> PatientConnectionAttempt:
    database = router.db_for_write(PatientConnectionAttempt)
    attempt = PatientConnectionAttempt(patient_id=patient.patient_id, connection_id=connection_id)
    # durable: inside a caller's transaction the row would be gone with the caller's error.
    with transaction.atomic(using=database, durable=True):
        attempt.save(using=database)
    return attempt


def _look_up(connection_id: str) -> FhirSource | None:
    """Return the catalog's entry; None where Medblocks cannot say now, which stops nobody."""
    try:
        return get_facility(connection_id, timeout=conf.timeout * _NAME_SHARE)
    except NotFoundError:
        raise
    except MedblocksError:
        return None


def _note_facility(attempt: PatientConnectionAttempt, facility: FhirSource | None) -> None:
    evidence = Evidence(
        Source.SITE,
        Kind.CREATED,
        Outcome(Rank.CREATED),
        facts={
            "connection_name": facility.name if facility else "",
            "connection_type": facility.type if facility else "",
        },
    )
    settle(attempt, evidence)


def _open(attempt: PatientConnectionAttempt, session: PatientSession) -> StartedAttempt:
    started = Evidence(
        Source.MEDBLOCKS,
        Kind.STARTED,
        Outcome(Rank.STARTED),
        request_id=session.request_id,
        facts={
            "patient_session_id": session.id,
            "request_id": session.request_id,
            "expires_at": storable(session.expires_at),
        },
    )
    try:
        settle(attempt, started)
    except IntegrityError:
        return _share_session(attempt, session)
    if not is_safe_url(session.url):
        _settle_failure(attempt, Failure(UNSAFE_URL), session.request_id)
        raise StartRefusedError(attempt, 502)
    process_waiting_deliveries(attempt)
    return StartedAttempt(attempt, session.url)


def _share_session(attempt: PatientConnectionAttempt, session: PatientSession) -> StartedAttempt:
    """Medblocks gave a session that another row has: follow it only where that is this patient's.

    Anything else would put one patient into another's session.
    """
    attempt.refresh_from_db()
    _settle_failure(attempt, Failure(DUPLICATE_SESSION), session.request_id)
    holder = PatientConnectionAttempt.objects.get(patient_session_id=session.id)
    same = (holder.patient_id, holder.connection_id) == (attempt.patient_id, attempt.connection_id)
    if not same or not is_safe_url(session.url):
        raise StartRefusedError(attempt, 502)
    return StartedAttempt(holder, session.url)


def _settle_refusal(attempt: PatientConnectionAttempt, error: MedblocksError) -> None:
    if isinstance(error, NoAnswerError):
        # It was asked and may have opened a session: that is for reconciliation to find out.
        unknown = Evidence(Source.SITE, Kind.NO_ANSWER, Outcome(Rank.CREATED))
        settle(attempt, unknown)
    else:
        _settle_failure(attempt, Failure(error.code, error.message), error.request_id)


def _settle_failure(attempt: PatientConnectionAttempt, failure: Failure, request_id: str) -> None:
    refused = Evidence(
        Source.SITE if failure.error in _OUR_CODES else Source.MEDBLOCKS,
        Kind.REFUSED,
        Outcome(Rank.FAILED, failure=failure, settled=True),
        request_id=request_id,
        facts={"request_id": request_id},
    )
    settle(attempt, refused)


_OUR_CODES = {UNSAFE_URL, DUPLICATE_SESSION, MedblocksConnectionError.default_code}


def _status_code(error: MedblocksError) -> int:
    if isinstance(error, NotFoundError):
        return 404
    unavailable = (
        AuthenticationError,
        BillingError,
        PermissionDeniedError,
        RateLimitError,
        MedblocksConnectionError,
        NoAnswerError,
    )
    return 503 if isinstance(error, unavailable) else 502
