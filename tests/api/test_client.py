"""Each method of the client: its request, the parameters and the answers that it refuses."""

from __future__ import annotations

import pprint
from typing import Any

import pytest
import responses

from medblocks_connect.api import (
    InvalidRequestError,
    MedblocksClient,
    UnexpectedReplyError,
)
from tests.api.conftest import KEY, MakeClient, Serve, reply_json
from tests.api.strict import FACILITY, StrictMedblocks, page, session

BASE = "https://app.medblocks.com"


@pytest.fixture
def client() -> MedblocksClient:
    return MedblocksClient(KEY, max_retries=0)


def create(client: MedblocksClient, **extra: Any) -> Any:
    parameters = {"patient_id": "p1", "return_url": "https://clinic.example/return/", **extra}
    return client.patient_sessions.create(**parameters)


def test_every_method_sends_only_what_the_api_page_names(
    strict: StrictMedblocks, make_client: MakeClient
) -> None:
    client = make_client(strict.url)
    assert client.health().ok
    assert client.connections.list().data[0].type == ""
    client.connections.list(q="a&b=c d/é", type="epic", limit=100, starting_after="x+/=")
    assert len(list(client.connections.iterate(q="gen", type="epic"))) == 2
    assert client.connections.retrieve("fhirsrc_1").name == "General Hospital"
    create(client)
    create(client, connection_id="fhirsrc_1", patient_email="", patient_name="", metadata={})
    everything = create(
        client,
        recommended_connection_ids=("fhirsrc_1", "fhirsrc_2"),
        patient_email="ann@example.org",
        patient_name="Ann Müller",
        return_button_label="Back to the clinic",
        expires_in=60,
        metadata={"attempt": "a1"},
    )
    assert everything.metadata == {"attempt": "a1"}
    assert client.patient_sessions.retrieve("ps_1").status == "open"
    assert client.patients.retrieve("patient 1").connections[0].id == ""
    client.patients.list_patient_sessions("patient 1", status="open", starting_after="c")
    assert len(list(client.patients.iterate_patient_sessions("p/1", status="open"))) == 2
    assert client.patients.disconnect_connection("p1", "conn_1").disconnected
    assert set(strict.seen) == {
        "GET /health",
        "GET /connections",
        "GET /connections/{}",
        "POST /patient-sessions",
        "GET /patient-sessions/{}",
        "GET /patients/{}",
        "GET /patients/{}/patient-sessions",
        "DELETE /patients/{}/connections/{}",
    }


def test_strict_server_complains_of_what_the_page_does_not_name(make_client: MakeClient) -> None:
    medblocks = StrictMedblocks(KEY)
    medblocks.answer("GET", "/connections?nonsense=1", {"x-new": "1"}, b"")
    medblocks.answer("POST", "/patient-sessions", {}, b'{"patient_id": "p", "other": 1}')
    medblocks.answer("GET", "/nowhere", {}, b"")
    complaints = " | ".join(medblocks.complaints)
    for part in ("nonsense", "x-new", "authorization", "other", "return_url", "/nowhere"):
        assert part in complaints


@pytest.mark.parametrize(
    ("identifier", "target"),
    [
        ("https://fhir.example/r4", "https%3A%2F%2Ffhir.example%2Fr4"),
        ("a/../b", "a%2F..%2Fb"),
        ("a b", "a%20b"),
        ("100%", "100%25"),
        ("%2E%2E", "%252E%252E"),
        ("…", "%E2%80%A6"),
        ("\U0001f984?#&", "%F0%9F%A6%84%3F%23%26"),
        ("...", "..."),
        ("a.b~c", "a.b~c"),
    ],
)
def test_id_in_path_arrives_percent_encoded(
    serve: Serve, make_client: MakeClient, identifier: str, target: str
) -> None:
    server = serve(reply_json(session(session_id=identifier)))
    make_client(server.url).patient_sessions.retrieve(identifier)
    assert server.requests[0].target == f"/patient-sessions/{target}"


def test_base_url_with_path_keeps_its_path(serve: Serve, make_client: MakeClient) -> None:
    server = serve(reply_json({"ok": True}))
    make_client(server.url + "/sandbox/").health()
    assert server.requests[0].target == "/sandbox/health"


