"""What every test may use: patients, staff, and a running site that talks to its own sandbox."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import hypothesis
import pytest
import requests
from django.contrib.auth import get_user_model
from django.core.cache import cache as hosts_cache
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone

from medblocks_connect.cache import cache
from medblocks_connect.facilities.catalog import catalog_base_url
from medblocks_connect.medblocks_client import forget_clients
from medblocks_connect.models import (
    CatalogSync,
    Facility,
    PatientConnectionAttempt,
    find_installation_id,
)
from tests.chromium import CHROMIUM, FLAGS
from tests.connected import create_attempt
from tests.facilities.names import NAMES

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FACILITY_NAME = "Riverside General"
# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("without a deadline", deadline=None)
hypothesis.settings.load_profile("without a deadline")
# Files that wait for browsers and other processes: begun last, they would keep everybody waiting.
LONG = (
    "tests/browser/",
    "tests/example/",
    "tests/faults/",
    "tests/hosts/",
    "tests/pages/",
    "tests/worlds/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take long, so that the workers end together."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.fixture(autouse=True, scope="session")
def _known_installation(django_db_setup, django_db_blocker) -> None:
    """Let no test count the one query of a process that asks for the installation's id."""
    # Where no test of a run asks for a database, pytest-django makes none.
    with django_db_blocker.unblock(), suppress(DatabaseError):
        find_installation_id()


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    """Let no test see what another one cached, nor that the cache was down in it."""
    hosts_cache.clear()
    cache.forget()
    yield
    hosts_cache.clear()
    cache.forget()


@pytest.fixture(autouse=True)
def _open_gates() -> None:
    """Let no test find the gate closed by another one's Medblocks."""
    forget_clients()


@pytest.fixture
def use(settings):
    """Change settings of the app."""

    def use_settings(**changes):
        settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, **changes}

    return use_settings


@pytest.fixture
def rate(use):
    """Set the rates of throttles, by their actions."""

    def use_rates(**rates):
        use(THROTTLES=rates)

    return use_rates


@pytest.fixture
def now(monkeypatch):
    """A wall clock that a test sets, at the beginning of a minute."""
    moment = [1_800_000_000.0]
    monkeypatch.setattr(time, "time", lambda: moment[0])
    return moment


@pytest.fixture
def user(db):
    """The patient who is signed in, by default."""
    return get_user_model().objects.create_user("pat", password="pat")


@pytest.fixture
def other_user(db):
    """Somebody else, who must see nothing of the patient's."""
    return get_user_model().objects.create_user("sam", password="sam")


@pytest.fixture
def patient_client(user):
    """A browser in which the patient is signed in; it checks CSRF as a site does."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    return client


@pytest.fixture
def browser(user):
    """The patient's browser, where CSRF is not what is tested."""
    client = Client()
    client.force_login(user)
    return client


@dataclass
class Site:
    """The running site, with the sandbox as its Medblocks, and a browser without scripts in it."""

    url: str
    browser: requests.Session

    def get(self, path: str, **kwargs: object) -> requests.Response:
        return self.browser.get(self.url + path, timeout=10, **kwargs)

    def post(self, path: str, data: dict[str, str], **kwargs: object) -> requests.Response:
        """Post as a browser does: with the CSRF token of its cookie."""
        token = self.browser.cookies.get("csrftoken", "")
        data = {"csrfmiddlewaretoken": token, **data}
        url = path if path.startswith("http") else self.url + path
        return self.browser.post(url, data=data, timeout=10, **kwargs)

    def sign_in(self, user) -> None:
        client = Client()
        client.force_login(user)
        domain = "localhost.local"  # what Python's cookie jar calls "localhost"
        session_id = client.cookies["sessionid"].value
        self.browser.cookies.set("sessionid", session_id, domain=domain)
        # Any secret of this length that the form repeats is a valid one (Django's CSRF docs).
        self.browser.cookies.set("csrftoken", secrets.token_hex(16), domain=domain)

    def start(self, connection_id: str) -> requests.Response:
        return self.post("/records/start/", {"connection_id": connection_id}, allow_redirects=False)

    def decide(self, portal_url: str, choice: str) -> requests.Response:
        """Decide at the sandbox's portal; the answer is the redirect back to the site."""
        self.get_absolute(portal_url)
        self.post(f"{portal_url}/sign-in", {})
        return self.post(f"{portal_url}/decision", {"choice": choice}, allow_redirects=False)

    def get_absolute(self, url: str, **kwargs: object) -> requests.Response:
        return self.browser.get(url, timeout=10, **kwargs)


@pytest.fixture
def site(live_server, settings, user) -> Iterator[Site]:
    """A running site in which the patient is signed in."""
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "BASE_URL": f"{live_server.url}/medblocks-sandbox",
    }
    with requests.Session() as browser:
        site = Site(live_server.url, browser)
        site.sign_in(user)
        yield site


@pytest.fixture
def get_attempt(db):
    """Return the one attempt there is, as the database has it."""

    def get() -> PatientConnectionAttempt:
        return PatientConnectionAttempt.objects.get()

    return get


@pytest.fixture
def add_catalog(db) -> Callable[..., list[Facility]]:
    """Make a finished catalog of ``(name, type)`` pairs, with further columns where given."""

    def add(*facilities, **columns) -> list[Facility]:
        rows = [
            Facility(connection_id=f"fhirsrc_{number}", name=name, type=kind, **columns)
            for number, (name, kind) in enumerate(facilities or NAMES)
        ]
        Facility.objects.bulk_create(rows)
        CatalogSync.objects.create(
            base_url=catalog_base_url(), fetched=len(rows), finished_at=timezone.now()
        )
        return list(Facility.objects.order_by("id"))

    return add


@pytest.fixture
def client_in(patient_client):
    return patient_client


@pytest.fixture
def connect(user):
    """Let the patient have been connected to places of the catalog, by their numbers."""

    def connect_to(*numbers, **columns):
        for number in numbers:
            create_attempt(
                patient_id=str(user.pk),
                connection_id=f"fhirsrc_{number}",
                **{"status": "succeeded", **columns},
            )

    return connect_to


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The one browser of all tests that drive one: Playwright runs once per thread."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium or Chrome here")
    sync_playwright = pytest.importorskip("playwright.sync_api").sync_playwright
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()
