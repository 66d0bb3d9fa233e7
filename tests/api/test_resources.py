"""Reading Medblocks' JSON: strict on types, tolerant of the rest, quiet about patients."""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from datetime import datetime, timezone
from typing import Any

import pytest

from medblocks_connect.api import (
    Connection,
    Deleted,
    DisconnectedConnection,
    FhirSource,
    Health,
    ListedPatient,
    Page,
    Patient,
    PatientSession,
    Record,
    SessionConnection,
    UnexpectedReplyError,
    WebhookEndpoint,
    WebhookEndpointWithSecret,
    WebhookEvent,
)
from medblocks_connect.api.json_fields import parse_time
from tests.api.strict import ENDPOINT, EVENT, FACILITY, page, session

CONNECTION = {
    "id": "conn_1",
    "resource_type": "connection",
    "connection_id": "fhirsrc_1",
    "status": "active",
    "failure_code": None,
    "failure_at": None,
    "created_at": "2026-05-01T10:00:00Z",
}
PATIENT = {
    "id": "p-1234",
    "email": "ann@example.org",
    "name": "Ann Lee",
    "metadata": {"ward": "secret ward"},
    "created_at": "2026-05-01T10:00:00Z",
    "connections": [
        {
            **CONNECTION,
            "patient_session_id": "ps_1",
            "scopes": ["patient/*.read"],
            "updated_at": None,
        }
    ],
}
FULL_SESSION = session(
    "p-1234",
    connections=[CONNECTION, {**CONNECTION, "id": None, "status": "failed"}],
    recommended_connection_ids=["fhirsrc_1"],
    metadata={"attempt": "secret attempt"},
)


def read_page(payload: object) -> Page[FhirSource]:
    return Page.from_json(payload, FhirSource.from_json)


def read_deleted(payload: object) -> Deleted:
    return Deleted.from_json(payload, "patient")


READERS: list[tuple[Callable[[object], Any], dict[str, Any]]] = [
    (FhirSource.from_json, FACILITY),
    (SessionConnection.from_json, CONNECTION),
    (Connection.from_json, PATIENT["connections"][0]),
    (PatientSession.from_json, FULL_SESSION),
    (Patient.from_json, PATIENT),
    (DisconnectedConnection.from_json, {"id": "conn_1", "disconnected": True}),
    (Health.from_json, {"ok": True, "server_time": None}),
    (ListedPatient.from_json, {**PATIENT, "connections": None}),
    (Record.from_json, {"source": None, "resource": {"resourceType": "Patient"}}),
    (read_deleted, {"id": "p-1234", "deleted": True}),
    (WebhookEndpoint.from_json, ENDPOINT),
    (WebhookEndpointWithSecret.from_json, {**ENDPOINT, "secret": "whsec_hidden"}),
    (WebhookEvent.from_json, EVENT),
    (read_page, page(FACILITY)),
]


@pytest.mark.parametrize(("read", "payload"), READERS)
def test_unknown_fields_are_ignored(read: Callable[[object], Any], payload: Any) -> None:
    assert read({**payload, "new": {"deep": [1]}}) == read(payload)


@pytest.mark.parametrize("junk", [None, [], "text", 7, True, [{}]])
@pytest.mark.parametrize("read", [read for read, _ in READERS])
def test_json_that_is_no_object_is_refused(read: Callable[[object], Any], junk: object) -> None:
    with pytest.raises(UnexpectedReplyError):
        read(junk)


@pytest.mark.parametrize("junk", [7, True, {}, ["x"], 1.5, "x\x00", ""])
@pytest.mark.parametrize(
    ("read", "payload", "name"),
    [(read, payload, name) for read, payload in READERS for name in payload],
)
def test_junk_in_a_field_is_read_or_refused(
    read: Callable[[object], Any], payload: dict[str, Any], name: str, junk: object
) -> None:
    with contextlib.suppress(UnexpectedReplyError):
        read({**payload, name: junk})


