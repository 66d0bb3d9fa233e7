"""The client against the contract: what it sends is valid, and what is valid it reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import responses
from hypothesis import given, settings
from hypothesis import strategies as st

from medblocks_connect.api import MedblocksAPIError, MedblocksClient
from tests.api.conftest import KEY
from tests.contract import check, check_request, needs_contract, read_contract, replies

BASE = "https://app.medblocks.com"
RETURN_URL = "https://clinic.example/return/"
WEBHOOK_URL = "https://clinic.example/webhook/"
CLIENT = MedblocksClient(KEY, base_url=BASE, max_retries=0)
ENDPOINTS = CLIENT.webhook_endpoints

CALLS: Mapping[str, Callable[[Any], Any]] = {
    "api.health": lambda _: CLIENT.health(),
    "api.listFhirSources": lambda _: CLIENT.connections.list(),
    "api.getFhirSource": lambda reply: CLIENT.connections.retrieve(reply["id"]),
    "api.initPatientSession": lambda reply: CLIENT.patient_sessions.create(
        patient_id=reply["patient_id"], return_url=RETURN_URL
    ),
    "api.retrievePatientSession": lambda reply: CLIENT.patient_sessions.retrieve(reply["id"]),
    "api.listPatientSessionsForPatient": lambda _: CLIENT.patients.list_patient_sessions("p1"),
    "api.listPatients": lambda _: CLIENT.patients.list(),
    "api.getPatient": lambda reply: CLIENT.patients.retrieve(reply["id"]),
    "api.deletePatient": lambda reply: CLIENT.patients.delete(reply["id"]),
    "api.getPatientRecords": lambda reply: CLIENT.patients.list_records(reply["patient_id"]),
    "api.disconnectPatientConnection": lambda reply: CLIENT.patients.disconnect_connection(
        "p1", reply["id"]
    ),
    "api.createWebhook": lambda _: ENDPOINTS.create(url=WEBHOOK_URL),
    "api.listWebhooks": lambda _: ENDPOINTS.list(),
    "api.getWebhook": lambda reply: ENDPOINTS.retrieve(reply["id"]),
    "api.updateWebhook": lambda reply: ENDPOINTS.update(reply["id"], status="active"),
    "api.deleteWebhook": lambda reply: ENDPOINTS.delete(reply["id"]),
    "api.rotateWebhookSecret": lambda reply: ENDPOINTS.rotate_secret(reply["id"]),
    "api.listWebhookEvents": lambda _: ENDPOINTS.list_events("wh_1"),
    "api.redeliverWebhookEvent": lambda reply: CLIENT.events.redeliver(reply["id"]),
}
NOT_CALLED = {
    "api.createPatient": "a session creates its patient",
    "api.updatePatient": "a session updates its patient",
    "api.retrieveLaunchContext": "another product of Medblocks",
}

bounded = settings(max_examples=15, deadline=None)


def draw_reply(name: str, data: st.DataObject) -> Any:
    """Return a reply that the contract allows, about what the call asks for."""
    reply = data.draw(replies(name))
    if name == "api.initPatientSession":
        reply["url"] = f"{BASE}/c/0123456789abcdef"  # any text is allowed, and of no use
    if name == "api.listPatientSessionsForPatient":
        for session in reply["data"]:
            session["patient_id"] = "p1"
    check(read_contract()["operations"][name]["responses"]["200"]["schema"], reply)
    return reply


def send(call: Callable[[], Any], reply: Any) -> tuple[str, Any]:
    """Return the operation that ``call`` is, its request proven valid, and what it returned."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as medblocks:
        for method in ("GET", "POST", "PATCH", "DELETE"):
            medblocks.add(method, re.compile(f"{BASE}/.*"), json=reply)
        result = call()
        request = medblocks.calls[0].request
        assert len(medblocks.calls) == 1
    return check_request(request.method, request.url, request.headers, request.body), result


@needs_contract
def test_every_operation_has_its_call() -> None:
    assert set(CALLS) | set(NOT_CALLED) == set(read_contract()["operations"])


@needs_contract
@pytest.mark.parametrize("name", CALLS)
@bounded
@given(data=st.data())
def test_reply_that_the_contract_allows_is_read(name: str, data: st.DataObject) -> None:
    reply = draw_reply(name, data)
    sent, result = send(lambda: CALLS[name](reply), reply)
    assert sent == name
    assert getattr(result, "unreadable", 0) == 0
    if isinstance(reply.get("data"), list):
        assert len(result.data) == len(reply["data"])
    elif "id" in reply:
        assert result.id == reply["id"]


@needs_contract
@pytest.mark.parametrize(
    ("name", "private"),
    [
        ("api.createWebhook", "secret"),
        ("api.rotateWebhookSecret", "secret"),
        ("api.redeliverWebhookEvent", "last_response_body"),
        ("api.initPatientSession", "url"),
        ("api.getPatient", "email"),
        ("api.getPatient", "name"),
        ("api.deletePatient", "id"),
    ],
)
@bounded
@given(data=st.data())
def test_repr_of_a_reply_tells_nothing_private(
    name: str, private: str, data: st.DataObject
) -> None:
    reply = {**draw_reply(name, data), private: "https://app.medblocks.com/c/private"}
    _, result = send(lambda: CALLS[name](reply), reply)
    assert "private" not in repr(result)


