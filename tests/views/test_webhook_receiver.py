"""Cases 30 to 33, 37 and 38: which deliveries are believed, in whatever host."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import logging
import time

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from medblocks_connect.api import sign
from medblocks_connect.models import WebhookDelivery
from medblocks_connect.views import webhook_receiver
from tests.faults.events import (
    SECRET,
    WEBHOOK,
    event,
    post_event,
    sign_now,
)

BODY = json.dumps(event("test.ping", {})).encode()
NOW = 1_800_000_000


def signed_at(timestamp: object, body: bytes = BODY, secret: str = SECRET) -> str:
    signed = f"{timestamp}.".encode() + body
    return f"t={timestamp},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"


@pytest.fixture
def receiver(db, settings):
    """A site that shares a secret with Medblocks."""
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "WEBHOOK_SECRETS": [SECRET]}
    return Client(enforce_csrf_checks=True)


def delivery() -> WebhookDelivery:
    return WebhookDelivery.objects.get()


good = signed_at(int(time.time()))
HEADERS = [
    pytest.param(good.partition(",")[2], id="case-30-without-t"),
    pytest.param(good.partition(",")[0], id="case-30-without-v1"),
    pytest.param(good + ",v1=00" * 100, id="case-30-more-than-100"),
    pytest.param(good + ",v1=\u00e9", id="case-30-not-ascii"),
    pytest.param(signed_at("1_7"), id="case-30-underscore"),
    pytest.param(signed_at("\u0661\u0667"), id="case-30-arabic-digits"),
    pytest.param(signed_at("-17"), id="case-30-negative"),
    pytest.param(signed_at("9" * 5000), id="case-30-huge"),
    pytest.param(signed_at("1.7e9"), id="case-30-exponent"),
    pytest.param(good + "," + good, id="case-30-two-times"),
    pytest.param("\x00", id="case-30-nul"),
]


@pytest.mark.parametrize("header", HEADERS)
def test_webhook_with_a_bad_header_is_400(receiver, django_assert_num_queries, header):
    with django_assert_num_queries(0):
        answered = post_event(receiver, BODY, signature=header)
    assert answered.status_code == 400
    assert answered.content == b"The signature does not hold."
    assert answered.headers["Content-Type"] == "text/plain; charset=utf-8"


class UnreadBody(io.RawIOBase):
    """A body that must not be read."""

    def readable(self):
        return True

    def readinto(self, buffer):
        raise AssertionError("the body was read")


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="case-30-without-a-header"),
        pytest.param({"HTTP_MEDBLOCKS_SIGNATURE": ""}, id="case-30-empty"),
    ],
)
def test_webhook_without_a_signature_is_400_before_its_body_is_read(
    receiver, django_assert_num_queries, headers
):
    unread = {"wsgi.input": UnreadBody(), "CONTENT_LENGTH": "1000"}
    with django_assert_num_queries(0):
        answered = receiver.post(WEBHOOK, **unread, **headers)
    assert (answered.status_code, answered.content) == (400, b"There is no signature.")


@pytest.fixture
def now(monkeypatch):
    """A clock that a test sets, in seconds; nothing was refused yet."""
    moment = [1000.0]
    monkeypatch.setattr(webhook_receiver.time, "monotonic", lambda: moment[0])
    webhook_receiver.refusal_log.forget()
    yield moment
    webhook_receiver.refusal_log.forget()


def refused_lines(caplog) -> list[str]:
    """Every line above DEBUG, Django's own among them."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_webhooks_without_a_signature_are_logged_once_a_minute_with_their_count(
    receiver, now, caplog
):
    for second in range(61):
        now[0] = 1000.0 + second
        receiver.post(WEBHOOK, BODY, content_type="application/json")
    assert refused_lines(caplog) == [
        "Webhooks were refused: missing, 1 since the last such line",
        "Webhooks were refused: missing, 60 since the last such line",
    ]


