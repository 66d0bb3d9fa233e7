"""What the tests of the pages share: a patient in a browser, and what Medblocks says of them."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.attempts.conftest import (
    medblocks,  # noqa: F401 - a fixture
)
from tests.pages.scenes import Stage
from tests.patient_connections.conftest import (  # noqa: F401 - fixtures
    answer_disconnect,
    answer_list,
    go_away,
    list_now,
    make,
)

CONNECTIONS = "/records/connections/"
COLLECT_BREACHES = """window.breaches = [];
document.addEventListener("securitypolicyviolation", (event) => breaches.push(event.blockedURI));"""


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
