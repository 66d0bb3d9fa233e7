"""A site that uses webhooks, and what Medblocks says of its endpoint and the events to it."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from medblocks_connect import signals
from tests.api.strict import ENDPOINT, EVENT, page
from tests.attempts.conftest import BASE_URL, breaks_once, make_attempt, medblocks

__all__ = ["breaks_once", "make_attempt", "medblocks"]

URL = "https://clinic.example/records/webhook/"
WEBHOOKS = f"{BASE_URL}/webhooks"
EVENTS = f"{WEBHOOKS}/wh_1/events"
FORBIDDEN = {"error": {"type": "permission_error", "code": "insufficient_scope", "message": "No"}}


def ago(**how_long: float) -> str:
    """Return a time of the past as Medblocks writes it."""
    moment = datetime.now(timezone.utc) - timedelta(**how_long)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def event_json(number: int = 1, **changes: object) -> dict:
    return {**EVENT, "id": f"evt_{number}", "created_at": ago(minutes=number), **changes}


@pytest.fixture
def listening(medblocks, use, db):
    """A site at clinic.example that takes webhooks; the mock of its Medblocks."""
    use(SITE_URL="https://clinic.example", WEBHOOK_SECRETS=["whsec_1"])
    return medblocks


@pytest.fixture
def say(listening):
    """Let Medblocks list these endpoints; None stands for ours, with ``changes``."""

    def say_endpoints(*endpoints, **changes):
        listed = endpoints if endpoints or changes is None else [{**ENDPOINT, "url": URL} | changes]
        return listening.upsert("GET", WEBHOOKS, json=page(*listed))

    return say_endpoints


@pytest.fixture
def say_none(listening):
    """Let Medblocks list no endpoint."""
    return lambda: listening.upsert("GET", WEBHOOKS, json=page())


@pytest.fixture
def say_events(listening):
    """Let Medblocks list these events as undelivered."""

    def say(*events, **options):
        return listening.upsert("GET", EVENTS, json=page(*events), **options)

    return say


@pytest.fixture
def heard():
    """What ``webhooks_stopped`` told its receiver."""
    told = []

    def receive(attempt, status, since, **kwargs):
        told.append((attempt, status, since))

    signals.webhooks_stopped.connect(receive)
    yield told
    signals.webhooks_stopped.disconnect(receive)
