"""The sandbox's first page: webhook endpoints with their buttons, and the log of events."""

import pytest
import responses
from django.test import Client

from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.models import SandboxEvent, SandboxWebhookEndpoint
from medblocks_connect.sandbox.webhook_sender import send_waiting
from tests.sandbox.conftest import BASE

pytestmark = pytest.mark.django_db

URL = "http://localhost:9/hook/"


@pytest.fixture
def webhook(caller):
    caller.post("/webhooks", {"url": URL, "events": ["*"]})
    return SandboxWebhookEndpoint.objects.get()


@pytest.fixture
def receiver():
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def show(client):
    return client.get(f"{BASE}/").content.decode()


def press(client, webhook, action):
    return client.post(f"{BASE}/page/endpoints/{webhook.endpoint_id}", {"action": action})


def test_page_without_endpoints_says_how_to_make_one(client):
    text = show(client)
    assert "Register one over the API" in text
    assert "None yet." in text


def test_page_shows_endpoint_without_its_secret(client, webhook):
    text = show(client)
    assert URL in text
    assert "Active." in text
    assert webhook.secret not in text


def test_page_escapes_endpoint(client, caller):
    url = "https://clinic.example/?<script>"
    caller.post("/webhooks", {"url": url, "events": ["*"], "description": "<b>x</b>"})
    text = show(client)
    assert "?&lt;script&gt;" in text
    assert "<b>x</b>" not in text
    assert "sends to this machine only" in text


def test_button_fail_lets_deliveries_fail_until_arrive(client, webhook):
    response = press(client, webhook, "fail")
    assert (response.status_code, response.url) == (303, f"{BASE}/#webhooks")
    assert "Every delivery to it fails." in show(client)
    press(client, webhook, "arrive")
    assert "Every delivery to it fails." not in show(client)


def test_button_days_disables_a_failing_endpoint_and_enable_ends_that(client, webhook, session):
    flows.approve(session)
    press(client, webhook, "fail")
    press(client, webhook, "send")
    assert "Waits after attempt 1 of 9: answered 503." in show(client)
    press(client, webhook, "days")
    text = show(client)
    assert "<strong>Disabled.</strong>" in text
    assert "Given up after attempt 9: answered 503." in text
    press(client, webhook, "enable")
    assert "<strong>Disabled.</strong>" not in show(client)


def test_log_says_what_became_of_each_event(client, caller, session, receiver):
    connection = flows.approve(session)
    caller.post("/webhooks", {"url": URL, "events": ["*"]})
    webhook = SandboxWebhookEndpoint.objects.get()
    receiver.post(URL, status=200)
    flows.sync_records(connection)
    assert "Is about to be sent." in show(client)
    send_waiting()
    caller.patch(f"/webhooks/{webhook.endpoint_id}", {"status": "disabled"})
    flows.lose_access(connection)
    text = show(client)
    for outcome in ("Kept for nobody", "Delivered at attempt 1.", "Never sent"):
        assert text.count(outcome) == 1


def test_log_shows_the_newest_events_alone(client, caller, session):
    connection = flows.approve(session)
    for _time in range(30):
        flows.sync_records(connection)
    text = show(client)
    assert text.count("<code>records.sync.completed</code>") == 30
    assert SandboxEvent.objects.earliest("pk").event_id not in text


@pytest.mark.parametrize(("endpoint", "action"), [("wh_none", "fail"), ("", "explode")])
def test_unknown_endpoint_or_action_is_not_found(client, webhook, endpoint, action):
    path = f"{BASE}/page/endpoints/{endpoint or webhook.endpoint_id}"
    assert client.post(path, {"action": action}).status_code == 404


def test_button_without_csrf_token_is_refused(webhook):
    assert press(Client(enforce_csrf_checks=True), webhook, "fail").status_code == 403
    assert not SandboxWebhookEndpoint.objects.get().fails_deliveries


def test_button_of_a_site_without_debug_is_not_found(client, webhook, settings):
    settings.DEBUG = False
    assert press(client, webhook, "fail").status_code == 404
