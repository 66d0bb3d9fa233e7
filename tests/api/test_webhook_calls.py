"""The calls about webhook endpoints and events: what they refuse, and how they go on."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
import responses

from medblocks_connect.api import (
    InvalidRequestError,
    MedblocksClient,
    NoAnswerError,
    UnexpectedReplyError,
)
from tests.api.conftest import KEY, MakeClient, Serve
from tests.api.strict import ENDPOINT, EVENT, page

BASE = "https://app.medblocks.com"
WITH_SECRET = {**ENDPOINT, "secret": "whsec_hidden"}
URL = "https://clinic.example/records/webhook/"


@pytest.fixture
def client() -> MedblocksClient:
    return MedblocksClient(KEY, max_retries=0)


def read_body() -> Any:
    return json.loads(responses.calls[-1].request.body)


@responses.activate
def test_created_endpoint_hears_every_event_and_tells_its_secret(client: MedblocksClient) -> None:
    responses.post(f"{BASE}/webhooks", json=WITH_SECRET)
    endpoint = client.webhook_endpoints.create(url=URL)
    assert read_body() == {"url": URL, "events": ["*"]}
    assert (endpoint.id, endpoint.secret.reveal()) == ("wh_1", "whsec_hidden")


@responses.activate
def test_update_sends_what_is_given_alone(client: MedblocksClient) -> None:
    responses.patch(f"{BASE}/webhooks/wh_1", json=ENDPOINT)
    client.webhook_endpoints.update("wh_1", status="active")
    assert read_body() == {"status": "active"}


@responses.activate
def test_update_takes_a_description_away(client: MedblocksClient) -> None:
    responses.patch(f"{BASE}/webhooks/wh_1", json=ENDPOINT)
    client.webhook_endpoints.update("wh_1", description="", metadata={})
    assert read_body() == {"description": None, "metadata": {}}


@responses.activate
@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"url": ""}, "url"),
        ({"url": "clinic.example"}, "url"),
        ({"url": "http://clinic.example/"}, "url"),
        ({"url": "http://127.0.0.1/"}, "url"),
        ({"url": "https://"}, "url"),
        ({"url": "https://clinic.example/a b"}, "url"),
        ({"url": "https://[::1"}, "url"),
        ({"events": "*"}, "events"),
        ({"events": []}, "events"),
        ({"events": [""]}, "events"),
        ({"events": ["*"] * 6}, "events"),
        ({"description": "x" * 501}, "description"),
        ({"metadata": {str(number): 1 for number in range(51)}}, "metadata"),
        ({"metadata": ["a"]}, "metadata"),
        ({"metadata": {"a": object()}}, "metadata"),
    ],
)
def test_impossible_endpoint_raises_value_error(
    client: MedblocksClient, parameters: dict[str, Any], word: str
) -> None:
    with pytest.raises(ValueError, match=word):
        client.webhook_endpoints.create(**{"url": URL, **parameters})
    with pytest.raises(ValueError, match=word):
        client.webhook_endpoints.update("wh_1", **parameters)
    assert len(responses.calls) == 0


@pytest.mark.parametrize(("changes", "word"), [({}, "change"), ({"status": "off"}, "status")])
def test_impossible_change_raises_value_error(
    client: MedblocksClient, changes: dict[str, Any], word: str
) -> None:
    with pytest.raises(ValueError, match=word):
        client.webhook_endpoints.update("wh_1", **changes)


@responses.activate
@pytest.mark.parametrize(
    ("method", "path", "answer", "call"),
    [
        ("GET", "", ENDPOINT, lambda endpoints: endpoints.retrieve("wh_2")),
        ("PATCH", "", ENDPOINT, lambda endpoints: endpoints.update("wh_2", status="active")),
        ("DELETE", "", {"id": "wh_1", "deleted": True}, lambda e: e.delete("wh_2")),
        ("POST", "/rotate-secret", WITH_SECRET, lambda e: e.rotate_secret("wh_2")),
    ],
)
def test_answer_about_another_endpoint_is_an_unexpected_reply(
    client: MedblocksClient, method: str, path: str, answer: Any, call: Callable[[Any], Any]
) -> None:
    responses.add(method, f"{BASE}/webhooks/wh_2{path}", json=answer)
    with pytest.raises(UnexpectedReplyError):
        call(client.webhook_endpoints)


@responses.activate
def test_answer_about_another_event_is_an_unexpected_reply(client: MedblocksClient) -> None:
    responses.post(f"{BASE}/events/evt_2/redeliver", json=EVENT)
    with pytest.raises(UnexpectedReplyError):
        client.events.redeliver("evt_2")


@pytest.mark.parametrize("identifier", ["", "..", "\ud800"])
def test_impossible_id_is_refused_before_sending(client: MedblocksClient, identifier: str) -> None:
    for call in (client.webhook_endpoints.delete, client.events.redeliver):
        with pytest.raises(InvalidRequestError):
            call(identifier)


@responses.activate
def test_iterate_goes_on_to_the_next_page(client: MedblocksClient) -> None:
    responses.get(f"{BASE}/webhooks", json=page(ENDPOINT, next_cursor="c"))
    responses.get(f"{BASE}/webhooks", json=page({**ENDPOINT, "id": "wh_2"}))
    found = [endpoint.id for endpoint in client.webhook_endpoints.iterate(status="disabled")]
    assert found == ["wh_1", "wh_2"]
    assert "status=disabled" in responses.calls[1].request.url
    assert "starting_after=c" in responses.calls[1].request.url


@responses.activate
def test_unreadable_event_does_not_cost_the_others(client: MedblocksClient) -> None:
    responses.get(f"{BASE}/webhooks/wh_1/events", json=page({"id": "evt_0"}, EVENT))
    events = client.webhook_endpoints.list_events("wh_1", delivered=False)
    assert ([event.id for event in events.data], events.unreadable) == (["evt_1"], 1)
    assert "delivered=false" in responses.calls[0].request.url


@responses.activate
def test_iterate_events_goes_on_to_the_next_page(client: MedblocksClient) -> None:
    responses.get(f"{BASE}/webhooks/wh_1/events", json=page(EVENT, next_cursor="c"))
    responses.get(f"{BASE}/webhooks/wh_1/events", json=page(EVENT))
    assert len([*client.webhook_endpoints.iterate_events("wh_1")]) == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.webhook_endpoints.create(url=URL),
        lambda client: client.webhook_endpoints.update("wh_1", status="active"),
        lambda client: client.webhook_endpoints.rotate_secret("wh_1"),
        lambda client: client.webhook_endpoints.delete("wh_1"),
        lambda client: client.events.redeliver("evt_1"),
        lambda client: client.patients.delete("p-1"),
    ],
)
def test_call_without_an_answer_is_not_repeated(
    serve: Serve, make_client: MakeClient, call: Callable[[MedblocksClient], Any]
) -> None:
    """Case 9."""
    server = serve(lambda *_: False)
    with pytest.raises(NoAnswerError):
        call(make_client(server.url, max_retries=2))
    assert len(server.requests) == 1


@responses.activate
def test_log_of_a_creation_tells_no_secret(
    client: MedblocksClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    responses.post(f"{BASE}/webhooks", json=WITH_SECRET)
    client.webhook_endpoints.create(url=URL)
    assert "/webhooks" in caplog.text
    assert "hidden" not in caplog.text
