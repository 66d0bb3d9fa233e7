"""A database that is full, read-only or gone: our page, our JSON, and webhooks sent again."""

from __future__ import annotations

import json
import logging
from urllib.parse import quote

import pytest
from django.core import mail
from django.db import (
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
    connection,
)
from django.http import HttpResponse
from django.test import Client
from django.utils.log import AdminEmailHandler

from medblocks_connect.attempts.database_retry import is_repeatable
from medblocks_connect.models import Installation, PatientConnectionAttempt, WebhookDelivery
from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.portal import return_url_with_outcome
from medblocks_connect.views import search_page
from medblocks_connect.views.database_outage import is_outage, name_database_error
from tests.faults.events import SECRET, completed, event, post_event

pytestmark = pytest.mark.django_db(transaction=True)

TROUBLE = "Something went wrong on the way"
needs_sqlite = pytest.mark.skipif(
    connection.vendor != "sqlite", reason="a test can make SQLite alone full or read-only"
)


@pytest.fixture
def staff_mail(settings):
    """What Django would mail to ADMINS."""
    settings.ADMINS = [("Admin", "admin@clinic.example")]
    handler = AdminEmailHandler()
    handler.setLevel(logging.ERROR)
    logger = logging.getLogger("django.request")
    logger.addHandler(handler)
    yield mail.outbox
    logger.removeHandler(handler)


@pytest.fixture
def waiting(clinic):
    """A clinic whose patient is connected, and at the portal for a second time."""
    clinic.started()
    flows.approve(clinic.session)
    clinic.come_back()
    clinic.started()
    # A test before this one may have emptied the table, while the process knows the id.
    Installation.objects.get_or_create(pk=1)
    return clinic


class ReadOnly:
    """The file of the database, opened for reading alone."""

    def __init__(self) -> None:
        self._kept = {key: connection.settings_dict[key] for key in ("NAME", "OPTIONS")}

    def begin(self) -> None:
        connection.close()
        connection.settings_dict["NAME"] = f"file:{quote(str(self._kept['NAME']))}?mode=ro"
        connection.settings_dict["OPTIONS"] = {**self._kept["OPTIONS"], "uri": True}

    def end(self) -> None:
        connection.close()
        connection.settings_dict.update(self._kept)


@pytest.fixture
def read_only():
    """A database that a test may make read-only."""
    read_only = ReadOnly()
    yield read_only
    read_only.end()


@pytest.fixture
def full():
    """Let the file of the database grow no more, once it is called."""

    def fill():
        with connection.cursor() as cursor:
            cursor.execute("VACUUM")
            pages = cursor.execute("PRAGMA page_count").fetchone()[0]
            cursor.execute(f"PRAGMA max_page_count = {pages}")

    yield fill
    connection.close()  # the limit is the connection's


