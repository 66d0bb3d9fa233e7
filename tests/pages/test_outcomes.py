"""What a page says of an attempt, and what it offers next."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from urllib.parse import quote

import pytest
from django.utils import timezone

from medblocks_connect import error_messages
from medblocks_connect.models import (
    ConnectionLink,
    PatientConnection,
    PatientConnectionAttempt,
)
from tests.attempts.conftest import BASE_URL, FACILITY, connection_json, session_json

pytestmark = pytest.mark.django_db

TWICE = "It did not work twice now"


@pytest.fixture
def show(browser):
    return lambda attempt, query="": browser.get(attempt.get_absolute_url() + query)


def fail(make, **columns):
    return make(status="failed", error="oauth_error", **columns)


# The second failure.


def test_first_failure_offers_a_retry_alone(show, make):
    page = show(fail(make)).text
    assert TWICE not in page
    assert "Try again" in page


@pytest.mark.parametrize("earlier", ["failed", "expired"])
def test_second_failure_offers_another_way(show, make, earlier):
    make(status=earlier, error="oauth_error" if earlier == "failed" else "")
    page = show(fail(make)).text
    assert TWICE in page
    assert "Choose another place" in page
    assert "Try again" in page


def test_second_failure_leads_to_the_hosts_contact(show, make, contact):
    fail(make)
    page = show(fail(make)).text
    assert page.count('href="tel:+15550100"') == 1
    assert "We can look for another way." in page


def test_second_failure_without_a_contact_names_the_people_there(show, make):
    fail(make)
    assert "You can also ask the people who care for you." in show(fail(make)).text


@pytest.mark.parametrize("code", ["brand_new_code", *error_messages.ERROR_MESSAGES])
def test_second_failure_keeps_the_advice_of_its_code(show, make, code):
    for session in ("ps_1", None):
        fail(make)
        failed = make(status="failed", error=code, patient_session_id=session)
        message = error_messages.describe_error(code, at_start=session is None)
        page = unescape(show(failed).text)
        assert str(message.what_to_do) in page
        assert (TWICE in page) != message.is_patients_choice
        PatientConnectionAttempt.objects.all().delete()


def test_second_failure_by_the_clock_gives_one_advice(show, make):
    make(status="expired")
    page = show(make(status="expired")).text
    assert "it may help to wait a day" in page
    assert "when you are ready" not in page


@pytest.mark.parametrize(
    "earlier",
    [
        {"connection_id": "fhirsrc_other"},
        {"patient_id": "somebody-else"},
        {"error": "user_denied"},
        {"created_at": timezone.now() - timedelta(days=40)},
    ],
    ids=["other-place", "other-patient", "cancelled", "long-ago"],
)
def test_failure_that_is_no_second_one_offers_no_other_way(show, make, earlier):
    make(**{"status": "failed", "error": "oauth_error", **earlier})
    assert TWICE not in show(fail(make)).text


def test_failure_after_a_success_is_the_first_one(show, make):
    fail(make)
    make()
    assert TWICE not in show(fail(make)).text


def test_cancelling_is_no_error(show, make):
    fail(make)
    page = show(make(status="failed", error="user_denied")).text
    assert TWICE not in page
    assert "medblocks-outcome-bad" not in page


@pytest.mark.parametrize(
    ("columns", "is_marked"),
    [
        ({"status": "failed", "error": "oauth_error"}, True),
        ({"status": "failed", "error": "user_denied", "patient_session_id": None}, True),
        ({"status": "created"}, True),
        ({"status": "failed", "error": "user_denied"}, False),
        ({"status": "expired"}, False),
        ({"lost_at": timezone.now(), "connection_status": "refresh_failed"}, True),
        ({"lost_at": timezone.now(), "connection_status": "disconnected"}, False),
    ],
    ids=["failed", "refused", "no-answer", "own-no", "left", "lost", "turned-off"],
)
def test_mark_of_a_failure_is_on_failures_alone(show, make, columns, is_marked):
    assert ("medblocks-outcome-bad" in show(make(**columns)).text) == is_marked


@pytest.mark.parametrize(
    "columns",
    [
        {"lost_at": timezone.now(), "connection_status": "refresh_failed"},
        {"status": "failed", "error": "oauth_error"},
        {"status": "expired"},
        {"status": "created"},
    ],
    ids=["lost", "failed", "left", "no-answer"],
)
def test_place_that_was_connected_later_is_told_as_connected(show, make, columns):
    earlier = make(**columns)
    make()
    page = show(earlier).text
    assert "You are connected" in page
    assert "You are not connected" not in page
    assert "medblocks-outcome-bad" not in page


@pytest.mark.parametrize("path", ["/records/attempts/none/", "/records/start/"])
def test_page_of_something_else_is_marked_where_it_failed(browser, path):
    assert ("medblocks-outcome-bad" in browser.get(path).text) == ("start" in path)


# Whom to ask.


@pytest.fixture
def contact(settings):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "CONTACT_URL": "tel:+15550100"}


@pytest.mark.parametrize("status", ["failed", "expired", "created"])
def test_first_failure_leads_to_the_hosts_contact_too(show, make, contact, status):
    assert show(make(status=status)).text.count('href="tel:+15550100"') == 1


def test_page_without_an_attempt_leads_to_the_hosts_contact(browser, contact):
    assert 'href="tel:+15550100"' in browser.get("/records/return/").text


@pytest.mark.parametrize("code", ["brand_new_code", *error_messages.ERROR_MESSAGES])
def test_message_names_nobody_to_ask(code):
    message = error_messages.describe_error(code)
    told = f"{message.title} {message.what_happened} {message.what_to_do}".lower()
    assert [each for each in ("contact us", "ask us", "tell us") if each in told] == []


# What is offered next.


def find_main_button(page):
    """The words of the one button, or link, that is not a quiet one."""
    return re.findall(r'class="medblocks-button"[^>]*>([^<]+)<', page)


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"status": "failed", "error": "oauth_error"}, "Try again"),
        ({"status": "failed", "error": "resource_not_found"}, "Choose another place"),
        ({"status": "failed", "error": "oauth_error", "connection_id": ""}, "Choose another place"),
        ({"lost_at": timezone.now()}, "Connect again"),
        ({"lost_at": timezone.now(), "connection_status": "disconnected"}, "Connect again"),
    ],
    ids=["failed", "takes-nobody", "chosen-at-medblocks", "lost", "turned-off"],
)
def test_main_button_fits_what_happened(show, make, columns, words):
    assert find_main_button(show(make(**columns)).text) == [words]


@pytest.mark.parametrize("columns", [{"status": "failed"}, {"lost_at": timezone.now()}])
def test_page_without_a_connection_leads_to_the_others(show, make, columns):
    assert 'href="/records/connections/"' in show(make(**columns)).text


# What the place is called.

STATES = [
    {"status": "succeeded"},
    {"lost_at": timezone.now()},
    {"lost_at": timezone.now(), "connection_status": "disconnected"},
    {"status": "returned", "returned_at": timezone.now()},
    {"status": "failed"},
    {"status": "expired"},
    {"status": "started"},
]
NEVER_LEFT = [
    {"status": "created"},
    {"status": "failed", "patient_session_id": None},
    {"status": "failed", "error": "unsafe_url"},
    {"status": "expired", "patient_session_id": None},
]


@pytest.fixture
def unnamed(medblocks):
    """A facility that Medblocks cannot name: how often it was asked."""
    address = "https://fhir.example.org/api/r4"
    asked = medblocks.get(f"{BASE_URL}/connections/{quote(address, safe='')}", status=404, json={})
    return address, asked


@pytest.mark.parametrize("columns", [*STATES, *NEVER_LEFT])
def test_place_is_called_by_no_id_and_no_address(show, make, unnamed, columns):
    for connection_id in ("", unnamed[0]):
        page = show(make(connection_id=connection_id, connection_name="", **columns)).text
        told = re.sub(r"<[^>]*>", "", page)
        assert "fhir.example.org" not in told
        assert "chosen at Medblocks" not in told


@pytest.mark.parametrize("columns", STATES)
def test_name_that_the_attempt_lacks_is_asked_for(show, make, medblocks, columns):
    assert "<bdi>Riverside General</bdi>" in show(make(connection_name="", **columns)).text


@pytest.mark.parametrize("columns", NEVER_LEFT)
def test_page_of_a_start_that_led_nobody_away_asks_nothing(show, make, medblocks, columns):
    """The start asked already; a phone that restores a tab does not ask again."""
    attempt = make(connection_name="", **columns)
    for _ in range(10):
        response = show(attempt)
        assert response.status_code == 200
        assert "Refresh" not in response
    assert len(medblocks.calls) == 0


def test_name_that_nobody_can_tell_is_asked_for_once(show, make, unnamed):
    attempt = make(connection_id=unnamed[0], connection_name="")
    for _ in range(2):
        assert show(attempt).status_code == 200
    assert unnamed[1].call_count == 1


# The page that waits.


@pytest.fixture
def waiting(make, medblocks, user):
    """An attempt whose patient is back, at a Medblocks that has nothing to say yet."""
    medblocks.get(f"{BASE_URL}/patient-sessions/ps_1", json=session_json(patient_id=str(user.pk)))
    return make(status="returned", returned_at=timezone.now(), patient_session_id="ps_1")


def test_waiting_page_looks_again_without_scripts(show, waiting):
    response = show(waiting)
    assert response["Refresh"] == "5"
    assert "This page looks again every 5 seconds." in response.text


def test_waiting_page_can_be_stopped(show, waiting):
    assert 'href="?stop"' in show(waiting).text
    stopped = show(waiting, "?stop")
    assert "Refresh" not in stopped
    assert "looks again every" not in stopped.text


def test_waiting_page_that_was_stopped_stays_so(show, waiting):
    again = re.search(r'href="([^"]+)">Check again', show(waiting, "?stop").text)[1]
    assert again == f"{waiting.get_absolute_url()}?stop"


@pytest.fixture
def wait_for(waiting):
    """Let the patient have come back so long ago."""

    def wait(**duration):
        long_ago = timezone.now() - timedelta(**duration)
        PatientConnectionAttempt.objects.update(returned_at=long_ago)
        return waiting

    return wait


LONGER = "This takes longer than usual."


def test_waiting_page_says_first_that_it_is_quick(show, waiting):
    page = show(waiting).text
    assert "This mostly takes a few seconds." in page
    assert LONGER not in page


def test_waiting_page_looks_less_often_after_a_minute(show, wait_for):
    response = show(wait_for(seconds=70))
    assert response["Refresh"] == "15"
    assert LONGER in response.text
    assert 'href="?stop"' in response.text


def test_waiting_page_says_when_it_takes_long(show, wait_for, contact):
    page = show(wait_for(hours=5)).text
    assert LONGER in page
    assert "a few seconds" not in page
    assert 'href="/records/connections/"' in page
    assert 'href="tel:+15550100"' in page


def test_waiting_page_does_not_look_for_ever(show, wait_for):
    response = show(wait_for(minutes=3))
    assert "Refresh" not in response
    assert "Check again" in response.text


@pytest.mark.parametrize("status", ["succeeded", "failed", "expired", "created"])
def test_page_that_has_its_answer_does_not_look_again(show, make, status):
    assert "Refresh" not in show(make(status=status))


def test_waiting_page_offers_another_place(show, waiting):
    assert "Choose another place" in show(waiting).text


# The patient who never came back.


@pytest.fixture
def unfinished(make, medblocks, user):
    """An attempt whose patient went to the portal, and nobody has told of them since."""
    medblocks.get(f"{BASE_URL}/patient-sessions/ps_1", json=session_json(patient_id=str(user.pk)))
    return make(status="started", patient_session_id="ps_1")


def test_unfinished_page_asks_and_offers_every_way_on(show, unfinished):
    response = show(unfinished)
    assert "Did you finish at the portal?" in response.text
    for way in ("Try again", "Check again", "Choose another place"):
        assert way in response.text
    assert f'value="{FACILITY}"' in response.text


def test_unfinished_page_says_nothing_of_a_check_and_does_not_reload(show, unfinished):
    response = show(unfinished)
    assert "Checking your connection" not in response.text
    assert "Refresh" not in response


def test_unfinished_page_says_what_medblocks_knows(show, unfinished, medblocks, user):
    connected = session_json(
        patient_id=str(user.pk), status="complete", connections=[connection_json()]
    )
    medblocks.upsert("GET", f"{BASE_URL}/patient-sessions/ps_1", json=connected)
    assert "You are connected" in show(unfinished).text


def test_unfinished_page_of_a_place_chosen_at_medblocks_offers_no_retry(show, unfinished):
    PatientConnectionAttempt.objects.update(connection_id="", connection_name="")
    page = show(unfinished).text
    assert "Try again" not in page
    assert "Choose another place" in page


# The page before the portal.


@pytest.fixture
def confirming(settings, medblocks):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "CONFIRM_BEFORE_PORTAL": True}


def test_choosing_goes_straight_to_the_portal(browser, medblocks, user):
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json(patient_id=str(user.pk)))
    assert browser.post("/records/start/", {"connection_id": FACILITY}).status_code == 303


def test_choosing_with_the_setting_asks_first(browser, confirming):
    page = browser.post("/records/start/", {"connection_id": FACILITY})
    assert page.status_code == 200
    assert "Riverside General" in page.text
    assert f'value="{FACILITY}"' in page.text
    assert not PatientConnectionAttempt.objects.exists()


def test_choosing_confirmed_goes_to_the_portal(browser, confirming, medblocks, user):
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json(patient_id=str(user.pk)))
    answer = browser.post("/records/start/", {"connection_id": FACILITY, "confirmed": "yes"})
    assert answer.status_code == 303


def test_choosing_a_place_nobody_can_name_asks_first_too(browser, confirming, medblocks):
    medblocks.get(f"{BASE_URL}/connections/fhirsrc_gone", status=500, json={})
    page = browser.post("/records/start/", {"connection_id": "fhirsrc_gone"})
    assert "A hospital or clinic" in page.text


def test_choosing_a_place_without_a_name_shows_no_id(browser, confirming, medblocks):
    nameless = {"id": "fhirsrc_1", "name": "", "fhir_base_url": "https://fhir.example.org/r4"}
    medblocks.get(f"{BASE_URL}/connections/fhirsrc_1", json=nameless)
    page = browser.post("/records/start/", {"connection_id": "fhirsrc_1"})
    assert "A hospital or clinic" in page.text
    assert "fhirsrc_1" not in re.sub(r"<[^>]*>", "", page.text)


def test_trying_again_is_one_step(show, confirming, make):
    assert 'name="confirmed" value="yes"' in show(fail(make)).text


# A success, and what became of its place.

AGAIN = "You connected it again"


def test_loss_of_one_of_two_links_is_no_end_of_the_access(show, make):
    now = timezone.now()
    make(patient_connection_id="conn_2", created_at=now - timedelta(hours=2))
    lost = make(created_at=now - timedelta(hours=1), lost_at=now, connection_status="expired")
    page = show(lost).text
    assert "You are connected to" in page
    assert AGAIN not in page


def test_success_whose_place_was_won_back_says_so(show, make):
    now = timezone.now()
    lost = make(lost_at=now - timedelta(hours=1), created_at=now - timedelta(hours=2))
    make(patient_connection_id="conn_2")
    page = show(lost).text
    assert AGAIN in page
    assert "on their way" not in page


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({}, "Your records are on their way."),
        ({"records_at": 1}, "Records last came on"),
        ({"records_failed_at": 1}, "Some records did not arrive on"),
        ({"records_at": 1, "records_failed_at": 2}, "Some records did not arrive on"),
        ({"records_at": 2, "records_failed_at": 1}, "Records last came on"),
    ],
)
def test_success_says_whether_its_records_came(show, make, columns, sentence):
    attempt = make()
    moments = {name: timezone.now() + timedelta(hours=hour) for name, hour in columns.items()}
    PatientConnection.objects.update(**moments, changed_at=timezone.now())
    page = show(attempt).text
    sentences = ("Your records are on their way.", "Records last came on", "did not arrive")
    assert sentence in page
    assert sum(each in page for each in sentences) == 1


def test_success_that_heard_of_its_loss_after_it_was_won_back_says_so(show, make):
    now = timezone.now()
    lost = make(lost_at=now, created_at=now - timedelta(hours=3))
    ConnectionLink.objects.update(told_lost_at=now - timedelta(hours=2))
    make(patient_connection_id="conn_2", created_at=now - timedelta(hours=1))
    assert AGAIN in show(lost).text