def test_webhooks_refused_for_two_reasons_are_logged_apart(receiver, now, caplog):
    for _ in range(3):
        receiver.post(WEBHOOK, BODY, content_type="application/json")
        post_event(receiver, BODY, signature="x")
    assert refused_lines(caplog) == [
        "Webhooks were refused: missing, 1 since the last such line",
        "Webhooks were refused: malformed, 1 since the last such line",
    ]


@pytest.mark.parametrize(
    ("seconds", "status"),
    [
        pytest.param(-300, 200, id="case-31-300-old"),
        pytest.param(300, 200, id="case-31-300-ahead"),
        pytest.param(-301, 400, id="case-31-301-old"),
        pytest.param(301, 400, id="case-31-301-ahead"),
    ],
)
def test_webhook_signed_300_seconds_off_is_taken_and_301_refused(
    receiver, monkeypatch, seconds, status
):
    monkeypatch.setattr(webhook_receiver.time, "time", lambda: float(NOW))
    assert post_event(receiver, BODY, signature=signed_at(NOW + seconds)).status_code == status


CHANGED = {
    "one-byte": BODY.replace(b"evt_1", b"evt_2"),
    "spaced": json.dumps(json.loads(BODY), indent=1).encode(),
    "cut": BODY[:-1],
    "longer": BODY + b"\n",
}


@pytest.mark.parametrize("body", [pytest.param(v, id=f"case-32-{k}") for k, v in CHANGED.items()])
def test_webhook_with_a_changed_body_is_400(receiver, body):
    assert post_event(receiver, body, signature=sign_now(BODY)).status_code == 400
    assert not WebhookDelivery.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"id": "\xff"}', id="case-32-not-utf-8"),
        pytest.param(b"id=evt_1", id="case-32-not-json"),
        pytest.param(b"", id="case-32-empty"),
        pytest.param(b"null", id="case-32-null"),
        pytest.param(b"[1]", id="case-32-list"),
        pytest.param(b'"evt_1"', id="case-32-text"),
        pytest.param(b"[" * 100_000, id="case-32-brackets"),
        pytest.param(b'{"a":' * 5_000 + b"1" + b"}" * 5_000, id="case-32-nested"),
        pytest.param(b'{"a":' + b"[" * 100 + b"]" * 100 + b"}", id="case-32-nested-a-little"),
        pytest.param(b'{"id": ' + b"9" * 5000 + b"}", id="case-32-5000-digits"),
    ],
)
def test_webhook_of_signed_nonsense_is_400(receiver, body):
    assert post_event(receiver, body).status_code == 400
    assert not WebhookDelivery.objects.exists()


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"id": None, "type": 7, "data": []},
        {"id": "evt_1", "type": "patient_session.completed"},
        {"id": "evt_1", "type": "patient_session.completed", "data": {"object": None}},
        event("patient_session.completed", {"id": "ps_1", "connections": "x"}),
        event("patient_session.completed", {"id": "ps\ud800\x00", "patient_id": "p"}),
        event("connection.token_refresh_failed", {"id": ["conn_1"]}),
        event("records.sync.completed", {"total": "x", "patient_id": {}}),
        event("patient_flow.completed", {"id": "pf_1"}),
        event("invented.next.year", {"\x00": float("inf")}, api_version="2031-01-01"),
        event("x" * 5000, {"id": "i" * 5000}, event_id="e" * 5000, created_at="soon"),
    ],
    ids=lambda given: f"case-32-{str(given)[:40]!r}",
)
def test_webhook_with_missing_and_odd_parts_is_stored(receiver, given):
    assert post_event(receiver, given).status_code == 200
    assert post_event(receiver, given).status_code == 200
    assert WebhookDelivery.objects.count() == 1


def test_webhook_events_without_an_id_are_each_their_own(receiver):
    for number in (1, 2):
        assert post_event(receiver, {"type": "test.ping", "number": number}).status_code == 200
    assert WebhookDelivery.objects.count() == 2


def test_webhook_keeps_what_the_event_says(receiver):
    told = event("test.ping", {"total": 3})
    post_event(receiver, told)
    assert json.loads(delivery().payload) == told
    assert delivery().occurred_at.isoformat() == "2026-11-01T10:00:00+00:00"


