"""Medblocks' resources in Python: frozen, cleaned, and only with what the API promises.

``from_json`` raises ``UnexpectedReplyError`` where an id or a status is missing or a field has the
wrong type, and ignores what it does not know. No ``repr`` shows a session's url or a patient.
Field by field after Medblocks' API version 2026-04-25.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar

from medblocks_connect.api.errors import UnexpectedReplyError
from medblocks_connect.api.json_fields import (
    MAX_CODE_LENGTH,
    MAX_ID_LENGTH,
    MAX_NAME_LENGTH,
    MAX_SHORT_ID_LENGTH,
    MAX_STATUS_LENGTH,
    MAX_TYPE_LENGTH,
    MAX_URL_LENGTH,
    Fields,
)

Item = TypeVar("Item")

_MAX_EMAIL_LENGTH = 320


@dataclass(frozen=True, slots=True)
class FhirSource:
    """A facility of the catalog. ``type``, ``logo_url`` and ``portal_url`` are ``""`` if null."""

    id: str
    name: str
    type: str
    fhir_base_url: str
    logo_url: str
    portal_url: str

    @classmethod
    def from_json(cls, payload: object) -> FhirSource:
        """Read one item of ``GET /connections``; raises ``UnexpectedReplyError``."""
        fields = Fields(payload, "facility")
        return cls(
            id=fields.required_id("id"),
            name=fields.text("name", MAX_NAME_LENGTH),
            type=fields.text("type", MAX_TYPE_LENGTH),
            fhir_base_url=fields.url("fhir_base_url"),
            logo_url=fields.url("logo_url"),
            portal_url=fields.url("portal_url"),
        )


@dataclass(frozen=True, slots=True)
class SessionConnection:
    """A patient's connection to one facility, tried in a session.

    ``id`` is ``conn_…``, or ``""`` for a try that failed; ``connection_id`` is the facility's;
    ``status`` is as it came, also if it is a new word.
    """

    id: str
    connection_id: str
    status: str
    failure_code: str
    failure_at: datetime | None
    created_at: datetime | None

    @classmethod
    def from_json(cls, payload: object) -> SessionConnection:
        """Read one item of a session's ``connections``; raises ``UnexpectedReplyError``."""
        return cls(**_read_connection(Fields(payload, "connection")))


def _read_connection(fields: Fields) -> dict[str, Any]:
    return {
        "id": fields.optional_id("id", MAX_SHORT_ID_LENGTH),
        "connection_id": fields.required_id("connection_id"),
        "status": fields.required_text("status", MAX_STATUS_LENGTH),
        "failure_code": fields.text("failure_code", MAX_CODE_LENGTH),
        "failure_at": fields.moment("failure_at"),
        "created_at": fields.moment("created_at"),
    }


@dataclass(frozen=True, slots=True)
class Connection(SessionConnection):
    """A patient's connection to one facility, as the patient's own record lists it.

    ``patient_session_id`` is ``""`` where Medblocks names no session.
    """

    patient_session_id: str
    scopes: tuple[str, ...]
    updated_at: datetime | None

    @classmethod
    def from_json(cls, payload: object) -> Connection:
        """Read one item of a patient's ``connections``; raises ``UnexpectedReplyError``."""
        fields = Fields(payload, "connection")
        return cls(
            **_read_connection(fields),
            patient_session_id=fields.optional_id("patient_session_id", MAX_SHORT_ID_LENGTH),
            scopes=fields.texts("scopes", MAX_NAME_LENGTH),
            updated_at=fields.moment("updated_at"),
        )


@dataclass(frozen=True, slots=True)
class PatientSession:
    """One patient's visit to Medblocks. ``url`` is a secret: whoever holds it acts as the patient.

    ``url`` and ``return_url`` are ``""`` where Medblocks sent none or an unusable one;
    ``connection_id`` is ``""`` where the patient chooses the facility there; ``request_id`` is
    Medblocks' id of the request that this answers, ``""`` where it comes from a webhook.
    """

    id: str
    status: str
    url: str = field(repr=False)
    patient_id: str = field(repr=False)
    connection_id: str
    recommended_connection_ids: tuple[str, ...]
    return_url: str = field(repr=False)
    return_button_label: str
    connections: tuple[SessionConnection, ...]
    expires_at: datetime | None
    metadata: Mapping[str, Any] = field(repr=False, hash=False)
    created_at: datetime | None
    request_id: str = field(default="", compare=False)

    @classmethod
    def from_json(cls, payload: object) -> PatientSession:
        """Read a session, from an answer or a webhook; raises ``UnexpectedReplyError``."""
        fields = Fields(payload, "session")
        return cls(
            id=fields.required_id("id", MAX_SHORT_ID_LENGTH),
            status=fields.required_text("status", MAX_STATUS_LENGTH),
            url=fields.url("url"),
            patient_id=fields.required_id("patient_id"),
            connection_id=fields.optional_id("connection_id"),
            recommended_connection_ids=fields.ids("recommended_connection_ids"),
            return_url=fields.url("return_url"),
            return_button_label=fields.text("return_button_label", MAX_NAME_LENGTH),
            connections=fields.items("connections", SessionConnection.from_json),
            expires_at=fields.moment("expires_at"),
            metadata=fields.metadata("metadata"),
            created_at=fields.moment("created_at"),
        )


@dataclass(frozen=True, slots=True)
class ListedPatient:
    """A patient as a list of patients has them: without their connections."""

    id: str = field(repr=False)
    email: str = field(repr=False)
    name: str = field(repr=False)
    metadata: Mapping[str, Any] = field(repr=False, hash=False)
    created_at: datetime | None

    @classmethod
    def from_json(cls, payload: object) -> ListedPatient:
        """Read one item of ``GET /patients``; raises ``UnexpectedReplyError``."""
        return cls(**_read_patient(Fields(payload, "patient")))


