"""Webhook endpoints and their events over the API."""

import time
from datetime import timedelta

import pytest
import responses
from django.utils import timezone

from medblocks_connect.api.webhook_signatures import InvalidSignatureError, verify
from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.models import SandboxEvent, SandboxWebhookEndpoint
from medblocks_connect.sandbox.webhook_sender import send_event
from tests.sandbox.conftest import Caller

pytestmark = pytest.mark.django_db

URL = "http://localhost:9/hook/"
SETTINGS = {"WEBHOOK_URL": "http://127.0.0.1:9/webhook/", "WEBHOOK_SECRET": "whsec_of_settings"}


def create(caller: Caller, **body):
    response = caller.post("/webhooks", {"url": URL, "events": ["*"]} | body)
    assert response.status_code == 200, response.json()
    return response.json()


@pytest.fixture
def webhook(caller):
    """An endpoint for every event, as POST /webhooks answered."""
    return create(caller)


@pytest.fixture
def receiver():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def list_events(caller, webhook, **query):
    response = caller.get(f"/webhooks/{webhook['id']}/events", **query)
    assert response.status_code == 200, response.json()
    return response.json()["data"]


def test_created_endpoint_has_documented_shape(webhook):
    assert webhook.pop("id").startswith("wh_")
    assert webhook.pop("secret").startswith("whsec_")
    assert webhook.pop("created_at") == webhook.pop("updated_at")
    assert webhook == {
        "resource_type": "webhook_endpoint",
        "url": URL,
        "events": ["*"],
        "status": "active",
        "description": None,
        "metadata": {},
        "api_version": "2026-04-25",
    }


def test_secret_is_shown_once(caller, webhook):
    shown = caller.get(f"/webhooks/{webhook['id']}").json()
    assert shown == {name: value for name, value in webhook.items() if name != "secret"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("url", "http://clinic.example/hook/"),
        ("url", "https://clinic.example/a b"),
        ("url", "hook"),
        ("url", None),
        ("events", []),
        ("events", ["patient_session.opened"]),
        ("events", "*"),
        ("events", ["*"] * 6),
        ("events", [["*"]]),
        ("description", "x" * 501),
        ("metadata", []),
        ("metadata", 7),
        ("metadata", {str(number): 1 for number in range(51)}),
    ],
)
def test_invalid_property_is_refused(caller, name, value):
    response = caller.post("/webhooks", {"url": URL, "events": ["*"]} | {name: value})
    assert response.status_code == 400
    assert response.json()["error"]["param"] == name
    assert not SandboxWebhookEndpoint.objects.exists()


@pytest.mark.parametrize("name", ["url", "events"])
def test_missing_property_is_refused(caller, name):
    body = {key: value for key, value in {"url": URL, "events": ["*"]}.items() if key != name}
    assert caller.post("/webhooks", body).json()["error"]["param"] == name


def test_endpoints_are_listed_newest_first_and_by_status(caller, webhook):
    second = create(caller, url="https://clinic.example/hook/")
    caller.patch(f"/webhooks/{webhook['id']}", {"status": "disabled"})

    def list_ids(**query):
        return [row["id"] for row in caller.get("/webhooks", **query).json()["data"]]

    assert list_ids() == [second["id"], webhook["id"]]
    assert list_ids(status="active") == [second["id"]]
    assert list_ids(status="disabled") == [webhook["id"]]
    assert caller.get("/webhooks", status="gone").json()["error"]["param"] == "status"


def test_update_changes_only_what_it_names(caller, webhook):
    changed = caller.patch(f"/webhooks/{webhook['id']}", {"description": "Records"}).json()
    assert changed["description"] == "Records"
    assert (changed["url"], changed["events"], changed["status"]) == (URL, ["*"], "active")
    cleared = caller.patch(f"/webhooks/{webhook['id']}", {"description": None}).json()
    assert cleared["description"] is None


@pytest.mark.parametrize(("name", "value"), [("status", "asleep"), ("status", []), ("url", None)])
def test_update_with_invalid_property_is_refused(caller, webhook, name, value):
    response = caller.patch(f"/webhooks/{webhook['id']}", {name: value})
    assert response.json()["error"]["param"] == name


def test_rotated_secret_alone_signs_from_then_on(caller, webhook, receiver, session):
    receiver.post(URL, status=200)
    flows.approve(session)
    rotated = caller.post(f"/webhooks/{webhook['id']}/rotate-secret", {}).json()
    send_event(SandboxEvent.objects.get())
    request = receiver.calls[0].request
    header = request.headers["Medblocks-Signature"]
    verify(request.body, header, [rotated["secret"]], now=time.time())
    with pytest.raises(InvalidSignatureError, match="mismatch"):
        verify(request.body, header, [webhook["secret"]], now=time.time())


def test_deleted_endpoint_is_gone_and_hears_nothing(caller, webhook, session):
    response = caller.delete(f"/webhooks/{webhook['id']}")
    assert response.json() == {
        "id": webhook["id"], "resource_type": "webhook_endpoint", "deleted": True,
    }  # fmt: skip
    assert caller.get(f"/webhooks/{webhook['id']}").status_code == 404
    flows.approve(session)
    assert SandboxEvent.objects.get().endpoint is None


@pytest.mark.parametrize("path", ["", "/events"])
def test_unknown_endpoint_is_not_found(caller, path):
    assert caller.get(f"/webhooks/wh_none{path}").status_code == 404


