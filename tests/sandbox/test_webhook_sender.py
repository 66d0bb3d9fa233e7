"""Webhooks: signed, sent after the commit, sent again until answered."""

import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import requests
import responses
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from medblocks_connect.sandbox import flows, webhook_sender
from medblocks_connect.sandbox.models import SandboxEvent, SandboxWebhookEndpoint
from medblocks_connect.sandbox.webhook_registry import set_endpoint_status
from tests.sandbox.conftest import wait_for_senders

pytestmark = pytest.mark.django_db

URL = "http://127.0.0.1:9/webhook/"
SECRET = "whsec_only_for_tests"


@pytest.fixture
def receiver(settings):
    """A receiver's address that answers what the test adds."""
    settings.MEDBLOCKS_SANDBOX = {"WEBHOOK_URL": URL, "WEBHOOK_SECRET": SECRET}
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


def test_send_event_signs_the_body(receiver, session):
    receiver.post(URL, status=200)
    flows.approve(session)
    assert webhook_sender.send_event(SandboxEvent.objects.get()) is True
    request = receiver.calls[0].request
    moment, signature = request.headers["Medblocks-Signature"].split(",")
    signed = moment.removeprefix("t=").encode() + b"." + request.body
    expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert signature == f"v1={expected}"
    assert abs(int(moment.removeprefix("t=")) - time.time()) < 60
    assert json.loads(request.body)["type"] == "patient_session.completed"


def test_send_event_answered_2xx_is_delivered(receiver, session):
    receiver.post(URL, status=204)
    flows.approve(session)
    webhook_sender.send_event(SandboxEvent.objects.get())
    event = SandboxEvent.objects.get()
    assert (event.attempts, event.last_status) == (1, 204)
    assert event.delivered_at is not None


@pytest.mark.parametrize("status", [302, 400, 500])
def test_send_event_answered_otherwise_is_not_delivered(receiver, session, status):
    receiver.post(URL, status=status, headers={"Location": "http://127.0.0.1:9/elsewhere"})
    flows.approve(session)
    assert webhook_sender.send_event(SandboxEvent.objects.get()) is False
    event = SandboxEvent.objects.get()
    assert (event.attempts, event.last_status, event.delivered_at) == (1, status, None)
    assert len(receiver.calls) == 1


def test_send_event_without_answer_is_not_delivered(receiver, session):
    receiver.post(URL, body=requests.ConnectTimeout())
    flows.approve(session)
    assert webhook_sender.send_event(SandboxEvent.objects.get()) is False
    event = SandboxEvent.objects.get()
    assert (event.attempts, event.last_status, event.delivered_at) == (1, None, None)


def test_send_event_twice_sends_same_bytes(receiver, session):
    receiver.post(URL, status=200)
    flows.approve(session)
    webhook_sender.send_event(SandboxEvent.objects.get())
    webhook_sender.send_event(SandboxEvent.objects.get())
    first, second = receiver.calls
    assert first.request.body == second.request.body


@pytest.mark.parametrize(
    "configured",
    [
        {},
        {"WEBHOOK_URL": URL},
        {"WEBHOOK_URL": "https://hooks.example/", "WEBHOOK_SECRET": SECRET},
        {"WEBHOOK_URL": "http://10.0.0.1/", "WEBHOOK_SECRET": SECRET},
    ],
)
def test_send_event_without_receiver_sends_nothing(settings, session, configured):
    settings.MEDBLOCKS_SANDBOX = configured
    flows.approve(session)
    with responses.RequestsMock() as mock:
        assert webhook_sender.send_event(SandboxEvent.objects.get()) is False
        assert len(mock.calls) == 0


def test_command_sends_undelivered_events(receiver, session, capsys):
    receiver.post(URL, status=500)
    receiver.post(URL, status=200)
    flows.sync_records(flows.approve(session))
    call_command("sandbox_send_webhooks")
    assert "1 of 2 events delivered" in capsys.readouterr().out
    receiver.post(URL, status=200)
    call_command("sandbox_send_webhooks")
    assert "1 of 1 events delivered" in capsys.readouterr().out
    call_command("sandbox_send_webhooks")
    assert "0 of 0 events delivered" in capsys.readouterr().out


def test_command_due_leaves_what_still_waits(receiver, session, capsys):
    receiver.post(URL, status=500)
    flows.approve(session)
    call_command("sandbox_send_webhooks", "--due")
    call_command("sandbox_send_webhooks", "--due")
    assert capsys.readouterr().out.splitlines() == [
        "0 of 1 events delivered.", "0 of 0 events delivered.",
    ]  # fmt: skip


def read_endpoint():
    return SandboxWebhookEndpoint.objects.get()


def test_failed_attempts_wait_as_long_as_medblocks_does(receiver, session):
    receiver.post(URL, status=500)
    event = flows.sync_records(flows.approve(session))
    waits = []
    for _attempt in range(8):
        before = timezone.now()
        webhook_sender.send_event(event)
        waits.append(round((event.next_attempt_at - before).total_seconds()))
    assert waits == [60, 300, 1_800, 7_200, 43_200, 86_400, 86_400, 86_400]
    assert read_endpoint().status == "active"