@pytest.mark.parametrize(
    ("read", "payload", "name"),
    [
        (FhirSource.from_json, FACILITY, "name"),
        (SessionConnection.from_json, CONNECTION, "failure_code"),
        (PatientSession.from_json, FULL_SESSION, "url"),
        (PatientSession.from_json, FULL_SESSION, "connections"),
        (PatientSession.from_json, FULL_SESSION, "metadata"),
        (Patient.from_json, PATIENT, "email"),
        (read_page, page(FACILITY), "has_more"),
        (read_page, page(FACILITY), "next_cursor"),
    ],
)
def test_field_of_wrong_type_is_named_in_the_error(
    read: Callable[[object], Any], payload: dict[str, Any], name: str
) -> None:
    with pytest.raises(UnexpectedReplyError) as caught:
        read({**payload, name: 7})
    assert name in caught.value.message
    assert "7" not in caught.value.message


@pytest.mark.parametrize(
    ("read", "payload", "name"),
    [
        (FhirSource.from_json, FACILITY, "id"),
        (SessionConnection.from_json, CONNECTION, "connection_id"),
        (SessionConnection.from_json, CONNECTION, "status"),
        (PatientSession.from_json, FULL_SESSION, "id"),
        (PatientSession.from_json, FULL_SESSION, "status"),
        (PatientSession.from_json, FULL_SESSION, "patient_id"),
        (Patient.from_json, PATIENT, "id"),
        (Record.from_json, {"resource": {}}, "resource"),
        (read_deleted, {"id": "p", "deleted": True}, "id"),
        (read_deleted, {"id": "p", "deleted": True}, "deleted"),
        (WebhookEndpoint.from_json, ENDPOINT, "status"),
        (WebhookEndpointWithSecret.from_json, {**ENDPOINT, "secret": "whsec_1"}, "secret"),
        (WebhookEvent.from_json, EVENT, "type"),
        (WebhookEvent.from_json, EVENT, "data"),
        (DisconnectedConnection.from_json, {"id": "c", "disconnected": True}, "id"),
        (DisconnectedConnection.from_json, {"id": "c", "disconnected": True}, "disconnected"),
        (Health.from_json, {"ok": True}, "ok"),
        (read_page, page(FACILITY), "data"),
    ],
)
@pytest.mark.parametrize("absent", [None, "", 7, "MISSING"])
def test_missing_required_field_is_refused(
    read: Callable[[object], Any], payload: dict[str, Any], name: str, absent: object
) -> None:
    changed = {key: value for key, value in payload.items() if key != name}
    if absent != "MISSING":
        changed[name] = absent
    with pytest.raises(UnexpectedReplyError, match="unexpected_reply") as caught:
        read(changed)
    assert name in caught.value.message


@pytest.mark.parametrize("bad", ["a\x00", "a\n", " a", "\ud800", "a" * 501, "a\u202e", "e\u0301"])
def test_id_that_cleaning_would_change_is_refused(bad: str) -> None:
    with pytest.raises(UnexpectedReplyError):
        FhirSource.from_json({**FACILITY, "id": bad})
    with pytest.raises(UnexpectedReplyError):
        PatientSession.from_json(session(recommended_connection_ids=[bad]))


def test_id_of_500_characters_is_kept() -> None:
    assert len(FhirSource.from_json({**FACILITY, "id": "a" * 500}).id) == 500


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("name", "General\u202e\x00 Hospital\n", "General Hospital"),
        ("name", None, ""),
        ("type", None, ""),
        ("type", "epic", "epic"),
        ("logo_url", None, ""),
        ("logo_url", "https://x/logo.png", "https://x/logo.png"),
        ("logo_url", "https://x/\x00", ""),
        ("portal_url", "https://x/" + "a" * 2048, ""),
        ("fhir_base_url", "https://fhir/r4", "https://fhir/r4"),
    ],
)
def test_facility_text_is_cleaned(name: str, given: str | None, expected: str) -> None:
    assert getattr(FhirSource.from_json({**FACILITY, name: given}), name) == expected


