"""Every surface says of each place exactly what the model's ten rules make of the history."""

from __future__ import annotations

import os

import pytest
from django.contrib.auth import get_user_model
from django.db import connections
from django.test import Client
from django.utils import timezone

from medblocks_connect.facilities.catalog import catalog_base_url
from medblocks_connect.models import CatalogSync, Facility
from tests.connected import create_attempt
from tests.faults.clinic import SETTINGS, Clinic, catch_calls
from tests.statements import expected
from tests.statements.clock import Clock
from tests.statements.history import ELSEWHERE, NAMES, PLACES, URLS, Story
from tests.statements.medblocks import KEYS, TwoWorkspaces

# More histories, others, or a look at every surface after each step: for a run by hand.
FIRST = int(os.environ.get("STATEMENTS_FIRST", "0"))
HISTORIES = int(os.environ.get("STATEMENTS_HISTORIES", "200"))
LOOKS_ALWAYS = os.environ.get("STATEMENTS_LOOKS") == "always"
PATIENT_ID = 4711


@pytest.fixture(autouse=True)
def _quick(monkeypatch) -> None:
    """Leave out what only other tests read: Django notes each query and copies each context."""
    monkeypatch.setattr(type(connections["default"]), "queries_logged", False)
    monkeypatch.setattr("django.test.client.store_rendered_templates", lambda *_, **__: None)


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    clock.install(monkeypatch)
    return clock


@pytest.fixture
def staff(db, clock) -> Client:
    """A member of staff who may see everything."""
    user = get_user_model().objects.create_superuser("staff", password="staff")
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def stranger(db, clock) -> Client:
    """A patient who did nothing."""
    user = get_user_model().objects.create_user("strange", password="strange")
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def tell(db, clock, settings):
    """Return the story of a history, before its first step."""

    def configure(**changes: object) -> None:
        settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, **changes}

    configure(
        **SETTINGS,
        HOSTED_FALLBACK=True,
        SESSION_EXPIRES_IN=86_400,
        THROTTLES={"search": None, "start": None},
    )
    configure(API_KEY=KEYS["sandbox"])
    user = get_user_model().objects.create_user("pat", password="pat", pk=PATIENT_ID)
    client = Client()
    client.force_login(user)
    medblocks = TwoWorkspaces(patient_id=str(PATIENT_ID))

    def begin(number: int) -> Story:
        has_catalog = bool(number % 2)
        if has_catalog:
            _add_catalog()
        return Story(
            number, Clinic(client, medblocks), medblocks, clock, configure, has_catalog=has_catalog
        )

    with catch_calls(medblocks):
        yield begin


@pytest.mark.parametrize("number", range(FIRST, FIRST + HISTORIES))
def test_every_surface_says_what_is_true(tell, staff, stranger, number):
    story = tell(number)
    _add_somebody_else(story)
    length = story.random.randint(3, 10)
    looks = {story.random.randrange(length), length - 1}
    for step in range(length):
        story.play_step()
        if LOOKS_ALWAYS or step in looks:
            expected.check(story, staff, stranger, is_last=step == length - 1)


def _add_catalog() -> None:
    """Keep a local catalog of the three places in both workspaces."""
    for workspace in KEYS:
        Facility.objects.bulk_create(
            Facility(
                workspace=workspace,
                connection_id=place,
                name=NAMES[place],
                type="epic",
                fhir_base_url=URLS[place],
            )
            for place in PLACES
        )
        CatalogSync.objects.create(
            workspace=workspace,
            base_url=catalog_base_url(),
            fetched=len(PLACES),
            finished_at=timezone.now(),
        )


def _add_somebody_else(story: Story) -> None:
    """Connect another patient to one place, and let them have lost another."""
    for place, lost in zip(ELSEWHERE, ({}, {"lost_at": timezone.now()}), strict=True):
        create_attempt(
            patient_id="somebody-else",
            connection_id=story.list_names(place)[0],
            connection_name=NAMES[place],
            status="succeeded",
            patient_connection_id=f"conn_of_somebody_at_{place}",
            **lost,
        )