class Refusal:
    """A database that answers every statement by one error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __call__(self, execute, sql, params, many, context):
        raise self._error


def prepare_disconnect(clinic):
    connected = PatientConnectionAttempt.objects.exclude(patient_connection_id="").get()
    link = connected.patient_connection_id
    # Medblocks' own database is another one, the sandbox's is not.
    ended = json.dumps({"id": link, "disconnected": True}).encode()
    clinic.medblocks.take_over("DELETE", (200, {}, ended))
    return lambda: clinic.post("/records/connections/disconnect/", {"connection": link})


def prepare_return(clinic):
    address = return_url_with_outcome(clinic.session)
    return lambda: clinic.client.get(address)


def prepare_missing(clinic):
    return lambda: clinic.post("/records/not-found/", {"text": "Saint Nowhere"})


def prepare_get(path):
    return lambda clinic: lambda: clinic.client.get(path)


WRITING = {
    "start": lambda clinic: clinic.start,
    "return": prepare_return,
    "not-found": prepare_missing,
    "disconnect": prepare_disconnect,
}
READING = {
    "search": prepare_get("/records/search/"),
    "search-found": prepare_get("/records/search/?q=riverside"),
    "search-missed": prepare_get("/records/search/?q=qqqq"),
    "connections": prepare_get("/records/connections/"),
    "thanks": prepare_get("/records/not-found/thanks/"),
    "api-connections": prepare_get("/records/api/connections/?q=riverside"),
}


def assert_our_page(answered: HttpResponse) -> None:
    assert answered.status_code == 503
    assert TROUBLE in answered.text
    assert "no-store" in answered["Cache-Control"]


@needs_sqlite
@pytest.mark.parametrize("name", WRITING)
def test_page_that_writes_to_a_read_only_database_is_ours_and_503(
    waiting, read_only, staff_mail, caplog, name
):
    press = WRITING[name](waiting)
    read_only.begin()
    caplog.clear()
    assert_our_page(press())
    assert staff_mail == []
    assert "OperationalError" in caplog.records[-1].getMessage()


@needs_sqlite
@pytest.mark.parametrize("name", READING)
def test_page_that_reads_a_read_only_database_is_served(waiting, read_only, staff_mail, name):
    look = READING[name](waiting)
    read_only.begin()
    assert look().status_code == 200
    assert staff_mail == []


@needs_sqlite
def test_page_of_a_settled_attempt_in_a_read_only_database_is_served(waiting, read_only):
    connected = PatientConnectionAttempt.objects.get(status="succeeded")
    read_only.begin()
    assert waiting.client.get(connected.get_absolute_url()).status_code == 200


@needs_sqlite
def test_json_start_in_a_read_only_database_is_a_json_error(waiting, read_only, staff_mail):
    read_only.begin()
    answered = waiting.start_by_json()
    assert answered.status_code == 503
    assert answered.json()["error"]["code"] == "internal_error"
    assert staff_mail == []


@needs_sqlite
def test_webhook_to_a_read_only_database_is_503_and_taken_when_it_comes_again(
    waiting, read_only, staff_mail
):
    told = completed(waiting.session)
    read_only.begin()
    answered = waiting.send(told)
    assert (answered.status_code, answered.content) == (503, b"It could not be stored.")
    assert staff_mail == []
    read_only.end()
    assert waiting.send(told).status_code == 200
    assert WebhookDelivery.objects.get().state == "processed"


@needs_sqlite
def test_start_in_a_full_database_is_our_page(patient_client, settings, full, staff_mail):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "THROTTLES": {"start": None}}
    patient_client.handler.enforce_csrf_checks = False
    full()
    answered = patient_client.post("/records/start/", {"connection_id": "fhirsrc_1"})
    for _ in range(500):  # while its last pages have room
        if answered.status_code != 303:
            break
        answered = patient_client.post("/records/start/", {"connection_id": "fhirsrc_1"})
    assert_our_page(answered)
    assert patient_client.get("/records/search/").status_code == 200
    assert staff_mail == []


@needs_sqlite
def test_webhook_to_a_full_database_is_503(settings, full, staff_mail):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "WEBHOOK_SECRETS": [SECRET]}
    full()
    statuses = [200]
    while statuses[-1] == 200 and len(statuses) < 500:  # while its last pages have room
        told = event("test.ping", {"text": "x" * 2000}, f"evt_{len(statuses)}")
        statuses.append(post_event(Client(), told).status_code)
    assert statuses[-1] == 503
    assert staff_mail == []


# Whatever the database: each statement fails.

GONE = {
    "operational": OperationalError("server closed the connection at 10.0.0.7"),
    "internal": InternalError("cannot execute INSERT in a read-only transaction"),
    "interface": InterfaceError("connection already closed"),
    "mysql-full": OperationalError(1114, "The table of 'ann@mail.example' is full"),
}
ASKING = {name: each for name, each in {**WRITING, **READING}.items() if name != "thanks"}


@pytest.mark.parametrize("error", GONE.values(), ids=GONE)
@pytest.mark.parametrize("name", ASKING)
def test_page_of_a_site_whose_database_is_gone_is_ours_and_503(
    waiting, staff_mail, caplog, error, name
):
    press = ASKING[name](waiting)
    caplog.clear()
    with connection.execute_wrapper(Refusal(error)):
        answered = press()
    if name.startswith("api"):
        assert answered.status_code == 503
        assert answered.json()["error"]["code"] == "internal_error"
    else:
        assert_our_page(answered)
    assert staff_mail == []
    (record,) = caplog.records
    assert type(error).__name__ in record.getMessage()
    assert not [word for word in ("10.0.0.7", "ann@mail", "conn_") if word in caplog.text]


@pytest.mark.parametrize("error", GONE.values(), ids=GONE)
def test_webhook_to_a_site_whose_database_is_gone_is_503(waiting, staff_mail, error):
    told = completed(waiting.session)
    with connection.execute_wrapper(Refusal(error)):
        assert waiting.send(told).status_code == 503
    assert staff_mail == []
    assert waiting.send(told).status_code == 200


def test_site_whose_frame_asks_a_database_that_is_gone_shows_our_own(waiting, settings):
    frame = "{% load l10n %}{{ request.user.username }}{% block content %}{% endblock %}"
    loader = ("django.template.loaders.locmem.Loader", {"site.html": frame})
    ours = "django.template.loaders.app_directories.Loader"
    (engine,) = settings.TEMPLATES
    options = {**engine["OPTIONS"], "loaders": [loader, ours]}
    settings.TEMPLATES = [{**engine, "DIRS": [], "APP_DIRS": False, "OPTIONS": options}]
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "BASE_TEMPLATE": "site.html"}
    with connection.execute_wrapper(Refusal(OperationalError("gone"))):
        answered = waiting.client.get("/records/search/")
    assert_our_page(answered)
    assert "medblocks-page" in answered.text


@pytest.mark.parametrize(
    "error",
    [
        IntegrityError("duplicate key"),
        ProgrammingError('relation "medblocks_connect_attempt" does not exist'),
        OperationalError("no such table: medblocks_connect_attempt"),
        OperationalError("table medblocks_connect_attempt has no column named place_id"),
        OperationalError(1054, "Unknown column 'place_id'"),
    ],
    ids=lambda error: f"{type(error).__name__}-{error.args[0]}",
)
def test_mistake_of_a_statement_is_an_error_that_is_reported(patient_client, monkeypatch, error):
    def fail(*args):
        raise error

    assert not is_outage(error)
    monkeypatch.setattr(search_page, "show_results", fail)
    with pytest.raises(type(error)):
        patient_client.get("/records/search/")


@pytest.mark.parametrize(
    ("attribute", "told"),
    [
        ({"sqlite_errorname": "SQLITE_FULL"}, "OperationalError (SQLITE_FULL)"),
        ({"sqlstate": "53100"}, "OperationalError (53100)"),
        ({}, "OperationalError"),
    ],
    ids=["sqlite", "postgresql", "another"],
)
def test_error_is_named_by_its_kind_and_the_databases_code(attribute, told):
    error = OperationalError("of ann@mail.example")
    error.__cause__ = type("DriverError", (Exception,), attribute)()
    assert name_database_error(error) == told


def test_error_of_mysql_is_named_by_its_kind_and_code():
    assert name_database_error(GONE["mysql-full"]) == "OperationalError (1114)"


@pytest.mark.parametrize(
    ("error", "is_it"),
    [
        (OperationalError("deadlock detected"), True),
        (OperationalError("database is locked"), True),
        (OperationalError("attempt to write a readonly database"), False),
        (OperationalError("database or disk is full"), False),
        (GONE["mysql-full"], False),
    ],
    ids=str,
)
def test_write_that_the_database_cannot_take_is_not_repeated(error, is_it):
    assert is_repeatable(error) is is_it


@needs_sqlite
def test_page_of_an_attempt_that_is_checked_is_served_from_a_read_only_database(
    waiting, read_only, staff_mail
):
    waiting.come_back()  # while the session is open: Medblocks is asked again
    PatientConnectionAttempt.objects.update(asked_at=None)
    address = waiting.attempt.get_absolute_url()
    read_only.begin()
    answered = waiting.client.get(address)
    assert (answered.status_code, staff_mail) == (200, [])
    assert "Checking your connection" in answered.text
