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

from medblocks_connect.sandbox import flows, webhook_sender
from medblocks_connect.sandbox.models import SandboxEvent

pytestmark = pytest.mark.django_db

URL = "http://127.0.0.1:9/webhook/"
SECRET = "whsec_only_for_tests"


@pytest.fixture
def receiver(settings):
    """A receiver's address that answers what the test adds."""
    settings.MEDBLOCKS_SANDBOX = {"WEBHOOK_URL": URL, "WEBHOOK_SECRET": SECRET}
    with responses.RequestsMock() as mock:
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


def wait_for_senders():
    for thread in threading.enumerate():
        if thread.name.startswith("webhook evt_"):
            thread.join(timeout=10)


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
