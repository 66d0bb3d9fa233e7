"""Case 61: sixteen threads share a pool of four connections, and 24 events come at once."""

from __future__ import annotations

import pytest
from django.conf import settings as site_settings
from django.db import connection

from medblocks_connect.models import PatientConnectionAttempt, PendingSignal, WebhookDelivery
from medblocks_connect.sandbox import flows
from tests.faults.events import completed
from tests.faults.processes import finish, start_process

EVENTS = 24
PAGES = ["/records/connections/", "/records/search/", "/records/search/?q=riverside"] * 4
LONGEST_SECONDS = 5  # as long as Medblocks waits for an answer

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        connection.vendor != "postgresql", reason="DATABASE_URL names no PostgreSQL: no pool"
    ),
]


@pytest.fixture
def told(clinic, settings, add_catalog):
    """What Medblocks tells of as many attempts, all approved at the portal."""
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "THROTTLES": {"start": None}}
    add_catalog()  # a search then asks nobody
    events = []
    for number in range(EVENTS):
        clinic.started()
        flows.approve(clinic.session)
        events.append(completed(clinic.session, f"evt_{number}"))
    return events


def serve(events, session_key, options):
    """Let a server of sixteen threads take them all at once."""
    job = {"events": events, "pages": PAGES, "options": options, "session_key": session_key}
    return finish(start_process(module="tests.faults.pooled", **job))


def test_case_61_pool_of_four_answers_all_in_time(clinic, told):
    pytest.importorskip("psycopg_pool")
    session_key = clinic.client.cookies[site_settings.SESSION_COOKIE_NAME].value
    done = serve(told, session_key, {"pool": {"min_size": 1, "max_size": 4}})
    assert {status for status, _ in done["answers"]} == {200}
    assert [seconds for _, seconds in done["answers"] if seconds > LONGEST_SECONDS] == []
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {"processed"}
    assert WebhookDelivery.objects.count() == EVENTS
    assert PatientConnectionAttempt.objects.filter(status="succeeded").count() == EVENTS
    assert (done["heard"], PendingSignal.objects.count()) == (EVENTS, 0)