@pytest.mark.parametrize(
    ("read", "payload", "name", "longest"),
    [
        (FhirSource.from_json, FACILITY, "name", 255),
        (FhirSource.from_json, FACILITY, "type", 50),
        (SessionConnection.from_json, CONNECTION, "failure_code", 100),
        (SessionConnection.from_json, CONNECTION, "status", 50),
        (Patient.from_json, PATIENT, "name", 255),
    ],
)
def test_long_text_is_cut_to_its_limit(
    read: Any, payload: dict[str, Any], name: str, longest: int
) -> None:
    assert len(getattr(read({**payload, name: "x" * 10_000}), name)) == longest


def test_session_is_read_field_by_field() -> None:
    whole = PatientSession.from_json(FULL_SESSION)
    created = datetime(2026, 5, 1, 10, tzinfo=timezone.utc)
    assert (whole.id, whole.status, whole.patient_id) == ("ps_1", "open", "p-1234")
    assert whole.url.endswith("/c/0123456789abcdef0123456789abcdef")
    assert whole.recommended_connection_ids == ("fhirsrc_1",)
    assert whole.connections[0] == SessionConnection(
        "conn_1", "fhirsrc_1", "active", "", None, created
    )
    assert (whole.connections[1].id, whole.connections[1].status) == ("", "failed")
    assert whole.metadata == {"attempt": "secret attempt"}


def test_connection_status_never_seen_is_kept() -> None:
    """Case 28."""
    found = SessionConnection.from_json({**CONNECTION, "status": "Paused-2"})
    assert found.status == "Paused-2"


def test_patient_connection_has_session_and_scopes() -> None:
    connection = Patient.from_json(PATIENT).connections[0]
    assert (connection.patient_session_id, connection.scopes) == ("ps_1", ("patient/*.read",))


@pytest.mark.parametrize(
    "missing", [{"id": "p"}, {"id": "p", "connections": None, "metadata": None}]
)
def test_patient_with_an_id_alone_has_empty_fields(missing: dict[str, Any]) -> None:
    assert Patient.from_json(missing) == Patient("p", "", "", {}, None, ())


def test_metadata_is_cleaned() -> None:
    given = {"a\x00": ["b\ud800", {"c": 1, "d": None}]}
    found = PatientSession.from_json(session(metadata=given)).metadata
    assert found == {"a": ["b", {"c": 1, "d": None}]}


def test_metadata_nested_too_deeply_is_refused() -> None:
    nested: Any = {}
    for _ in range(30):
        nested = {"a": nested}
    with pytest.raises(UnexpectedReplyError):
        PatientSession.from_json(session(metadata=nested))


def test_repr_names_no_patient() -> None:
    shown = repr([PatientSession.from_json(FULL_SESSION), Patient.from_json(PATIENT)])
    for private in ("p-1234", "/c/", "ann@", "Ann Lee", "secret", "clinic.example"):
        assert private not in shown
    assert "ps_1" in shown


@pytest.mark.parametrize(("read", "payload"), READERS)
def test_resources_are_frozen_hashable_and_picklable(
    read: Callable[[object], Any], payload: Any
) -> None:
    found = read(payload)
    assert hash(found) == hash(read(payload))
    assert pickle.loads(pickle.dumps(found)) == found
    with pytest.raises(FrozenInstanceError):
        setattr(found, next(iter(found.__slots__ or type(found).__mro__[1].__slots__)), "x")


@pytest.mark.parametrize("has_more", [None, "MISSING", False])
def test_page_without_more_has_no_cursor(has_more: object) -> None:
    payload = {"data": [FACILITY], "has_more": has_more}
    if has_more == "MISSING":
        del payload["has_more"]
    found = read_page(payload)
    assert (len(found.data), found.has_more, found.next_cursor) == (1, False, "")


