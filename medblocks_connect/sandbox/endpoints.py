"""The API's endpoints: one function for each operation that patient access needs."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.endpoint_decorators import endpoint
from medblocks_connect.sandbox.error_envelope import invalid_data, not_found, not_implemented
from medblocks_connect.sandbox.fictional_catalog import (
    FictionalFacility,
    find_facility,
    search_catalog,
)
from medblocks_connect.sandbox.fictional_records import list_records
from medblocks_connect.sandbox.models import (
    Operation,
    SandboxConnection,
    SandboxPatient,
    SandboxSession,
    SessionStatus,
    make_storable,
    new_token,
)
from medblocks_connect.sandbox.pagination import (
    build_list,
    invalid_cursor,
    list_newest_first,
    read_page_request,
    read_parameters,
)
from medblocks_connect.sandbox.serializers import (
    serialize_datetime,
    serialize_facility,
    serialize_patient,
    serialize_patient_row,
    serialize_session,
)
from medblocks_connect.sandbox.session_request import SessionRequest, read_session_request


@endpoint("GET", Operation.CHECK_HEALTH, needs_key=False)
def check_health(_request: HttpRequest) -> dict[str, Any]:
    """GET /health."""
    return {"ok": True, "server_time": serialize_datetime(timezone.now())}


@endpoint("GET", Operation.SEARCH_CONNECTIONS)
def search_connections(request: HttpRequest) -> dict[str, Any]:
    """GET /connections."""
    query = read_parameters(request.GET, "q", "type", "limit", "starting_after")
    page = read_page_request(query)
    facilities = search_catalog(query.get("q", ""), query.get("type", ""))
    if page.after:
        facilities = _facilities_after(page.after, facilities)
    return build_list(facilities, page, lambda facility: facility.id, serialize_facility)


def _facilities_after(after: str, facilities: list[FictionalFacility]) -> list[FictionalFacility]:
    for position, facility in enumerate(facilities, 1):
        if facility.id == after:
            return facilities[position:]
    raise invalid_cursor()


@endpoint("GET", Operation.GET_CONNECTION)
def get_connection(_request: HttpRequest, connection_id: str) -> dict[str, Any]:
    """GET /connections/{id}, the id being a facility's id or its ``fhir_base_url``."""
    facility = find_facility(connection_id)
    if facility is None:
        raise not_found("connection")
    return serialize_facility(facility)


@endpoint("POST", Operation.CREATE_PATIENT_SESSION)
def create_patient_session(request: HttpRequest) -> dict[str, Any]:
    """POST /patient-sessions."""
    session_request = read_session_request(request.body)
    token = new_token()
    url = request.build_absolute_uri(reverse("medblocks_sandbox:portal", args=[token]))
    return serialize_session(_create_session(session_request, token, url))


def _create_session(session_request: SessionRequest, token: str, url: str) -> SandboxSession:
    properties = {"email": session_request.patient_email, "name": session_request.patient_name}
    changes = {name: value for name, value in properties.items() if value is not None}
    now = timezone.now()
    with transaction.atomic():
        # A write comes first: SQLite refuses a transaction that reads and then writes under load.
        SandboxPatient.objects.bulk_create(
            [SandboxPatient(patient_id=session_request.patient_id)], ignore_conflicts=True
        )
        if changes:
            SandboxPatient.objects.filter(patient_id=session_request.patient_id).update(**changes)
        return SandboxSession.objects.create(
            token=token,
            url=url,
            patient_id=session_request.patient_id,
            connection_id=session_request.connection_id,
            recommended_connection_ids=session_request.recommended_connection_ids,
            return_url=session_request.return_url,
            return_button_label=session_request.return_button_label,
            metadata=session_request.metadata,
            created_at=now,
            expires_at=now + timedelta(seconds=session_request.expires_in),
        )


@endpoint("GET", Operation.GET_PATIENT_SESSION)
def get_patient_session(_request: HttpRequest, session_id: str) -> dict[str, Any]:
    """GET /patient-sessions/{id}."""
    session = SandboxSession.objects.filter(session_id=make_storable(session_id)).first()
    if session is None:
        raise not_found("patient session")
    return serialize_session(session)


