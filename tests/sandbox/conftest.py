"""The sandbox on its own URLs, and a caller with a key."""

import json
import threading

import pytest
from django.test import Client

from medblocks_connect.sandbox.models import SandboxSession

BASE = "/make-believe"
KEY = {"Authorization": "Bearer mb_sk_sbx_only_for_tests"}
RETURN_URL = "https://clinic.example/records/return/"
RIVERSIDE = "fhirsrc_riverside_general"
LANTERN = "fhirsrc_lantern_hill_clinic"


@pytest.fixture(autouse=True)
def sandbox_urls(settings):
    settings.ROOT_URLCONF = "tests.sandbox.urls"


def wait_for_senders():
    """Wait until every webhook that is on its way was answered."""
    for thread in threading.enumerate():
        if thread.name.startswith("webhook evt_"):
            thread.join(timeout=10)


class Caller:
    """Calls the API with a key, as Django's test client does it."""

    def __init__(self, client=None):
        self.client = client or Client()

    def get(self, path, headers=None, **query):
        return self.client.get(BASE + path, query, headers=KEY | (headers or {}))

    def post(self, path, body, headers=None):
        data = body if isinstance(body, (bytes, str)) else json.dumps(body)
        return self.client.post(
            BASE + path, data, content_type="application/json", headers=KEY | (headers or {})
        )

    def patch(self, path, body):
        return self.client.patch(
            BASE + path, json.dumps(body), content_type="application/json", headers=KEY
        )

    def delete(self, path):
        return self.client.delete(BASE + path, headers=KEY)

    def start(self, **body):
        """Start a session at Riverside General and return its row."""
        required = {"patient_id": "pat-1", "return_url": RETURN_URL, "connection_id": RIVERSIDE}
        response = self.post("/patient-sessions", required | body)
        assert response.status_code == 200, response.json()
        return SandboxSession.objects.get(session_id=response.json()["id"])

    def start_hosted(self, **body):
        """Start a session that names no facility and return its row."""
        response = self.post(
            "/patient-sessions", {"patient_id": "pat-1", "return_url": RETURN_URL} | body
        )
        assert response.status_code == 200, response.json()
        return SandboxSession.objects.get(session_id=response.json()["id"])


@pytest.fixture
def caller():
    return Caller()


@pytest.fixture
def session(caller, db):
    """An open session at Riverside General."""
    return caller.start()


@pytest.fixture
def hosted(caller, db):
    """An open session that names no facility."""
    return caller.start_hosted()