def test_page_with_more_has_its_cursor() -> None:
    found = read_page(page(FACILITY, next_cursor="a/+="))
    assert (found.has_more, found.next_cursor) == (True, "a/+=")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-05-01T10:00:00Z", (2026, 5, 1, 10, 0, 0, 0)),
        ("2026-05-01T10:00:00", (2026, 5, 1, 10, 0, 0, 0)),
        ("2026-05-01 10:00", (2026, 5, 1, 10, 0, 0, 0)),
        ("2026-05-01t10:00:00.5z", (2026, 5, 1, 10, 0, 0, 500000)),
        ("2026-05-01T10:00:00.123Z", (2026, 5, 1, 10, 0, 0, 123000)),
        ("2026-05-01T10:00:00.123456789Z", (2026, 5, 1, 10, 0, 0, 123456)),
        ("2026-05-01T10:00:00." + "1" * 5000 + "Z", (2026, 5, 1, 10, 0, 0, 111111)),
        ("2026-05-01T12:30:00+02:30", (2026, 5, 1, 10, 0, 0, 0)),
        ("2026-05-01T05:00:00-0500", (2026, 5, 1, 10, 0, 0, 0)),
        ("2026-05-01T11:00:00+01", (2026, 5, 1, 10, 0, 0, 0)),
        ("2026-12-31T23:59:60Z", (2026, 12, 31, 23, 59, 59, 0)),
        (" 2026-05-01T10:00:00Z ", (2026, 5, 1, 10, 0, 0, 0)),
    ],
)
def test_time_is_read_as_utc(text: str, expected: tuple[int, ...]) -> None:
    """Case 46."""
    assert parse_time(text) == datetime(*expected, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2026-05-01",
        "2026-13-01T10:00:00Z",
        "2026-02-30T10:00:00Z",
        "2026-05-01T24:00:00Z",
        "2026-05-01T10:00:00+99:00",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "٢٠٢٦-05-01T10:00:00Z",
        "12026-05-01T10:00:00Z",
        None,
        1_777_000_000,
        True,
        [],
    ],
)
def test_unreadable_time_is_none(text: object) -> None:
    """Case 46."""
    assert parse_time(text) is None


def test_unreadable_item_is_left_out_only_where_asked():
    payload = page(FACILITY, {**FACILITY, "id": None}, 7)
    found = Page.from_json(payload, FhirSource.from_json, leaves_out_unreadable=True)
    assert (len(found.data), found.unreadable) == (1, 2)
    with pytest.raises(UnexpectedReplyError):
        read_page(payload)


def test_not_deleted_is_refused() -> None:
    """Nobody looks at a flag, and a patient would be thought erased."""
    with pytest.raises(UnexpectedReplyError):
        read_deleted({"id": "p-1234", "deleted": False})


def test_record_is_kept_as_it_came() -> None:
    resource = {"resourceType": "Patient", "text": {"div": "a\u0000b" * 3000}, "x": [[[[[1.5]]]]]}
    assert Record.from_json({"source": None, "resource": resource}).resource == resource


@pytest.mark.parametrize("attempts", [True, -1, 10**30, 1.5, "2", None])
def test_event_case_65_has_no_wrong_number_of_attempts(attempts: object) -> None:
    assert WebhookEvent.from_json({**EVENT, "attempts": attempts}).attempts is None


def test_event_case_65_has_a_whole_number_that_came_as_a_float() -> None:
    assert WebhookEvent.from_json({**EVENT, "attempts": 2.0}).attempts == 2


def test_repr_of_endpoint_and_event_tells_no_secret() -> None:
    endpoint = WebhookEndpointWithSecret.from_json({**ENDPOINT, "secret": "whsec_hidden"})
    event = WebhookEvent.from_json(EVENT)
    record = Record.from_json({"source": None, "resource": {"id": "p-1234"}})
    deleted = read_deleted({"id": "p-1234", "deleted": True})
    shown = f"{endpoint!r} {endpoint} {event!r} {record!r} {deleted!r}"
    for private in ("hidden", "secret answer", "p-1234", "secret ward"):
        assert private not in shown
    assert endpoint.secret.reveal() == "whsec_hidden"
