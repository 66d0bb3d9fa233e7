"""Starting an attempt: the row first, then Medblocks, then the way to the portal.

The row is committed before Medblocks is asked, so that no attempt is lost to an error, a crash
or a refusal.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import Error as AnyDatabaseError
from django.db import IntegrityError, router, transaction

from medblocks_connect.api import (
    FhirSource,
    InvalidRequestError,
    MedblocksBusyError,
    MedblocksClient,
    MedblocksConnectionError,
    MedblocksError,
    NoAnswerError,
    NotFoundError,
    PatientSession,
    clean_text,
)
from medblocks_connect.api.validation import MAX_LABEL_LENGTH
from medblocks_connect.attempts.evidence import Evidence, Kind, Source
from medblocks_connect.attempts.outcome import Failure, Outcome, Rank
from medblocks_connect.attempts.place_ids import adopt_place_id
from medblocks_connect.attempts.session_evidence import read_place
from medblocks_connect.attempts.settle import settle
from medblocks_connect.attempts.webhook_deliveries import process_waiting_deliveries
from medblocks_connect.conf import conf
from medblocks_connect.facilities.lookup import get_facility
from medblocks_connect.medblocks_client import get_client
from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.patients import Patient
from medblocks_connect.timezones import to_stored_time
from medblocks_connect.url_safety import is_safe_redirect

UNSAFE_URL = "unsafe_url"
"""Our code for a session whose ``url`` no browser may be sent to."""

DUPLICATE_SESSION = "duplicate_session"
"""Our code for a session that Medblocks had already given for another attempt."""

SITE_ERROR = "site_error"
"""Our code for an attempt that an error of this site's own ended."""

# A share of the deadline: the name on the row is worth a wait, but not the patient's session.
_NAME_SHARE = 0.3
# The API page names no limit: this is what is kept of any name that Medblocks tells.
_NAME_MAX_LENGTH = 255
_EMAIL_MAX_LENGTH = 320  # RFC 3696, errata 1003: no address is longer


@dataclass(frozen=True)
class StartedAttempt:
    """An attempt whose patient can go to the portal at ``url`` (a secret: it is their session)."""

    attempt: PatientConnectionAttempt
    url: str = field(repr=False)


class StartRefusedError(Exception):
    """The attempt could not start; its row says why.

    ``status_code`` is the HTTP status for a caller that is not led to the attempt's page.
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
    :class:`StartRefusedError` when there is no session to go to, ``ImproperlyConfigured`` before
    there is a row, and what the database raises.
    """
    client = get_client()
    attempt = _insert_attempt(patient, connection_id)
    try:
        return _start_at_medblocks(client, attempt, patient, return_url, recommended)
    except (StartRefusedError, AnyDatabaseError):
        raise
    except Exception:
        # Nobody was given the way to a session: this one is over, whatever it was that broke.
        with suppress(AnyDatabaseError):
            _settle_failure(attempt, Failure(SITE_ERROR), "")
        raise


def _start_at_medblocks(
    client: MedblocksClient,
    attempt: PatientConnectionAttempt,
    patient: Patient,
    return_url: str,
    recommended: Sequence[str],
) -> StartedAttempt:
    deadline = time.monotonic() + conf.timeout
    connection_id = attempt.connection_id
    try:
        facility = _look_up_facility(connection_id) if connection_id else None
        _settle_created(attempt, facility)
        if facility is not None:
            adopt_place_id(patient.patient_id, facility)
        parameters = {
            "patient_id": patient.patient_id,
            "return_url": return_url,
            "connection_id": connection_id,
            "recommended_connection_ids": () if connection_id else recommended,
            "return_button_label": "" if connection_id else _read_label(),
            "expires_in": conf.session_expires_in,
            "metadata": {**patient.metadata, "attempt": attempt.public_id},
        }
        session = _create_session(client, parameters, _read_demographics(patient), deadline)
    except MedblocksError as error:
        refusal = error
    else:
        return _settle_started(attempt, session)
    _settle_refusal(attempt, refusal)
    raise StartRefusedError(attempt, _status_code(refusal))


def _read_label() -> str:
    """Return the name for the hosted page's button, made valid: no translation is too long."""
    return clean_text(conf.return_button_label, MAX_LABEL_LENGTH)


def _read_demographics(patient: Patient) -> dict[str, Any]:
    """Return the name and email, made valid: a slip in them must keep nobody from connecting."""
    demographics = {"patient_name": clean_text(patient.name, _NAME_MAX_LENGTH)}
    email = clean_text(patient.email, _EMAIL_MAX_LENGTH)
    with suppress(ValidationError):
        validate_email(email)
        demographics["patient_email"] = email
    return demographics


