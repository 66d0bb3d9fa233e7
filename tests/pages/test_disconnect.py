"""The page that ends a connection: asked first, done at Medblocks, then shown."""

from __future__ import annotations

import pytest
import requests
from django.test import Client

from medblocks_connect.models import AttemptEvent
from medblocks_connect.signals import connection_lost
from tests.pages.conftest import CONNECTIONS
from tests.patient_connections.conftest import listed_json

pytestmark = pytest.mark.django_db

DISCONNECT = f"{CONNECTIONS}disconnect/"
DISCONNECTED = "You are disconnected from <bdi>Riverside General</bdi>."


def test_get_asks_before_anything_ends(browser, answer_list, answer_disconnect):
    answer_list(listed_json())
    deleted = answer_disconnect()
    page = browser.get(DISCONNECT, {"connection": "conn_1"})
    assert "Riverside General" in page.text
    assert "We will get no new records from there." in page.text
    assert deleted.call_count == 0


def test_get_of_a_lost_connection_offers_not_to_stay_connected(browser, answer_list, make):
    make()
    answer_list(listed_json("refresh_failed"))
    answer = browser.get(DISCONNECT, {"connection": "conn_1"})
    assert (answer.status_code, answer["Location"]) == (303, CONNECTIONS)


def test_post_ends_the_connection(browser, answer_list, answer_disconnect, make):
    attempt = make()
    answer_list(listed_json())
    deleted = answer_disconnect()
    response = browser.post(DISCONNECT, {"connection": "conn_1"})
    assert (response.status_code, deleted.call_count) == (303, 1)
    assert response["Location"].startswith(CONNECTIONS)
    attempt.refresh_from_db()
    assert attempt.status == "succeeded"
    assert attempt.connection_status == "disconnected"
    assert attempt.lost_at


def test_post_twice_is_one_event(browser, answer_list, answer_disconnect, make):
    attempt = make()
    answer_list(listed_json())
    answer_disconnect()
    for _ in range(2):
        browser.post(DISCONNECT, {"connection": "conn_1"})
    assert [event.kind for event in attempt.events.all()] == [AttemptEvent.Kind.DISCONNECTED]


def test_post_is_shown_at_once(browser, answer_list, answer_disconnect, make):
    make()
    answer_list(listed_json())
    answer_disconnect()
    browser.get(CONNECTIONS)
    answer = browser.post(DISCONNECT, {"connection": "conn_1"})
    answer_list(listed_json("disconnected"))
    page = browser.get(answer["Location"]).text
    assert DISCONNECTED in page
    assert "Connect again" in page


def test_post_is_confirmed_once_and_in_no_address(browser, answer_list, answer_disconnect, make):
    make()
    answer_list(listed_json())
    answer_disconnect()
    address = browser.post(DISCONNECT, {"connection": "conn_1"})["Location"]
    answer_list(listed_json("disconnected"))
    assert address == CONNECTIONS
    assert [DISCONNECTED in browser.get(address).text for _ in range(2)] == [True, False]


def test_link_confirms_no_disconnection(browser, answer_list):
    answer_list(listed_json())
    assert "You are disconnected" not in browser.get(f"{CONNECTIONS}?disconnected=yes").text


@pytest.mark.parametrize("link", ["conn_1", "conn_2"], ids=["kept", "new"])
def test_post_is_not_confirmed_where_it_is_connected_again(
    browser, answer_list, answer_disconnect, make, link
):
    make()
    answer_list(listed_json())
    answer_disconnect()
    browser.post(DISCONNECT, {"connection": "conn_1"})
    answer_list(listed_json("disconnected"), listed_json(id=link))
    assert "You are disconnected" not in browser.get(CONNECTIONS).text


def test_post_is_confirmed_after_a_head_request(browser, answer_list, answer_disconnect, make):
    make()
    answer_list(listed_json())
    answer_disconnect()
    browser.post(DISCONNECT, {"connection": "conn_1"})
    answer_list(listed_json("disconnected"))
    browser.head(CONNECTIONS)
    assert DISCONNECTED in browser.get(CONNECTIONS).text


def test_post_without_sessions_ends_the_connection(answer_disconnect, answer_list, user, settings):
    settings.MEDBLOCKS_CONNECT = settings.MEDBLOCKS_CONNECT | {
        "PATIENT_RESOLVER": "tests.resolvers.intake_form"
    }
    settings.MIDDLEWARE = []
    answer_list(listed_json())
    answer_disconnect()
    theirs = {"headers": {"X-Intake": str(user.pk)}}
    assert Client().post(DISCONNECT, {"connection": "conn_1"}, **theirs).status_code == 303
    assert Client().get(CONNECTIONS, **theirs).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_post_sends_connection_lost(browser, answer_list, answer_disconnect, make):
    heard = []

    def hear(attempt, **kwargs):
        heard.append(attempt.connection_status)

    connection_lost.connect(hear)
    make()
    answer_list(listed_json())
    answer_disconnect()
    browser.post(DISCONNECT, {"connection": "conn_1"})
    connection_lost.disconnect(hear)
    assert heard == ["disconnected"]


def test_post_without_csrf_token_is_403(patient_client, answer_list, answer_disconnect):
    answer_list(listed_json())
    deleted = answer_disconnect()
    assert patient_client.post(DISCONNECT, {"connection": "conn_1"}).status_code == 403
    assert deleted.call_count == 0


@pytest.mark.parametrize("connection", ["conn_theirs", "conn_old", "", "../../patients"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_connection_that_is_not_theirs_leads_to_the_list(
    browser, answer_list, medblocks, method, connection
):
    answer_list(
        listed_json(),
        listed_json("disconnected", id="conn_old", connection_id="fhirsrc_old"),
    )
    response = getattr(browser, method)(DISCONNECT, {"connection": connection})
    assert (response.status_code, response["Location"]) == (303, CONNECTIONS)
    assert {call.request.method for call in medblocks.calls} <= {"GET"}


def test_visitor_is_sent_to_log_in(client):
    response = client.post(DISCONNECT, {"connection": "conn_1"})
    assert response["Location"] == f"/accounts/login/?next={CONNECTIONS}"


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 500, "json": {}},
        {"body": requests.ConnectTimeout()},
        {"body": requests.ReadTimeout()},
        {"json": {"id": "conn_1", "disconnected": False}},
        {"status": 404, "json": {}},
    ],
    ids=["500", "unreachable", "no-answer", "says-no", "404"],
)
def test_post_that_medblocks_does_not_do_is_503(
    browser, answer_list, answer_disconnect, make, answer
):
    attempt = make()
    answer_list(listed_json())
    answer_disconnect(**answer)
    response = browser.post(DISCONNECT, {"connection": "conn_1"})
    assert response.status_code == 503
    assert "We could not disconnect you" in response.text
    assert "Riverside General" in response.text
    attempt.refresh_from_db()
    assert attempt.connection_status == "active"
    assert not attempt.events.exists()
