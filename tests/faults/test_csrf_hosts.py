"""Case 64: hosts without Django's CSRF middleware, or with its secret in the session or hidden."""

from __future__ import annotations

import json
import re

import pytest
from django.test import Client

from medblocks_connect.models import PatientConnectionAttempt
from tests.faults.clinic import RIVERSIDE

CSRF = "django.middleware.csrf.CsrfViewMiddleware"


@pytest.fixture(
    params=[
        pytest.param("without", id="case-64-without-the-middleware"),
        pytest.param("session", id="case-64-secret-in-the-session"),
        pytest.param("hidden", id="case-64-cookie-hidden-from-scripts"),
    ]
)
def host(request, settings, clinic, user):
    """A browser at such a host, signed in."""
    if request.param == "without":
        settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != CSRF]
    settings.CSRF_USE_SESSIONS = request.param == "session"
    settings.CSRF_COOKIE_HTTPONLY = request.param == "hidden"
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user)
    return browser


def read_token(page):
    return re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.content.decode())[1]


def test_start_from_the_page_works(host):
    token = read_token(host.get("/records/search/?q=riverside"))
    form = {"connection_id": RIVERSIDE, "csrfmiddlewaretoken": token}
    assert "/medblocks-sandbox/c/" in host.post("/records/start/", form)["Location"]


def test_start_without_a_token_is_refused(host):
    host.get("/records/search/?q=riverside")
    assert host.post("/records/start/", {"connection_id": RIVERSIDE}).status_code == 403
    assert not PatientConnectionAttempt.objects.exists()


def test_json_start_with_the_pages_token_works(host):
    token = read_token(host.get("/records/search/?q=riverside"))
    answered = host.post(
        "/records/api/patient-sessions/",
        json.dumps({"connection_id": RIVERSIDE}),
        content_type="application/json",
        headers={"X-CSRFToken": token},
    )
    assert answered.status_code == 200
