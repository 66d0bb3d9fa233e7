"""The calls of Medblocks' API, each with what it sends: nothing beyond what the API page names.

Every method takes ``timeout``, the seconds for the whole call, and raises ``MedblocksError``; a
mistake of the programmer is a ``ValueError`` before anything is sent.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from medblocks_connect.api.errors import UnexpectedReplyError, without_frames
from medblocks_connect.api.gate import Gate
from medblocks_connect.api.json_fields import MAX_ID_LENGTH
from medblocks_connect.api.kept_connections import Route
from medblocks_connect.api.redaction import Secret
from medblocks_connect.api.resources import (
    DisconnectedConnection,
    FhirSource,
    Health,
    Page,
    Patient,
    PatientSession,
)
from medblocks_connect.api.retries import RetryPolicy
from medblocks_connect.api.text import clean_text
from medblocks_connect.api.transport import Call, Transport, check_timeout
from medblocks_connect.api.validation import (
    MAX_LABEL_LENGTH,
    check_base_url,
    check_ca_bundle,
    check_proxy,
    is_token,
)

Item = TypeVar("Item")

_LIMITS = range(1, 101)
_EXPIRY_SECONDS = range(60, 86401)


class MedblocksClient:
    """Medblocks' API with one key.

    ``timeout`` is the seconds for a whole call, retries included; ``connect_timeout`` those to
    reach Medblocks once; ``max_retries`` how often a call is tried again where that is safe, and
    ``max_retry_wait`` the longest wait before that: where Medblocks asks for a longer one, the call
    fails. With a ``gate``, calls fail with ``MedblocksBusyError`` where it lets none through.
    ``proxy`` is the ``http://`` URL of a proxy that all calls go through, with its user and
    password where it asks for them; ``ca_bundle`` the path of a PEM file with the certificates that
    are trusted in place of the public ones. What the environment says of either is ignored.
    Share one client freely between threads. Raises ``ValueError`` for a setting that cannot work.
    """

    def __init__(
        self,
        api_key: str,
        *,
        base_url: str = "https://app.medblocks.com",
        api_version: str = "2026-04-25",
        timeout: float = 10.0,
        connect_timeout: float = 3.0,
        max_retries: int = 2,
        max_retry_wait: float = math.inf,
        gate: Gate | None = None,
        proxy: str = "",
        ca_bundle: str | os.PathLike[str] = "",
    ) -> None:
        if not is_token(api_key):
            raise ValueError("api_key must be a non-empty text of visible ASCII characters.")
        if api_version and not is_token(api_version):
            raise ValueError("api_version must be visible ASCII characters.")
        if max_retries < 0:
            raise ValueError("max_retries must not be negative.")
        self._base_url = check_base_url(base_url)
        self._api_key = Secret(api_key)
        self._transport = Transport(
            self._api_key,
            self._base_url,
            api_version,
            timeout=check_timeout(timeout),
            connect_timeout=check_timeout(connect_timeout),
            retries=RetryPolicy(max_retries, max_retry_wait),
            gate=gate,
            route=_check_route(proxy, ca_bundle),
        )
        self.gate = gate
        self.connections = Connections(self._transport)
        self.patient_sessions = PatientSessions(self._transport)
        self.patients = Patients(self._transport)

    def __repr__(self) -> str:
        return f"MedblocksClient(api_key={self._api_key!r}, base_url={self._base_url!r})"

    @without_frames
    def health(self, *, timeout: float | None = None) -> Health:
        """Return whether Medblocks is up. Sends no key."""
        call = Call("GET", "/health", authenticated=False, timeout=timeout)
        return self._transport.call(call, Health.from_json)


class Connections:
    """The catalog of facilities."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @without_frames
    def list(
        self,
        *,
        q: str = "",
        type: str = "",  # noqa: A002 - the API's own name of the parameter
        limit: int = 20,
        starting_after: str = "",
        timeout: float | None = None,
    ) -> Page[FhirSource]:
        """Return one page of facilities whose name holds ``q``; ``limit`` is 1 to 100.

        An item that cannot be read is left out and counted in the page's ``unreadable``.
        """
        query = _build_page_query(limit, starting_after, q=q, type=type)
        call = Call("GET", "/connections", query=query, timeout=timeout)

        def read(payload: object) -> Page[FhirSource]:
            return Page.from_json(payload, FhirSource.from_json, leaves_out_unreadable=True)

        return self._transport.call(call, read)

    def iterate(
        self,
        *,
        q: str = "",
        type: str = "",  # noqa: A002 - the API's own name of the parameter
        limit: int = 100,
        timeout: float | None = None,
    ) -> Iterator[FhirSource]:
        """Return all facilities, asking for each page of ``limit`` when it is needed."""
        return _iterate_pages(
            lambda cursor: self.list(
                q=q, type=type, limit=limit, starting_after=cursor, timeout=timeout
            )
        )

    @without_frames
    def retrieve(self, connection_id: str, *, timeout: float | None = None) -> FhirSource:
        """Return one facility by its id, or by its raw ``fhir_base_url``."""

        def read(payload: object) -> FhirSource:
            facility = FhirSource.from_json(payload)
            names = (facility.id, facility.fhir_base_url.rstrip("/"))
            if connection_id not in names and connection_id.rstrip("/") not in names:
                raise UnexpectedReplyError("The answer is another facility.")
            return facility

        call = Call(
            "GET",
            "/connections/{connection_id}",
            ids={"connection_id": connection_id},
            timeout=timeout,
        )
        return self._transport.call(call, read)


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
            private=tuple(
                _iterate_texts([patient_id, patient_email, patient_name, return_url, metadata])
            ),
            timeout=timeout,
        )

        def read(payload: object) -> PatientSession:
            session = PatientSession.from_json(payload)
            if session.patient_id != patient_id:
                raise UnexpectedReplyError("The session is another patient's.")
            if not session.url:
                raise UnexpectedReplyError("The session's url is missing.")
            return session

        return self._call(call, read)

    @without_frames
    def retrieve(self, patient_session_id: str, *, timeout: float | None = None) -> PatientSession:
        """Return one session as Medblocks has it now."""

        def read(payload: object) -> PatientSession:
            session = PatientSession.from_json(payload)
            _check_same_id(session.id, patient_session_id, "session")
            return session

        call = Call(
            "GET",
            "/patient-sessions/{patient_session_id}",
            ids={"patient_session_id": patient_session_id},
            timeout=timeout,
        )
        return self._call(call, read)

    def _call(self, call: Call, read: Callable[[object], PatientSession]) -> PatientSession:
        session, request_id = self._transport.call_for_request_id(call, read)
        return replace(session, request_id=request_id)


