"""The page of a patient's connections, with Medblocks and without it."""

from __future__ import annotations

import re

import pytest

from tests.attempts.conftest import BASE_URL
from tests.pages.conftest import CONNECTIONS
from tests.patient_connections.conftest import listed_json

pytestmark = pytest.mark.django_db


def test_medblocks_away_after_a_disconnection_shows_that_it_ended(
    browser, list_now, answer_list, medblocks, user
):
    answer_list(listed_json())
    list_now()
    disconnected = {"id": "conn_1", "resource_type": "connection", "disconnected": True}
    medblocks.delete(f"{BASE_URL}/patients/{user.pk}/connections/conn_1", json=disconnected)
    browser.post(f"{CONNECTIONS}disconnect/", {"connection": "conn_1"})
    answer_list(status=500)
    assert [place.state for place in list_now().places] == ["disconnected"]


def test_medblocks_away_after_a_failed_disconnection_shows_its_last_answer(
    browser, list_now, answer_list, medblocks, user
):
    answer_list(listed_json())
    list_now()
    medblocks.delete(f"{BASE_URL}/patients/{user.pk}/connections/conn_1", status=500, json={})
    answer_list(status=500)
    browser.post(f"{CONNECTIONS}disconnect/", {"connection": "conn_1"})
    assert [each.state for each in list_now().places] == ["connected"]


def test_page_sends_a_visitor_to_log_in(client):
    assert client.get(CONNECTIONS)["Location"] == f"/accounts/login/?next={CONNECTIONS}"


def test_page_is_kept_private(browser, answer_list):
    answer_list()
    response = browser.get(CONNECTIONS)
    assert response["Referrer-Policy"] == "no-referrer"
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("active", ["Riverside General", "Connected", "since Nov. 22, 2026", "Disconnect"]),
        ("refresh_failed", ["Access has ended", "Connect again", 'name="confirmed"']),
        ("disconnected", ["Disconnected", "Connect again"]),
    ],
)
def test_page_shows_the_text_of_each_state(browser, answer_list, status, words):
    answer_list(listed_json(status))
    page = browser.get(CONNECTIONS).text
    assert [each for each in words if each not in page] == []
    assert "Connect another place" in page


def test_page_without_connections_leads_to_the_search(browser, answer_list):
    answer_list()
    page = browser.get(CONNECTIONS).text
    assert "You have not connected a hospital yet." in page
    assert "/records/search/" in page


def test_page_without_medblocks_says_so(browser, answer_list, make):
    make()
    answer_list(status=500)
    page = browser.get(CONNECTIONS).text
    assert "This is what we last knew." in page
    assert "Riverside General" in page


def test_page_without_medblocks_says_how_old_its_answer_is(browser, answer_list, list_now, go_away):
    answer_list(listed_json())
    list_now()
    go_away()
    page = browser.get(CONNECTIONS).text
    assert re.search(r"This is what we knew on [A-Z][a-z]+\. \d+, \d{4}, .+\. It may", page)


def test_page_shows_nothing_of_somebody_else(client, other_user, answer_list, medblocks, make):
    make()
    medblocks.get(f"{BASE_URL}/patients/{other_user.pk}", status=404, json={})
    client.force_login(other_user)
    assert "Riverside General" not in client.get(CONNECTIONS).text
