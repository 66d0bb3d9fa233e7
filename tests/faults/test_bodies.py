"""Case 60: bodies that are chunked, compressed, absent, marked, or read before by a middleware."""

from __future__ import annotations

import io
import json
import time

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpResponse
from django.test import RequestFactory

from medblocks_connect.api import sign
from medblocks_connect.models import WebhookDelivery
from medblocks_connect.views.webhook_receiver import WebhookView
from tests.faults.clinic import RIVERSIDE
from tests.faults.events import SECRET, WEBHOOK, event

pytestmark = pytest.mark.django_db(transaction=True)

BODY = json.dumps(event("records.sync.completed", {"patient_id": "p-1"})).encode()
CHUNKED = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}


@pytest.fixture(autouse=True)
def secret(settings):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "WEBHOOK_SECRETS": [SECRET]}


def answer(body: bytes = BODY, *, length: bool = True, **environ: object) -> tuple[int, str]:
    """Return what a WSGI server gets for a webhook with ``body`` and a signature that holds."""
    request = {
        **RequestFactory().generic("POST", WEBHOOK, b"").environ,
        "CONTENT_TYPE": "application/json",
        "HTTP_MEDBLOCKS_SIGNATURE": sign(body, SECRET, int(time.time())),
        "wsgi.input": io.BytesIO(body),
        **environ,
    }
    if length:
        request["CONTENT_LENGTH"] = str(len(body))
    else:
        request.pop("CONTENT_LENGTH", None)
    statuses: list[str] = []
    response = WSGIHandler()(request, lambda status, _headers: statuses.append(status))
    text = b"".join(response).decode()
    response.close()
    return int(statuses[0][:3]), text


def test_case_60_chunked_webhook_is_read_to_its_end():
    assert answer(length=False, **CHUNKED) == (200, "")
    assert WebhookDelivery.objects.count() == 1


def test_case_60_chunked_webhook_without_an_end_is_411():
    status, text = answer(length=False, HTTP_TRANSFER_ENCODING="chunked")
    assert (status, text) == (411, "Send the body's length.")


def test_case_60_chunked_webhook_that_is_too_large_is_413():
    assert answer(b"x" * (1024 * 1024 + 1), length=False, **CHUNKED)[0] == 413


@pytest.mark.parametrize("length", [True, False])
def test_case_60_webhook_without_a_body_says_so(length):
    assert answer(b"", length=length) == (400, "There is no body.")


def test_case_60_webhook_with_a_byte_order_mark_is_taken():
    assert answer(b"\xef\xbb\xbf" + BODY) == (200, "")


def test_case_60_compressed_webhook_is_415():
    assert answer(HTTP_CONTENT_ENCODING="gzip") == (415, "The body is compressed.")


class InParts(io.BytesIO):
    """A body that arrives in parts of ten bytes."""

    def read(self, size: int = -1) -> bytes:
        return super().read(min(size, 10) if size >= 0 else 10)


def test_case_60_webhook_in_parts_is_taken():
    """As from a socket: Django and the servers read on until the length that was told."""
    whole = io.BufferedReader(InParts(BODY))  # as gunicorn's and wsgiref's streams are
    assert answer(**{"wsgi.input": whole}) == (200, "")


def read_before(request):
    return request.body


def read_half_before(request):
    return request.read(10)


@pytest.mark.parametrize(
    ("read", "status"),
    [
        pytest.param(read_before, 200, id="whole"),
        pytest.param(read_half_before, 400, id="half"),
    ],
)
def test_case_60_webhook_that_a_middleware_read(read, status):
    headers = {"Medblocks-Signature": sign(BODY, SECRET, int(time.time()))}
    factory = RequestFactory()
    request = factory.post(WEBHOOK, BODY, content_type="application/json", headers=headers)
    read(request)
    answered: HttpResponse = WebhookView.as_view()(request)
    assert answered.status_code == status
    assert "signature" not in answered.content.decode()


@pytest.mark.parametrize(
    ("environ", "status"),
    [
        pytest.param(CHUNKED, 200, id="case-60-chunked"),
        pytest.param({"HTTP_TRANSFER_ENCODING": "chunked"}, 411, id="case-60-without-an-end"),
        pytest.param({**CHUNKED, "HTTP_CONTENT_ENCODING": "gzip"}, 415, id="case-60-compressed"),
    ],
)
def test_chunked_json_start(clinic, environ, status):
    body = json.dumps({"connection_id": RIVERSIDE}).encode()
    answered = clinic.client.generic(
        "POST",
        "/records/api/patient-sessions/",
        b"",
        content_type="application/json",
        headers={"X-CSRFToken": clinic.csrf_token()},
        **{"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": "", **environ},
    )
    assert answered.status_code == status