class Patients:
    """Patients by the host's own ids."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @without_frames
    def retrieve(self, patient_id: str, *, timeout: float | None = None) -> Patient:
        """Return a patient with their connections to facilities."""

        def read(payload: object) -> Patient:
            patient = Patient.from_json(payload)
            _check_same_id(patient.id, patient_id, "patient")
            return patient

        call = Call(
            "GET",
            "/patients/{patient_id}",
            ids={"patient_id": patient_id},
            private=(patient_id,),
            timeout=timeout,
        )
        return self._transport.call(call, read)

    @without_frames
    def list_patient_sessions(
        self,
        patient_id: str,
        *,
        status: str = "",
        limit: int = 20,
        starting_after: str = "",
        timeout: float | None = None,
    ) -> Page[PatientSession]:
        """Return one page of a patient's sessions; ``limit`` is 1 to 100."""

        def read(payload: object) -> Page[PatientSession]:
            page = Page.from_json(payload, PatientSession.from_json)
            for session in page.data:
                _check_same_id(session.patient_id, patient_id, "patient")
            return page

        call = Call(
            "GET",
            "/patients/{patient_id}/patient-sessions",
            ids={"patient_id": patient_id},
            query=_build_page_query(limit, starting_after, status=status),
            private=(patient_id,),
            timeout=timeout,
        )
        return self._transport.call(call, read)

    def iterate_patient_sessions(
        self,
        patient_id: str,
        *,
        status: str = "",
        limit: int = 100,
        timeout: float | None = None,
    ) -> Iterator[PatientSession]:
        """Return all of a patient's sessions, asking for each page when it is needed."""
        return _iterate_pages(
            lambda cursor: self.list_patient_sessions(
                patient_id, status=status, limit=limit, starting_after=cursor, timeout=timeout
            )
        )

    @without_frames
    def disconnect_connection(
        self, patient_id: str, patient_connection_id: str, *, timeout: float | None = None
    ) -> DisconnectedConnection:
        """Disconnect the patient's ``conn_…``. Never sent twice without an answer."""

        def read(payload: object) -> DisconnectedConnection:
            connection = DisconnectedConnection.from_json(payload)
            _check_same_id(connection.id, patient_connection_id, "connection")
            return connection

        call = Call(
            "DELETE",
            "/patients/{patient_id}/connections/{patient_connection_id}",
            ids={"patient_id": patient_id, "patient_connection_id": patient_connection_id},
            private=(patient_id,),
            timeout=timeout,
        )
        return self._transport.call(call, read)