@endpoint("GET", Operation.LIST_PATIENT_SESSIONS)
def list_patient_sessions(request: HttpRequest, patient_id: str) -> dict[str, Any]:
    """GET /patients/{id}/patient-sessions, newest first."""
    query = read_parameters(request.GET, "status", "limit", "starting_after")
    page = read_page_request(query)
    sessions = SandboxSession.objects.filter(patient=_get_patient(patient_id))
    wanted = _status_filter(query["status"]) if "status" in query else None
    return list_newest_first(sessions, page, "session_id", serialize_session, wanted=wanted)


def _status_filter(status: str) -> Q:
    now = timezone.now()
    if status == SessionStatus.COMPLETE:
        return Q(completed_at__isnull=False)
    if status == SessionStatus.OPEN:
        return Q(completed_at=None, expires_at__gt=now)
    if status == SessionStatus.EXPIRED:
        return Q(completed_at=None, expires_at__lte=now)
    raise invalid_data("status", f"must be one of {', '.join(SessionStatus.values)}")


@endpoint("GET", Operation.LIST_PATIENTS)
def list_patients(request: HttpRequest) -> dict[str, Any]:
    """GET /patients, newest first."""
    query = read_parameters(request.GET, "patient_id", "email", "limit", "starting_after")
    page = read_page_request(query)
    wanted = Q(
        **{name: make_storable(query[name]) for name in ("patient_id", "email") if name in query}
    )
    return list_newest_first(
        SandboxPatient.objects.all(), page, "patient_id", serialize_patient_row, wanted=wanted
    )


@endpoint("GET", Operation.GET_PATIENT)
def get_patient(_request: HttpRequest, patient_id: str) -> dict[str, Any]:
    """GET /patients/{id}."""
    return serialize_patient(_get_patient(patient_id))


@endpoint("DELETE", Operation.DELETE_PATIENT)
def delete_patient(_request: HttpRequest, patient_id: str) -> dict[str, Any]:
    """DELETE /patients/{id}, with all sessions, connections and records. Events stay."""
    patient = _get_patient(patient_id)
    patient.delete()
    return {"id": patient.patient_id, "resource_type": "patient", "deleted": True}


@endpoint("GET", Operation.LIST_RECORDS)
def get_patient_records(request: HttpRequest, patient_id: str) -> dict[str, Any]:
    """GET /patients/{id}/records."""
    query = read_parameters(
        request.GET, "type", "since", "count", "starting_after", "ending_before"
    )
    return list_records(_get_patient(patient_id), query)


@endpoint("POST", "")
def create_patient(_request: HttpRequest) -> dict[str, Any]:
    """POST /patients, which the sandbox does not do."""
    raise not_implemented("create a patient without a session")


@endpoint("PUT", "")
def replace_patient(_request: HttpRequest, patient_id: str) -> dict[str, Any]:  # noqa: ARG001
    """PUT /patients/{id}, which the sandbox does not do."""
    raise not_implemented("replace a patient")


@endpoint("GET", "")
def get_launch_context(_request: HttpRequest, launch_id: str) -> dict[str, Any]:  # noqa: ARG001
    """GET /launch-contexts/{id}, which the sandbox does not do."""
    raise not_implemented("launch from a hospital's system")


@endpoint("DELETE", Operation.DISCONNECT)
def disconnect_connection(_request: HttpRequest, patient_id: str, conn_id: str) -> dict[str, Any]:
    """DELETE /patients/{id}/connections/{conn_…}."""
    connection = SandboxConnection.objects.filter(
        patient=_get_patient(patient_id), conn_id=make_storable(conn_id)
    ).first()
    if connection is None:
        raise not_found("connection")
    flows.disconnect(connection)
    return {"id": connection.conn_id, "resource_type": "connection", "disconnected": True}


@endpoint("", "")
def unknown_address(_request: HttpRequest) -> dict[str, Any]:
    """Refuse an address that the API does not have."""
    raise not_found("address")


def _get_patient(patient_id: str) -> SandboxPatient:
    patient = SandboxPatient.objects.filter(patient_id=make_storable(patient_id)).first()
    if patient is None:
        raise not_found("patient")
    return patient
