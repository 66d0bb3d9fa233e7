"""The calls about patient sessions: a patient's visits to Medblocks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import urlsplit

from medblocks_connect.api.errors import UnexpectedReplyError, without_frames
from medblocks_connect.api.json_fields import MAX_ID_LENGTH
from medblocks_connect.api.parameters import check_ids, dump_body, iterate_texts
from medblocks_connect.api.resources import PatientSession, expect_id
from medblocks_connect.api.text import clean_text
from medblocks_connect.api.transport import Call, Transport
from medblocks_connect.api.validation import MAX_LABEL_LENGTH, is_token

_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")  # only what can be none is refused
_PRIVATE: Final = ("patient_id", "patient_email", "patient_name", "return_url", "metadata")
_EXPIRY_SECONDS: Final = range(60, 86401)


class PatientSessions:
    """A patient's visits to Medblocks."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @without_frames
    def create(
        self,
        *,
        patient_id: str,
        return_url: str,
        connection_id: str | None = None,
        recommended_connection_ids: Sequence[str] | None = None,
        patient_email: str = "",
        patient_name: str = "",
        return_button_label: str = "",
        expires_in: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> PatientSession:
        """Open a session and return it; send the browser to its ``url``, and show that to nobody.

        ``expires_in`` is in seconds. Never sent twice unless the first try cannot have arrived or
        was answered with an error that says to try again: the API has no idempotency key.
        """
        parameters = {
            "patient_id": patient_id,
            "return_url": return_url,
            "connection_id": connection_id,
            "recommended_connection_ids": recommended_connection_ids,
            "patient_email": patient_email,
            "patient_name": patient_name,
            "return_button_label": return_button_label,
            "expires_in": expires_in,
            "metadata": metadata,
        }
        call = Call(
            "POST",
            "/patient-sessions",
            body=_build_session_body(parameters),
            private=tuple(iterate_texts([parameters[name] for name in _PRIVATE])),
            timeout=timeout,
        )
        return self._call(call, lambda payload: _read_created(payload, patient_id))

    @without_frames
    def retrieve(self, patient_session_id: str, *, timeout: float | None = None) -> PatientSession:
        """Return one session as Medblocks has it now."""
        call = Call(
            "GET",
            "/patient-sessions/{patient_session_id}",
            ids={"patient_session_id": patient_session_id},
            timeout=timeout,
        )
        return self._call(call, expect_id(PatientSession.from_json, patient_session_id, "session"))

    def _call(self, call: Call, read: Callable[[object], PatientSession]) -> PatientSession:
        session, request_id = self._transport.call_for_request_id(call, read)
        return replace(session, request_id=request_id)


def _read_created(payload: object, patient_id: str) -> PatientSession:
    session = PatientSession.from_json(payload)
    if session.patient_id != patient_id:
        raise UnexpectedReplyError("The session is another patient's.")
    if not session.url:
        raise UnexpectedReplyError("The session's url is missing.")
    return session


def _build_session_body(parameters: dict[str, Any]) -> bytes:
    """Return the JSON of ``parameters``; raises ``ValueError`` for what Medblocks cannot take."""
    patient_id, label, expires_in = (
        parameters[name] for name in ("patient_id", "return_button_label", "expires_in")
    )
    # An id that is not stored alike everywhere could not be recognised in the answer.
    if not patient_id or clean_text(patient_id, MAX_ID_LENGTH) != patient_id:
        raise ValueError("patient_id must be a non-empty text without control characters.")
    if not _is_absolute(parameters["return_url"]):
        raise ValueError("return_url must be an absolute URL.")
    if parameters["patient_email"] and not _EMAIL.fullmatch(parameters["patient_email"]):
        raise ValueError("patient_email must be an e-mail address.")
    if parameters["connection_id"] and parameters["recommended_connection_ids"]:
        raise ValueError("Give connection_id or recommended_connection_ids, not both.")
    if len(label) > MAX_LABEL_LENGTH:
        raise ValueError("return_button_label must be 1 to 60 characters.")
    if expires_in is not None and expires_in not in _EXPIRY_SECONDS:
        raise ValueError("expires_in must be 60 to 86400 seconds.")
    body = {name: value for name, value in parameters.items() if value}
    if recommended := body.get("recommended_connection_ids"):
        body["recommended_connection_ids"] = check_ids("recommended_connection_ids", recommended)
    return dump_body(body)


def _is_absolute(url: str) -> bool:
    """Return whether ``url`` names its scheme: a native app's own one is as good as https."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return is_token(url) and bool(parts.scheme and (parts.netloc or parts.path))