def _check_route(proxy: str, ca_bundle: str | os.PathLike[str]) -> Route:
    return Route(Secret(check_proxy(Secret(proxy).reveal())), check_ca_bundle(ca_bundle))


def _check_same_id(answered_id: str, requested_id: str, noun: str) -> None:
    if answered_id != requested_id:
        raise UnexpectedReplyError(f"The answer is about another {noun}.")


def _build_page_query(limit: int, starting_after: str, **filters: str) -> dict[str, str]:
    if limit not in _LIMITS:
        raise ValueError("limit must be 1 to 100.")
    query = {**filters, "limit": str(limit), "starting_after": starting_after}
    return {name: value for name, value in query.items() if value}


def _iterate_pages(get_page: Callable[[str], Page[Item]]) -> Iterator[Item]:
    seen: set[str] = set()
    cursor = ""
    while True:
        page = get_page(cursor)
        yield from page.data
        if not page.has_more:
            return
        cursor = page.next_cursor
        if not cursor or cursor in seen:
            # Ending quietly would pass off a part of the list as the whole.
            raise UnexpectedReplyError("The list says that there is more but not where.")
        seen.add(cursor)


def _iterate_texts(values: Sequence[object]) -> Iterator[str]:
    """Yield each of ``values`` as text, and each value inside of it, however deep."""
    waiting = [*values]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            waiting += value.values()
        elif isinstance(value, list | tuple):
            waiting += value
        elif value is not None and not isinstance(value, bool):
            yield str(value)


def _build_session_body(parameters: dict[str, Any]) -> bytes:
    """Return the JSON of ``parameters``; raises ``ValueError`` for what Medblocks cannot take."""
    patient_id, label, expires_in = (
        parameters[name] for name in ("patient_id", "return_button_label", "expires_in")
    )
    # An id that is not stored alike everywhere could not be recognised in the answer.
    if not patient_id or clean_text(patient_id, MAX_ID_LENGTH) != patient_id:
        raise ValueError("patient_id must be a non-empty text without control characters.")
    if not parameters["return_url"]:
        raise ValueError("return_url must not be empty.")
    if parameters["connection_id"] and parameters["recommended_connection_ids"]:
        raise ValueError("Give connection_id or recommended_connection_ids, not both.")
    if isinstance(parameters["recommended_connection_ids"], str):
        raise ValueError("recommended_connection_ids must be a list of ids.")  # noqa: TRY004 - a ValueError is promised
    if len(label) > MAX_LABEL_LENGTH:
        raise ValueError("return_button_label must be 1 to 60 characters.")
    if expires_in is not None and expires_in not in _EXPIRY_SECONDS:
        raise ValueError("expires_in must be 60 to 86400 seconds.")
    body = {name: value for name, value in parameters.items() if value}
    if "recommended_connection_ids" in body:
        body["recommended_connection_ids"] = [*body["recommended_connection_ids"]]
    try:
        return json.dumps(body, allow_nan=False).encode("ascii")
    except (TypeError, ValueError, RecursionError):
        raise ValueError("metadata must be what JSON can hold.") from None