@pytest.mark.parametrize("method", ["get", "head", "put", "delete", "options"])
def test_webhook_by_another_method_is_405(receiver, method, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert getattr(receiver, method)(WEBHOOK).status_code == 405


@pytest.mark.parametrize(
    ("secrets", "used", "status"),
    [
        pytest.param(["whsec_new", "whsec_old"], "whsec_old", 200, id="case-33-old"),
        pytest.param(["whsec_new", "whsec_old"], "whsec_new", 200, id="case-33-new"),
        pytest.param(["whsec_new"], "whsec_old", 400, id="case-33-removed"),
        pytest.param([""], "", 400, id="case-33-empty"),
        pytest.param([], "", 400, id="case-33-none"),
        pytest.param(["", "whsec_new"], "", 400, id="case-33-empty-among-others"),
        pytest.param([" "], " ", 400, id="case-33-blank"),
    ],
)
def test_webhook_signed_by_a_current_secret_alone_is_taken(
    receiver, settings, secrets, used, status
):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "WEBHOOK_SECRETS": secrets}
    answered = post_event(receiver, BODY, signature=sign(BODY, used, int(time.time())))
    assert answered.status_code == status


def test_webhook_beyond_the_limit_is_413(receiver, django_assert_num_queries):
    body = b'{"a": "' + b"a" * webhook_receiver.BODY_MAX_BYTES + b'"}'
    with django_assert_num_queries(0):
        assert post_event(receiver, body).status_code == 413


def test_webhook_at_the_limit_is_taken(receiver):
    body = BODY + b" " * (webhook_receiver.BODY_MAX_BYTES - len(BODY))
    assert post_event(receiver, body).status_code == 200


HOSTS = [
    pytest.param({}, {}, id="case-37-csrf"),
    pytest.param(
        {"MIDDLEWARE+": "django.contrib.auth.middleware.LoginRequiredMiddleware"},
        {},
        id="case-37-login-required",
    ),
    pytest.param({"SECURE_SSL_REDIRECT": True}, {"secure": True}, id="case-37-https"),
    pytest.param(
        {
            "SECURE_SSL_REDIRECT": True,
            "SECURE_PROXY_SSL_HEADER": ("HTTP_X_FORWARDED_PROTO", "https"),
        },
        {"headers": {"X-Forwarded-Proto": "https"}},
        id="case-37-https-behind-a-proxy",
    ),
    pytest.param(
        {"APPEND_SLASH": True, "DEBUG": False}, {"path": "/records/webhook"}, id="case-37-no-slash"
    ),
    pytest.param({"APPEND_SLASH": True}, {"path": "/records/webhook"}, id="case-37-no-slash-debug"),
    pytest.param(
        {"ALLOWED_HOSTS": ["testserver"]},
        {"headers": {"Origin": "https://app.medblocks.com"}},
        id="case-37-origin",
    ),
]


@pytest.mark.parametrize(("changed", "how"), HOSTS)
def test_webhook_in_a_strict_host_is_processed(receiver, settings, changed, how):
    for name, value in changed.items():
        if name == "MIDDLEWARE+":
            settings.MIDDLEWARE = [*settings.MIDDLEWARE, value]
        else:
            setattr(settings, name, value)
    assert post_event(receiver, BODY, **how).status_code == 200
    assert delivery().state == "processed"


def test_webhook_case_37_behind_a_silent_https_proxy_is_redirected(receiver, settings):
    """Django takes it for http: what the docs say a host behind a proxy needs is needed."""
    settings.SECURE_SSL_REDIRECT = True
    assert post_event(receiver, BODY).status_code == 301
    assert not WebhookDelivery.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_webhook_case_38_flood_writes_nothing(receiver, now, caplog):
    caplog.set_level(logging.DEBUG)
    with CaptureQueriesContext(connection) as asked:
        for number in range(200):
            body = f"ann@mail.example {number}".encode()
            assert post_event(receiver, body, signature=f"t={number},v1=00").status_code == 400
    assert list(asked) == []
    assert len(refused_lines(caplog)) == 1
    assert "ann@mail.example" not in caplog.text
