"""The calls about patients, who are named by the host's own ids."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timezone
from functools import partial

from medblocks_connect.api.errors import without_frames
from medblocks_connect.api.json_fields import Fields
from medblocks_connect.api.lists import build_page_query, iterate_pages
from medblocks_connect.api.resources import (
    Deleted,
    DisconnectedConnection,
    ListedPatient,
    Page,
    Patient,
    PatientSession,
    Record,
    check_same_id,
    expect_id,
)
from medblocks_connect.api.transport import Call, Transport


class Patients:
    """Patients by the host's own ids."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @without_frames
    def list(
        self,
        *,
        patient_id: str = "",
        email: str = "",
        limit: int = 20,
        starting_after: str = "",
        timeout: float | None = None,
    ) -> Page[ListedPatient]:
        """Return one page of the workspace's patients (``GET /patients``); ``limit`` is 1 to 100.

        ``patient_id`` and ``email`` leave those alone that have it; ``""`` leaves all.
        """
        call = Call(
            "GET",
            "/patients",
            query=build_page_query(limit, starting_after, patient_id=patient_id, email=email),
            private=(patient_id, email),
            timeout=timeout,
        )
        return self._transport.call(
            call, lambda reply: Page.from_json(reply, ListedPatient.from_json)
        )

    def iterate(
        self,
        *,
        patient_id: str = "",
        email: str = "",
        limit: int = 100,
        timeout: float | None = None,
    ) -> Iterator[ListedPatient]:
        """Return all patients, asking for each page of ``limit`` when it is needed."""
        return iterate_pages(
            lambda cursor: self.list(
                patient_id=patient_id,
                email=email,
                limit=limit,
                starting_after=cursor,
                timeout=timeout,
            )
        )

    @without_frames
    def retrieve(self, patient_id: str, *, timeout: float | None = None) -> Patient:
        """Return a patient with their connections to facilities."""
        call = Call(
            "GET",
            "/patients/{patient_id}",
            ids={"patient_id": patient_id},
            private=(patient_id,),
            timeout=timeout,
        )
        return self._transport.call(call, expect_id(Patient.from_json, patient_id, "patient"))

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
                check_same_id(session.patient_id, patient_id, "patient")
            return page

        call = Call(
            "GET",
            "/patients/{patient_id}/patient-sessions",
            ids={"patient_id": patient_id},
            query=build_page_query(limit, starting_after, status=status),
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
        return iterate_pages(
            lambda cursor: self.list_patient_sessions(
                patient_id, status=status, limit=limit, starting_after=cursor, timeout=timeout
            )
        )

    @without_frames
    def disconnect_connection(
        self, patient_id: str, patient_connection_id: str, *, timeout: float | None = None
    ) -> DisconnectedConnection:
        """Disconnect the patient's ``conn_…``. Never sent twice without an answer."""
        read = expect_id(DisconnectedConnection.from_json, patient_connection_id, "connection")
        call = Call(
            "DELETE",
            "/patients/{patient_id}/connections/{patient_connection_id}",
            ids={"patient_id": patient_id, "patient_connection_id": patient_connection_id},
            private=(patient_id,),
            timeout=timeout,
        )
        return self._transport.call(call, read)

    @without_frames
    def delete(self, patient_id: str, *, timeout: float | None = None) -> Deleted:
        """Delete the patient at Medblocks, with all connections and records; there is no way back.

        Never sent twice without an answer. Raises ``NotFoundError`` where there is none, which a
        caller that tries again may take for done (``DELETE /patients/{id}``).
        """
        call = Call(
            "DELETE",
            "/patients/{patient_id}",
            ids={"patient_id": patient_id},
            private=(patient_id,),
            timeout=timeout,
        )
        read = partial(Deleted.from_json, noun="patient")
        return self._transport.call(call, expect_id(read, patient_id, "patient"))

    @without_frames
    def list_records(
        self,
        patient_id: str,
        *,
        type: str = "",  # noqa: A002 - the API's own name of the parameter
        since: date | datetime | None = None,
        count: int = 20,
        starting_after: str = "",
        ending_before: str = "",
        timeout: float | None = None,
    ) -> Page[Record]:
        """Return one page of a patient's records: FHIR resources, which are health data.

        ``type`` is a FHIR resource type, such as ``"Observation"``; ``since`` a day or an aware
        time, before which Medblocks leaves out what it has; ``count`` is 1 to 100, fewer where
        resources are large: an answer over 2 MB is an ``UnexpectedReplyError``. Cursors are good
        for 7 days; ``previous_cursor`` is an ``ending_before`` (``GET /patients/{id}/records``).
        """
        if starting_after and ending_before:
            raise ValueError("Give starting_after or ending_before, not both.")
        filters = {"type": type, "since": _write_since(since), "ending_before": ending_before}
        call = Call(
            "GET",
            "/patients/{patient_id}/records",
            ids={"patient_id": patient_id},
            query=build_page_query(count, starting_after, limit_name="count", **filters),
            private=(patient_id,),
            timeout=timeout,
        )

        def read(payload: object) -> Page[Record]:
            answered_id = Fields(payload, "list").required_id("patient_id")
            check_same_id(answered_id, patient_id, "patient")
            return Page.from_json(payload, Record.from_json)

        return self._transport.call(call, read)

    def iterate_records(
        self,
        patient_id: str,
        *,
        type: str = "",  # noqa: A002 - the API's own name of the parameter
        since: date | datetime | None = None,
        count: int = 20,
        timeout: float | None = None,
    ) -> Iterator[Record]:
        """Return all of a patient's records, asking for each page when it is needed."""
        return iterate_pages(
            lambda cursor: self.list_records(
                patient_id,
                type=type,
                since=since,
                count=count,
                starting_after=cursor,
                timeout=timeout,
            )
        )


def _write_since(since: date | datetime | None) -> str:
    """Return RFC 3339's text; raises ``ValueError`` for a time that could be any zone's."""
    if not isinstance(since, datetime):
        return since.isoformat() if since else ""
    if since.tzinfo is None:
        raise ValueError("since must be a date or an aware time.")
    return since.astimezone(timezone.utc).replace(tzinfo=None).isoformat() + "Z"