@responses.activate
@pytest.mark.parametrize("identifier", ["", ".", "..", "\ud800"])
@pytest.mark.parametrize(
    "call",
    [
        lambda client, bad: client.connections.retrieve(bad),
        lambda client, bad: client.patient_sessions.retrieve(bad),
        lambda client, bad: client.patients.retrieve(bad),
        lambda client, bad: client.patients.list_patient_sessions(bad),
        lambda client, bad: client.patients.disconnect_connection("p1", bad),
    ],
)
def test_impossible_id_is_refused_before_sending(
    client: MedblocksClient, call: Any, identifier: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        call(client, identifier)
    assert (caught.value.code, caught.value.status_code) == ("invalid_id", None)
    assert len(responses.calls) == 0


@responses.activate
@pytest.mark.parametrize("url", ["clinicapp://return", "clinicapp:/return"])
def test_return_url_may_be_a_native_apps(client: MedblocksClient, url: str) -> None:
    responses.post(f"{BASE}/patient-sessions", json=session("p1"))
    assert create(client, return_url=url).id == "ps_1"


@responses.activate
def test_lone_surrogate_in_query_is_refused_before_sending(client: MedblocksClient) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        client.connections.list(q="\udfff")
    assert caught.value.param == "q"
    assert len(responses.calls) == 0


@responses.activate
@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"patient_id": ""}, "patient_id"),
        ({"patient_id": "p\x00"}, "patient_id"),
        ({"return_url": ""}, "return_url"),
        ({"return_url": "/records/return/"}, "return_url"),
        ({"return_url": "//clinic.example/return/"}, "return_url"),
        ({"return_url": "https://[::1"}, "return_url"),
        ({"return_url": "https://clinic.example/a b"}, "return_url"),
        ({"patient_email": "ann"}, "patient_email"),
        ({"patient_email": "ann lee@example.org"}, "patient_email"),
        ({"recommended_connection_ids": ["fhirsrc_1", ""]}, "recommended_connection_ids"),
        ({"metadata": ["a"]}, "metadata"),
        ({"connection_id": "a", "recommended_connection_ids": ["b"]}, "both"),
        ({"recommended_connection_ids": "fhirsrc_1"}, "recommended_connection_ids"),
        ({"return_button_label": "x" * 61}, "return_button_label"),
        ({"expires_in": 59}, "expires_in"),
        ({"expires_in": 86401}, "expires_in"),
        ({"expires_in": 0}, "expires_in"),
        ({"metadata": {"a": object()}}, "metadata"),
        ({"metadata": {"a": float("nan")}}, "metadata"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
    ],
)
def test_session_with_impossible_parameter_raises_value_error(
    client: MedblocksClient, parameters: dict[str, Any], word: str
) -> None:
    with pytest.raises(ValueError, match=word):
        create(client, **parameters)
    assert len(responses.calls) == 0


@responses.activate
@pytest.mark.parametrize("limit", [0, 101, -1, True, 1.0])
def test_limit_out_of_range_raises_value_error(client: MedblocksClient, limit: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        client.connections.list(limit=limit)
    with pytest.raises(ValueError, match="limit"):
        client.patients.list_patient_sessions("p1", limit=limit)


@pytest.mark.parametrize(
    "settings",
    [
        {"api_key": ""},
        {"api_key": "mb_sk_sbx_1\r\nX: y"},
        {"api_key": "mb sk"},
        {"api_key": "clé"},
        {"api_version": "2026\n"},
        {"base_url": "app.medblocks.com"},
        {"base_url": "ftp://app.medblocks.com"},
        {"base_url": "https://"},
        {"base_url": "https://user:word@app.medblocks.com"},
        {"base_url": "https://app.medblocks.com/?a=b"},
        {"base_url": "https://app.medblocks.com/#x"},
        {"base_url": "https://app.medblocks.com:99999"},
        {"base_url": "https://app.medblocks.com:port"},
        {"base_url": "https://app.medblocks.com\n"},
        {"base_url": " https://app.medblocks.com"},
        {"base_url": "https://app .medblocks.com"},
        {"base_url": "https://app\u2028.medblocks.com"},
        {"base_url": "https://.medblocks.com"},
        {"base_url": "https://[::1"},
        {"proxy": "proxy.example:3128"},
        {"proxy": "https://proxy.example"},
        {"proxy": "socks5://proxy.example"},
        {"proxy": "http://"},
        {"proxy": "http://proxy.example:99999"},
        {"proxy": "http://proxy.example/path"},
        {"proxy": "http://proxy.example?a=b"},
        {"proxy": "http://proxy.example\n"},
        {"proxy": "http://user:%E2%82%AC@proxy.example"},
        {"ca_bundle": "/nowhere/ca.pem"},
        {"ca_bundle": "/dev/null"},
        {"ca_bundle": "/"},
        {"ca_bundle": "a\x00"},
        {"timeout": 0},
        {"connect_timeout": -1},
        {"max_retries": -1},
    ],
)
def test_impossible_setting_raises_value_error(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings)).split("_")[-1]) as caught:
        MedblocksClient(**{"api_key": KEY, **settings})
    assert "X: y" not in str(caught.value)