def test_ninth_failed_attempt_disables_the_endpoint_silently(receiver, session):
    receiver.post(URL, status=500)
    event = flows.sync_records(flows.approve(session))
    for _attempt in range(9):
        webhook_sender.send_event(event)
    assert read_endpoint().status == "disabled"
    assert SandboxEvent.objects.count() == 2
    assert not SandboxEvent.objects.exclude(next_attempt_at=None).exists()
    assert webhook_sender.send_event(event) is False
    assert len(receiver.calls) == 9


def test_days_without_an_answer_disable_the_endpoint(receiver, session):
    receiver.post(URL, status=500)
    flows.approve(session)
    webhook_sender.send_until_given_up(read_endpoint())
    assert len(receiver.calls) == 9
    assert read_endpoint().status == "disabled"


def test_receiver_that_recovers_within_days_gets_the_event(receiver, session):
    for status in (500, 500, 200):
        receiver.post(URL, status=status)
    flows.approve(session)
    webhook_sender.send_until_given_up(read_endpoint())
    assert (SandboxEvent.objects.get().attempts, read_endpoint().status) == (3, "active")


def test_event_of_a_disabled_endpoint_is_kept_and_never_sent(receiver, session):
    connection = flows.approve(session)
    set_endpoint_status(read_endpoint(), "disabled")
    event = flows.sync_records(connection)
    set_endpoint_status(read_endpoint(), "active")
    assert (event.endpoint, event.next_attempt_at) == (read_endpoint(), None)
    assert webhook_sender.send_waiting() == []


def test_event_of_a_disabled_endpoint_is_not_kept_where_so_set(receiver, session, settings):
    settings.MEDBLOCKS_SANDBOX["DISABLED_ENDPOINTS_RECORD_EVENTS"] = False
    connection = flows.approve(session)
    set_endpoint_status(read_endpoint(), "disabled")
    assert flows.sync_records(connection).endpoint is None


def test_redelivery_of_a_given_up_event_disables_nothing(receiver, session):
    receiver.post(URL, status=500)
    flows.approve(session)
    webhook_sender.send_until_given_up(read_endpoint())
    set_endpoint_status(read_endpoint(), "active")
    webhook_sender.redeliver(SandboxEvent.objects.get())
    assert (SandboxEvent.objects.get().attempts, read_endpoint().status) == (10, "active")


def test_endpoint_told_to_fail_sends_nothing_and_counts_the_attempt(receiver, session):
    flows.approve(session)
    SandboxWebhookEndpoint.objects.update(fails_deliveries=True)
    event = SandboxEvent.objects.get()
    assert webhook_sender.send_event(event) is False
    assert (event.attempts, event.last_status) == (1, 503)


def test_endpoint_of_another_machine_gets_nothing_and_counts_the_attempt(caller, session):
    caller.post("/webhooks", {"url": "https://clinic.example/hook/", "events": ["*"]})
    flows.approve(session)
    with responses.RequestsMock() as mock:
        assert webhook_sender.send_waiting() == [False]
        assert len(mock.calls) == 0
    event = SandboxEvent.objects.get()
    assert (event.attempts, event.last_status) == (1, None)


@pytest.mark.parametrize(
    ("body", "kept"), [(b"", ""), (b"x" * 5_000, "x" * 4_096), (b"a\x00\xff", "a\ufffd\ufffd")]
)
def test_start_of_an_answer_is_kept(receiver, session, body, kept):
    receiver.post(URL, status=400, body=body)
    flows.approve(session)
    webhook_sender.send_event(SandboxEvent.objects.get())
    assert SandboxEvent.objects.get().last_response_body == kept


def test_command_without_receiver_fails():
    with pytest.raises(CommandError, match="WEBHOOK_URL"):
        call_command("sandbox_send_webhooks")


class Receiver(BaseHTTPRequestHandler):
    """Notes each event and answers 200."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append(json.loads(body)["type"])
        self.send_response(200)
        self.end_headers()

    def log_message(self, *args):
        pass


@pytest.fixture
def real_receiver(settings):
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    server.seen = []
    settings.MEDBLOCKS_SANDBOX = {
        "WEBHOOK_URL": f"http://127.0.0.1:{server.server_port}/",
        "WEBHOOK_SECRET": SECRET,
    }
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_send_event_ignores_proxy(real_receiver, session, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    flows.approve(session)
    assert webhook_sender.send_event(SandboxEvent.objects.get()) is True


@pytest.mark.django_db(transaction=True)
def test_event_is_sent_after_the_commit(real_receiver, caller):
    session = caller.start()
    with transaction.atomic():
        flows.approve(session)
        wait_for_senders()
        assert real_receiver.seen == []
    wait_for_senders()
    assert real_receiver.seen == ["patient_session.completed"]
    assert SandboxEvent.objects.get().delivered_at is not None


@pytest.mark.django_db(transaction=True)
def test_event_of_rolled_back_action_is_not_sent(real_receiver, caller):
    session = caller.start()

    def approve_and_break():
        with transaction.atomic():
            flows.approve(session)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        approve_and_break()
    wait_for_senders()
    assert real_receiver.seen == []
    assert not SandboxEvent.objects.exists()