def test_endpoint_of_the_settings_is_there_from_the_start(caller, settings):
    settings.MEDBLOCKS_SANDBOX = SETTINGS
    (first,) = caller.get("/webhooks").json()["data"]
    assert (first["url"], first["events"]) == (SETTINGS["WEBHOOK_URL"], ["*"])
    assert SandboxWebhookEndpoint.objects.get().secret == "whsec_of_settings"
    assert caller.get("/webhooks").json()["data"] == [first]


def test_endpoint_of_the_settings_stays_deleted(caller, settings):
    settings.MEDBLOCKS_SANDBOX = SETTINGS
    (first,) = caller.get("/webhooks").json()["data"]
    caller.delete(f"/webhooks/{first['id']}")
    assert caller.get("/webhooks").json()["data"] == []


def test_endpoint_of_other_settings_takes_its_place(caller, settings):
    settings.MEDBLOCKS_SANDBOX = SETTINGS
    (first,) = caller.get("/webhooks").json()["data"]
    settings.MEDBLOCKS_SANDBOX = SETTINGS | {"WEBHOOK_SECRET": "whsec_new"}
    (second,) = caller.get("/webhooks").json()["data"]
    assert second["id"] != first["id"]
    settings.MEDBLOCKS_SANDBOX = {}
    assert caller.get("/webhooks").json()["data"] == []


def test_event_goes_to_each_endpoint_that_asked_for_its_type(caller, webhook, session):
    records = create(caller, events=["records.sync.completed", "records.sync.failed"])
    flows.sync_records(flows.approve(session))
    assert [event["type"] for event in list_events(caller, webhook)] == [
        "records.sync.completed", "patient_session.completed",
    ]  # fmt: skip
    assert [event["type"] for event in list_events(caller, records)] == ["records.sync.completed"]


def test_event_has_documented_shape(caller, webhook, session):
    flows.approve(session)
    (event,) = list_events(caller, webhook)
    stored = SandboxEvent.objects.get()
    assert event.pop("created_at") == event.pop("next_attempt_at") == stored.payload["created_at"]
    assert event == {
        "id": stored.event_id,
        "resource_type": "event",
        "webhook_endpoint_id": webhook["id"],
        "type": "patient_session.completed",
        "data": stored.payload["data"],
        "api_version": "2026-04-25",
        "attempts": 0,
        "delivered_at": None,
        "last_status_code": None,
        "last_response_body": None,
        "last_redelivered_at": None,
    }


def test_events_are_listed_by_delivery(caller, webhook, session, receiver):
    receiver.post(URL, body="thanks", status=200)
    first = flows.sync_records(flows.approve(session))
    send_event(first)
    (delivered,) = list_events(caller, webhook, delivered="true")
    assert (delivered["id"], delivered["attempts"]) == (first.event_id, 1)
    assert (delivered["last_status_code"], delivered["last_response_body"]) == (200, "thanks")
    assert delivered["next_attempt_at"] is None
    (waiting,) = list_events(caller, webhook, delivered="false")
    assert waiting["type"] == "patient_session.completed"
    response = caller.get(f"/webhooks/{webhook['id']}/events", delivered="yes")
    assert response.json()["error"]["param"] == "delivered"


def test_events_are_listed_page_by_page(caller, webhook, session):
    flows.sync_records(flows.approve(session))
    path = f"/webhooks/{webhook['id']}/events"
    page = caller.get(path, limit=1).json()
    rest = caller.get(path, limit=1, starting_after=page["next_cursor"]).json()
    assert (rest["data"][0]["type"], rest["has_more"]) == ("patient_session.completed", False)


def test_redelivery_sends_the_same_event_again(caller, webhook, session, receiver):
    receiver.post(URL, status=200)
    flows.approve(session)
    event = SandboxEvent.objects.get()
    send_event(event)
    response = caller.post(f"/events/{event.event_id}/redeliver", {}).json()
    assert (response["id"], response["attempts"]) == (event.event_id, 2)
    assert response["last_redelivered_at"]
    assert receiver.calls[0].request.body == receiver.calls[1].request.body


def test_redelivery_within_a_minute_is_throttled(caller, webhook, session, receiver):
    receiver.post(URL, status=200)
    flows.approve(session)
    path = f"/events/{SandboxEvent.objects.get().event_id}/redeliver"
    caller.post(path, {})
    response = caller.post(path, {})
    assert (response.status_code, response.json()["error"]["code"]) == (429, "throttled")
    assert 50 <= int(response["Retry-After"]) <= 60
    SandboxEvent.objects.update(last_redelivered_at=timezone.now() - timedelta(seconds=60))
    assert caller.post(path, {}).status_code == 200


def test_redelivery_to_a_disabled_endpoint_is_refused(caller, webhook, session):
    flows.approve(session)
    caller.patch(f"/webhooks/{webhook['id']}", {"status": "disabled"})
    response = caller.post(f"/events/{SandboxEvent.objects.get().event_id}/redeliver", {})
    assert (response.status_code, response.json()["error"]["code"]) == (409, "resource_conflict")


def test_redelivery_of_an_event_for_nobody_is_not_found(caller, session):
    flows.approve(session)
    path = f"/events/{SandboxEvent.objects.get().event_id}/redeliver"
    assert caller.post(path, {}).status_code == 404