def _read_patient(fields: Fields) -> dict[str, Any]:
    return {
        "id": fields.required_id("id"),
        "email": fields.text("email", _MAX_EMAIL_LENGTH),
        "name": fields.text("name", MAX_NAME_LENGTH),
        "metadata": fields.metadata("metadata"),
        "created_at": fields.moment("created_at"),
    }


@dataclass(frozen=True, slots=True)
class Patient(ListedPatient):
    """A patient as Medblocks knows them, with their connections, newest first."""

    connections: tuple[Connection, ...]

    @classmethod
    def from_json(cls, payload: object) -> Patient:
        """Read the answer of ``GET /patients/{patient_id}``; raises ``UnexpectedReplyError``."""
        fields = Fields(payload, "patient")
        return cls(
            **_read_patient(fields),
            connections=fields.items("connections", Connection.from_json),
        )


@dataclass(frozen=True, slots=True)
class Record:
    """One FHIR resource of a patient: health data, as it came, and in no ``repr``.

    ``source`` names where Medblocks has it from, ``""`` where it does not say.
    """

    source: str
    resource: Mapping[str, Any] = field(repr=False, hash=False)

    @classmethod
    def from_json(cls, payload: object) -> Record:
        """Read one item of a patient's records; raises ``UnexpectedReplyError``."""
        fields = Fields(payload, "record")
        return cls(
            source=fields.text("source", MAX_ID_LENGTH),
            resource=fields.required_object("resource"),
        )


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a list; ``next_cursor`` is the next page's ``starting_after``, or ``""``.

    ``previous_cursor`` is the ``ending_before`` of the page before, and ``""`` but for records.
    ``unreadable`` is how many items were left out because they are not what the API promises.
    """

    data: tuple[Item, ...]
    has_more: bool
    next_cursor: str = field(repr=False)
    unreadable: int = 0
    previous_cursor: str = field(default="", repr=False)

    @classmethod
    def from_json(
        cls,
        payload: object,
        read_item: Callable[[object], Item],
        *,
        leaves_out_unreadable: bool = False,
    ) -> Page[Item]:
        """Read a list's page, each item with ``read_item``; raises ``UnexpectedReplyError``.

        With ``leaves_out_unreadable`` one bad item does not cost all the others of its page.
        """
        fields = Fields(payload, "list")
        # A list without its items would read as "nothing found".
        if not isinstance(payload, dict) or payload.get("data") is None:
            raise fields.field_error("data", "is missing")

        def read(item: object) -> Item | None:
            try:
                return read_item(item)
            except UnexpectedReplyError:
                if leaves_out_unreadable:
                    return None
                raise

        items = fields.items("data", read)
        data = tuple(item for item in items if item is not None)
        return cls(
            data=data,
            has_more=fields.flag("has_more", default=False),
            next_cursor=fields.optional_id("next_cursor", MAX_URL_LENGTH),
            unreadable=len(items) - len(data),
            previous_cursor=fields.optional_id("previous_cursor", MAX_URL_LENGTH),
        )


@dataclass(frozen=True, slots=True)
class DisconnectedConnection:
    """The patient's connection ``id`` (``conn_…``) after it was disconnected."""

    id: str
    disconnected: bool

    @classmethod
    def from_json(cls, payload: object) -> DisconnectedConnection:
        """Read the answer of the ``DELETE``; raises ``UnexpectedReplyError``."""
        fields = Fields(payload, "connection")
        return cls(
            id=fields.required_id("id", MAX_SHORT_ID_LENGTH),
            disconnected=fields.flag("disconnected"),
        )


@dataclass(frozen=True, slots=True)
class Deleted:
    """What was deleted, by its ``id``; ``deleted`` is always true."""

    id: str = field(repr=False)  # which may be a patient's
    deleted: bool

    @classmethod
    def from_json(cls, payload: object, noun: str) -> Deleted:
        """Read the answer of a ``DELETE``; raises ``UnexpectedReplyError``, also for "not"."""
        fields = Fields(payload, noun)
        deleted = fields.flag("deleted")
        if not deleted:
            raise fields.field_error("deleted", "is false")
        return cls(id=fields.required_id("id"), deleted=deleted)


@dataclass(frozen=True, slots=True)
class Health:
    """The state of Medblocks, up or not, and its clock."""

    ok: bool
    server_time: datetime | None

    @classmethod
    def from_json(cls, payload: object) -> Health:
        """Read the answer of ``GET /health``; raises ``UnexpectedReplyError``."""
        fields = Fields(payload, "health report")
        return cls(ok=fields.flag("ok"), server_time=fields.moment("server_time"))


class _Named(Protocol):
    @property
    def id(self) -> str: ...


Named = TypeVar("Named", bound=_Named)


def expect_id(
    read: Callable[[object], Named], requested_id: str, noun: str
) -> Callable[[object], Named]:
    """Return ``read`` for an answer that must be about the ``noun`` with ``requested_id``.

    It raises ``UnexpectedReplyError`` for one about another.
    """

    def read_requested(payload: object) -> Named:
        answered = read(payload)
        check_same_id(answered.id, requested_id, noun)
        return answered

    return read_requested


def check_same_id(answered_id: str, requested_id: str, noun: str) -> None:
    """Raise ``UnexpectedReplyError`` where an answer is about another ``noun`` than was asked."""
    if answered_id != requested_id:
        raise UnexpectedReplyError(f"The answer is about another {noun}.")