def _create_session(
    client: MedblocksClient,
    parameters: dict[str, Any],
    demographics: dict[str, Any],
    deadline: float,
) -> PatientSession:
    """Ask for a session, and once more without the demographics where these are refused."""
    create = partial(client.patient_sessions.create, **parameters)
    try:
        return create(**demographics, timeout=_seconds_left(deadline))
    except InvalidRequestError as error:
        if not demographics.get(error.param or ""):
            raise
    return create(timeout=_seconds_left(deadline))


def _seconds_left(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.1)


def _insert_attempt(patient: Patient, connection_id: str) -> PatientConnectionAttempt:
    database = router.db_for_write(PatientConnectionAttempt)
    attempt = PatientConnectionAttempt(
        patient_id=patient.patient_id,
        actor=patient.actor,
        connection_id=connection_id,
        is_hosted=not connection_id,
    )
    # durable: inside a caller's transaction the row would be gone with the caller's error.
    with transaction.atomic(using=database, durable=True):
        attempt.save(using=database)
    return attempt


def _look_up_facility(connection_id: str) -> FhirSource | None:
    """Return the catalog's entry; None where Medblocks cannot say now, which stops nobody."""
    try:
        return get_facility(connection_id, timeout=conf.timeout * _NAME_SHARE)
    except NotFoundError:
        raise
    except MedblocksError:
        return None


def _settle_created(attempt: PatientConnectionAttempt, facility: FhirSource | None) -> None:
    evidence = Evidence(
        Source.SITE,
        Kind.CREATED,
        Outcome(Rank.CREATED),
        actor=attempt.actor,
        facts={
            "connection_name": facility.name if facility else "",
            "connection_type": facility.type if facility else "",
            "place_id": facility.id if facility else "",
        },
    )
    settle(attempt, evidence)


def _settle_started(attempt: PatientConnectionAttempt, session: PatientSession) -> StartedAttempt:
    started = Evidence(
        Source.MEDBLOCKS,
        Kind.STARTED,
        Outcome(Rank.STARTED),
        request_id=session.request_id,
        actor=attempt.actor,
        facts={
            "patient_session_id": session.id,
            "request_id": session.request_id,
            "expires_at": to_stored_time(session.expires_at),
            **read_place(attempt, session),
        },
    )
    try:
        settle(attempt, started)
    except IntegrityError:
        return _follow_session(attempt, session)
    if not is_safe_redirect(session.url):
        _settle_failure(attempt, Failure(UNSAFE_URL), session.request_id)
        raise StartRefusedError(attempt, 502)
    process_waiting_deliveries(attempt)
    return StartedAttempt(attempt, session.url)


def _follow_session(attempt: PatientConnectionAttempt, session: PatientSession) -> StartedAttempt:
    """Medblocks gave a session that another row has: follow it only where that is this patient's.

    Anything else would put one patient into another's session.
    """
    _settle_failure(attempt, Failure(DUPLICATE_SESSION), session.request_id)
    attempts = PatientConnectionAttempt.objects.where_written()
    holder = attempts.get(patient_session_id=session.id)
    same = (holder.patient_id, holder.connection_id) == (attempt.patient_id, attempt.connection_id)
    if not same or not is_safe_redirect(session.url):
        raise StartRefusedError(attempt, 502)
    return StartedAttempt(holder, session.url)


def _settle_refusal(attempt: PatientConnectionAttempt, error: MedblocksError) -> None:
    if isinstance(error, NoAnswerError):
        # It was asked and may have opened a session: that is for reconciliation to find out.
        unknown = Evidence(Source.SITE, Kind.NO_ANSWER, Outcome(Rank.CREATED), actor=attempt.actor)
        settle(attempt, unknown)
    else:
        _settle_failure(attempt, Failure(error.code, error.message), error.request_id)


def _settle_failure(attempt: PatientConnectionAttempt, failure: Failure, request_id: str) -> None:
    refused = Evidence(
        Source.SITE if failure.error in _OUR_CODES else Source.MEDBLOCKS,
        Kind.REFUSED,
        Outcome(Rank.FAILED, failure=failure, settled=True),
        request_id=request_id,
        actor=attempt.actor,
        facts={"request_id": request_id},
    )
    settle(attempt, refused)


_UNAVAILABLE = {
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.PAYMENT_REQUIRED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.TOO_MANY_REQUESTS,
}
_OUR_CODES = {
    UNSAFE_URL,
    DUPLICATE_SESSION,
    SITE_ERROR,
    MedblocksConnectionError.default_code,
    MedblocksBusyError.default_code,
}


def _status_code(error: MedblocksError) -> int:
    """Return the HTTP status for a host's front end: Medblocks' own decides where it answered."""
    if error.status_code == HTTPStatus.NOT_FOUND:
        return HTTPStatus.NOT_FOUND
    if error.is_unanswered or error.status_code in _UNAVAILABLE:
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.BAD_GATEWAY
