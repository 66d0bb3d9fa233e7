"""What the tests of the pages share: a patient in a browser, and what Medblocks says of them."""

from __future__ import annotations

import pytest
from django.test import Client

from medblocks_connect.models import PatientConnectionAttempt
from tests.attempts.conftest import (
    BASE_URL,
    FACILITY,
    connection_json,
    medblocks,  # noqa: F401 - a fixture
)
from tests.pages.scenes import Stage

CONNECTIONS = "/records/connections/"
COLLECT_BREACHES = """window.breaches = [];
document.addEventListener("securitypolicyviolation", (event) => breaches.push(event.blockedURI));"""


def link_json(status="active", **changes):
    """Return a connection as ``GET /patients/{id}`` lists it."""
    return {
        **connection_json(status),
        "resource_type": "connection",
        "patient_session_id": "ps_1",
        "scopes": [],
        "updated_at": "2026-11-22T12:00:00.000Z",
        **changes,
    }


@pytest.fixture
def tell(medblocks, user):  # noqa: F811
    """Let Medblocks say which connections the patient has."""

    def say(*links, status=200, **options):
        told = {
            "id": str(user.pk),
            "resource_type": "patient",
            "email": None,
            "name": None,
            "metadata": {},
            "created_at": "2026-11-22T12:00:00.000Z",
            "connections": list(links),
        }
        refused = {"error": {"type": "any", "code": "any", "message": "In Medblocks' words"}}
        options = options or {"json": told if status == 200 else refused, "status": status}
        return medblocks.upsert("GET", f"{BASE_URL}/patients/{user.pk}", **options)

    return say


@pytest.fixture
def make(user):
    """Make an attempt of the patient, one that connected unless told otherwise."""

    def make_one(**columns):
        given = {
            "patient_id": str(user.pk),
            "connection_id": FACILITY,
            "connection_name": "Riverside General",
            "status": "succeeded",
            "patient_connection_id": "conn_1",
            "connection_status": "active",
            **columns,
        }
        if given["status"] != "succeeded":
            given |= {"patient_connection_id": "", "connection_status": ""}
        return PatientConnectionAttempt.objects.create(**given)

    return make_one


@pytest.fixture
def stage(settings, user, live_server):
    def change(**changes):
        settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, **changes}

    change(BASE_URL=f"{live_server.url}/medblocks-sandbox")
    return Stage(str(user.pk), change)


@pytest.fixture
def open_page(chromium, live_server, user):
    """Open a page of a fresh browser in which somebody is signed in."""
    contexts = []

    def open_one(who=user, **options):
        context = chromium.new_context(base_url=live_server.url, **options)
        context.set_default_timeout(10_000)
        context.add_init_script(COLLECT_BREACHES)
        contexts.append(context)
        if who is not None:
            client = Client()
            client.force_login(who)
            session_id = client.cookies["sessionid"].value
            context.add_cookies(
                [{"name": "sessionid", "value": session_id, "url": live_server.url}]
            )
        return context.new_page()

    yield open_one
    for context in contexts:
        context.close()