texts = st.text("abc é/%?#&", min_size=1, max_size=12)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text("dé"), inner, max_size=2),
    max_leaves=4,
)
metadata = st.dictionaries(st.text(max_size=9), anything, max_size=3)
TYPES = [
    "patient_session.completed",
    "connection.token_refresh_failed",
    "records.sync.completed",
    "records.sync.failed",
]
events = st.just(("*",)) | st.lists(st.sampled_from(TYPES), min_size=1, max_size=5)
PAGE: dict[str, Any] = {"resource_type": "list", "data": [], "has_more": False, "next_cursor": None}
SESSION: dict[str, Any] = {"id": "ps_1", "status": "open", "url": f"{BASE}/c/1", "connections": []}
ENDPOINT: dict[str, Any] = {"id": "wh_1", "status": "active", "events": ["*"], "secret": "whsec_1"}


@needs_contract
@bounded
@given(
    patient_id=texts.map(str.strip).filter(bool),
    facility=st.fixed_dictionaries({}, optional={"connection_id": texts})
    | st.fixed_dictionaries({"recommended_connection_ids": st.lists(texts, max_size=3)}),
    others=st.fixed_dictionaries(
        {},
        optional={
            "patient_email": st.sampled_from(["", "ann@example.org"]),
            "patient_name": st.text(max_size=30),
            "return_button_label": st.text(max_size=60),
            "expires_in": st.none() | st.integers(60, 86400),
            "metadata": st.none() | metadata,
        },
    ),
)
def test_session_that_is_asked_for_is_valid(
    patient_id: str, facility: dict[str, Any], others: dict[str, Any]
) -> None:
    sent, _ = send(
        lambda: CLIENT.patient_sessions.create(
            patient_id=patient_id, return_url=RETURN_URL, **facility, **others
        ),
        {**SESSION, "patient_id": patient_id},
    )
    assert sent == "api.initPatientSession"


@needs_contract
@bounded
@given(
    events=events,
    description=st.text(max_size=500),
    metadata=st.none() | metadata,
    url=st.sampled_from([WEBHOOK_URL, "http://localhost:8000/w/"]),
)
def test_endpoint_that_is_registered_is_valid(**parameters: Any) -> None:
    sent, _ = send(lambda: ENDPOINTS.create(**parameters), ENDPOINT)
    assert sent == "api.createWebhook"


CHANGES = {
    "url": st.just(WEBHOOK_URL),
    "events": events,
    "status": st.sampled_from(["active", "disabled"]),
    "description": st.text(max_size=500),
    "metadata": metadata,
}


@needs_contract
@bounded
@given(changes=st.fixed_dictionaries({}, optional=CHANGES).filter(bool))
def test_change_of_an_endpoint_is_valid(changes: dict[str, Any]) -> None:
    sent, _ = send(lambda: ENDPOINTS.update("wh_1", **changes), ENDPOINT)
    assert sent == "api.updateWebhook"


@needs_contract
@bounded
@given(
    limit=st.integers(1, 100),
    cursor=st.text("aZ09+/=", max_size=20),
    word=texts,
    status=st.sampled_from(["", "active", "disabled"]),
    session_status=st.sampled_from(["", "open", "complete", "expired"]),
    delivered=st.sampled_from([None, True, False]),
)
def test_list_that_is_asked_for_is_valid(
    limit: int, cursor: str, word: str, status: str, session_status: str, delivered: bool | None
) -> None:
    page = {"limit": limit, "starting_after": cursor}
    calls: list[tuple[str, Callable[[], Any]]] = [
        ("api.listFhirSources", lambda: CLIENT.connections.list(q=word, type=word, **page)),
        ("api.listPatients", lambda: CLIENT.patients.list(patient_id=word, email=word, **page)),
        (
            "api.listPatientSessionsForPatient",
            lambda: CLIENT.patients.list_patient_sessions(word, status=session_status, **page),
        ),
        ("api.listWebhooks", lambda: ENDPOINTS.list(status=status, **page)),
        (
            "api.listWebhookEvents",
            lambda: ENDPOINTS.list_events(word, delivered=delivered, **page),
        ),
    ]
    for name, call in calls:
        assert send(call, PAGE)[0] == name


@needs_contract
@pytest.mark.parametrize(
    ("since", "written"),
    [
        (None, None),
        (date(2026, 5, 1), "2026-05-01"),
        (datetime(2026, 5, 1, 10, tzinfo=timezone.utc), "2026-05-01T10:00:00Z"),
        (
            datetime(2026, 5, 1, 10, 0, 0, 5, tzinfo=timezone(timedelta(hours=2))),
            "2026-05-01T08:00:00.000005Z",
        ),
    ],
)
@responses.activate
def test_records_that_are_asked_for_are_valid(since: date | None, written: str | None) -> None:
    responses.get(re.compile(f"{BASE}/.*"), json={**PAGE, "patient_id": "p 1"})
    CLIENT.patients.list_records("p 1", type="Observation", since=since, ending_before="abc")
    request = responses.calls[0].request
    name = check_request(request.method, request.url, request.headers, request.body)
    assert name == "api.getPatientRecords"
    assert dict(parse_qsl(urlsplit(request.url).query)).get("since") == written


@needs_contract
@pytest.mark.parametrize(
    "error",
    read_contract().get("errors", []),
    ids=lambda error: f"{error['status']}-{error['code']}",
)
@responses.activate
def test_error_of_the_contract_is_read(error: dict[str, Any]) -> None:
    envelope = {"message": "m", "param": None, "doc_url": "https://x/", "request_id": "req_1"}
    envelope |= {"type": error["type"], "code": error["code"]}
    check({"$ref": "#/$defs/ErrorEnvelope"}, {"error": envelope})
    responses.get(f"{BASE}/webhooks", json={"error": envelope}, status=error["status"])
    with pytest.raises(MedblocksAPIError) as caught:
        ENDPOINTS.list()
    known = (caught.value.type, caught.value.code, caught.value.status_code)
    assert known == (error["type"], error["code"], error["status"])