# No object's address, which is hexadecimal, has these letters in it.
@pytest.mark.parametrize(
    ("key", "shown"),
    [
        ("mb_sk_live_xyz", "mb_sk_live_********"),
        ("mb_sk_sbx_xyz", "mb_sk_sbx_********"),
        ("xyz", "'********'"),
    ],
)
def test_repr_masks_key(key: str, shown: str) -> None:
    client = MedblocksClient(key)
    everything = repr(client) + repr(vars(client)) + repr(vars(client.patients._transport))
    assert shown in repr(client)
    assert "xyz" not in everything


@pytest.mark.parametrize("key", ["mb_sk_live_xyz", "mb_sk_sbx_xyz", "xyz"])
def test_pprint_of_vars_masks_key(key: str) -> None:
    client = MedblocksClient(key)
    for holder in (client, client.patients, client.patients._transport):
        assert "xyz" not in pprint.pformat(vars(holder))


@responses.activate
def test_empty_api_version_sends_no_version_header() -> None:
    responses.get(f"{BASE}/health", json={"ok": True})
    MedblocksClient(KEY, api_version="").health()
    assert "Version" not in responses.calls[0].request.headers


@responses.activate
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(session("another"), id="case-11-another-patient"),
        pytest.param(session("p1", url=""), id="case-11-empty-url"),
        pytest.param(session("p1", url=None), id="case-11-no-url"),
        pytest.param(session("p1", url="https://x/" + "a" * 20_000), id="case-6-url-of-20-kb"),
        pytest.param(session("p1", url="https://x/\x00"), id="case-6-url-with-nul"),
        pytest.param(session("p1", url=7), id="case-11-url-is-a-number"),
        pytest.param(session("p1", session_id=""), id="case-11-no-id"),
        pytest.param(None, id="case-11-null"),
        pytest.param([session("p1")], id="case-11-list"),
    ],
)
def test_unusable_session_is_an_unexpected_reply(client: MedblocksClient, answer: Any) -> None:
    responses.post(f"{BASE}/patient-sessions", json=answer, headers={"X-Request-Id": "req_9"})
    with pytest.raises(UnexpectedReplyError) as caught:
        create(client)
    assert (caught.value.status_code, caught.value.request_id) == (200, "req_9")
    assert len(responses.calls) == 1


@responses.activate
@pytest.mark.parametrize(
    ("path", "answer", "call"),
    [
        ("/connections/f2", FACILITY, lambda client: client.connections.retrieve("f2")),
        ("/patient-sessions/ps_2", session(), lambda c: c.patient_sessions.retrieve("ps_2")),
        ("/patients/p2", {"id": "p1"}, lambda client: client.patients.retrieve("p2")),
        (
            "/patients/p2/patient-sessions",
            page(session("p1")),
            lambda client: client.patients.list_patient_sessions("p2"),
        ),
    ],
)
def test_answer_about_another_id_is_an_unexpected_reply(
    client: MedblocksClient, path: str, answer: Any, call: Any
) -> None:
    responses.get(f"{BASE}{path}", json=answer)
    with pytest.raises(UnexpectedReplyError):
        call(client)


@responses.activate
def test_answer_about_another_connection_is_an_unexpected_reply(client: MedblocksClient) -> None:
    answer = {"id": "conn_2", "disconnected": True}
    responses.delete(f"{BASE}/patients/p1/connections/conn_1", json=answer)
    with pytest.raises(UnexpectedReplyError):
        client.patients.disconnect_connection("p1", "conn_1")


@responses.activate
def test_facility_is_retrieved_by_its_base_url(client: MedblocksClient) -> None:
    responses.get(f"{BASE}/connections/https%3A%2F%2Ffhir.example.org%2Fr4%2F", json=FACILITY)
    assert client.connections.retrieve("https://fhir.example.org/r4/").id == "fhirsrc_1"


@responses.activate
@pytest.mark.parametrize("cursor", [None, "", "same"])
def test_iterate_raises_where_the_cursor_leads_nowhere(
    client: MedblocksClient, cursor: str | None
) -> None:
    responses.get(
        f"{BASE}/connections", json={**page(FACILITY), "has_more": True, "next_cursor": cursor}
    )
    facilities = client.connections.iterate()
    assert next(facilities).id == "fhirsrc_1"
    with pytest.raises(UnexpectedReplyError):
        list(facilities)


@responses.activate
def test_iterate_asks_for_a_page_only_when_needed(client: MedblocksClient) -> None:
    responses.get(f"{BASE}/connections", json=page(FACILITY, next_cursor="c"))
    next(client.connections.iterate())
    assert len(responses.calls) == 1
