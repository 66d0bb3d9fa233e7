"""Ending a connection: asked first, done at Medblocks, then told on the timeline."""

from __future__ import annotations

import pytest
import requests
from django.test import Client

from medblocks_connect.models import AttemptEvent
from medblocks_connect.patient_connections.disconnect import disconnect_patient
from medblocks_connect.patients import Patient
from medblocks_connect.signals import connection_lost
from tests.attempts.conftest import BASE_URL
from tests.pages.conftest import CONNECTIONS, link_json

pytestmark = pytest.mark.django_db

DISCONNECT = f"{CONNECTIONS}disconnect/"
CUT = "You are disconnected from <bdi>Riverside General</bdi>."


@pytest.fixture
def cut(medblocks, user):
    """Say how Medblocks answers the DELETE."""

    def answer(**options):
        told = {"id": "conn_1", "resource_type": "connection", "disconnected": True}
        url = f"{BASE_URL}/patients/{user.pk}/connections/conn_1"
        return medblocks.upsert("DELETE", url, **(options or {"json": told}))

    return answer


def test_question_is_asked_first(browser, tell, cut):
    tell(link_json())
    deleted = cut()
    page = browser.get(DISCONNECT, {"connection": "conn_1"})
    assert "Riverside General" in page.text
    assert "We will get no new records from there." in page.text
    assert deleted.call_count == 0


def test_yes_ends_the_connection(browser, tell, cut, make):
    attempt = make()
    tell(link_json())
    deleted = cut()
    response = browser.post(DISCONNECT, {"connection": "conn_1"})
    assert (response.status_code, deleted.call_count) == (303, 1)
    assert response["Location"].startswith(CONNECTIONS)
    attempt.refresh_from_db()
    assert attempt.status == "succeeded"
    assert attempt.connection_status == "disconnected"
    assert attempt.lost_at


def test_yes_is_told_on_the_timeline_once(browser, tell, cut, make):
    attempt = make()
    tell(link_json())
    cut()
    for _ in range(2):
        browser.post(DISCONNECT, {"connection": "conn_1"})
    assert [event.kind for event in attempt.events.all()] == [AttemptEvent.Kind.DISCONNECTED]


def test_yes_shows_at_once(browser, tell, cut, make):
    make()
    tell(link_json())
    cut()
    browser.get(CONNECTIONS)
    answer = browser.post(DISCONNECT, {"connection": "conn_1"})
    tell(link_json("disconnected"))
    page = browser.get(answer["Location"]).text
    assert CUT in page
    assert "Connect again" in page


def test_yes_is_said_once_and_in_no_address(browser, tell, cut, make):
    make()
    tell(link_json())
    cut()
    address = browser.post(DISCONNECT, {"connection": "conn_1"})["Location"]
    tell(link_json("disconnected"))
    assert address == CONNECTIONS
    assert [CUT in browser.get(address).text for _ in range(2)] == [True, False]


def test_yes_is_not_said_by_a_link(browser, tell):
    tell(link_json())
    assert "You are disconnected" not in browser.get(f"{CONNECTIONS}?disconnected=yes").text


def test_yes_is_not_said_of_a_place_that_is_connected_again(browser, tell, cut, make):
    make()
    tell(link_json())
    cut()
    browser.post(DISCONNECT, {"connection": "conn_1"})
    assert "You are disconnected" not in browser.get(CONNECTIONS).text


def test_yes_is_kept_for_the_page_that_is_seen(browser, tell, cut, make):
    make()
    tell(link_json())
    cut()
    browser.post(DISCONNECT, {"connection": "conn_1"})
    tell(link_json("disconnected"))
    browser.head(CONNECTIONS)
    assert CUT in browser.get(CONNECTIONS).text


def test_yes_needs_no_session(cut, tell, user, settings):
    settings.MEDBLOCKS_CONNECT = settings.MEDBLOCKS_CONNECT | {
        "PATIENT_RESOLVER": "tests.resolvers.intake_form"
    }
    settings.MIDDLEWARE = []
    tell(link_json())
    cut()
    theirs = {"headers": {"X-Intake": str(user.pk)}}
    assert Client().post(DISCONNECT, {"connection": "conn_1"}, **theirs).status_code == 303
    assert Client().get(CONNECTIONS, **theirs).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_yes_tells_the_host(browser, tell, cut, make):
    heard = []

    def hear(attempt, **kwargs):
        heard.append(attempt.connection_status)

    connection_lost.connect(hear)
    make()
    tell(link_json())
    cut()
    browser.post(DISCONNECT, {"connection": "conn_1"})
    connection_lost.disconnect(hear)
    assert heard == ["disconnected"]


def test_csrf_token_is_needed(patient_client, tell, cut):
    tell(link_json())
    deleted = cut()
    assert patient_client.post(DISCONNECT, {"connection": "conn_1"}).status_code == 403
    assert deleted.call_count == 0


@pytest.mark.parametrize("connection", ["conn_theirs", "conn_old", "", "../../patients"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_connection_that_is_not_theirs_leads_to_the_list(
    browser, tell, medblocks, method, connection
):
    tell(link_json(), link_json("disconnected", id="conn_old", connection_id="fhirsrc_old"))
    response = getattr(browser, method)(DISCONNECT, {"connection": connection})
    assert (response.status_code, response["Location"]) == (303, CONNECTIONS)
    assert {call.request.method for call in medblocks.calls} == {"GET"}


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
def test_medblocks_that_does_not_do_it_is_told(browser, tell, cut, make, answer):
    attempt = make()
    tell(link_json())
    cut(**answer)
    response = browser.post(DISCONNECT, {"connection": "conn_1"})
    assert response.status_code == 503
    assert "We could not disconnect you" in response.text
    assert "Riverside General" in response.text
    attempt.refresh_from_db()
    assert attempt.connection_status == "active"
    assert not attempt.events.exists()


@pytest.mark.parametrize(
    "answer",
    [
        {"body": requests.ReadTimeout()},
        {"status": 404, "json": {}},
        {"json": {"id": "conn_1", "disconnected": False}},
    ],
    ids=["no", "404", "says-no"],
)
@pytest.mark.parametrize(
    "links",
    [
        [],
        [link_json("disconnected")],
        [link_json(id="conn_2", connection_id="fhirsrc_elsewhere")],
    ],
    ids=["gone", "disconnected", "only-another"],
)
def test_unclear_answer_is_settled_by_medblocks_own_list(tell, cut, make, user, answer, links):
    attempt = make()
    tell(*links)
    cut(**answer)
    disconnect_patient(Patient(str(user.pk)), "conn_1")
    attempt.refresh_from_db()
    assert attempt.connection_status == "disconnected"


def test_unclear_answer_about_a_patient_whom_medblocks_does_not_know(tell, cut, make, user):
    attempt = make()
    tell(status=404)
    cut(status=404, json={})
    disconnect_patient(Patient(str(user.pk)), "conn_1")
    attempt.refresh_from_db()
    assert attempt.connection_status == "disconnected"


def test_another_connection_of_the_patient_is_left_alone(cut, make, user):
    other = make(patient_connection_id="conn_2")
    cut()
    disconnect_patient(Patient(str(user.pk)), "conn_1")
    other.refresh_from_db()
    assert other.connection_status == "active"


def test_attempt_of_somebody_else_is_left_alone(tell, cut, make, user, other_user):
    theirs = make(patient_id=str(other_user.pk))
    cut()
    disconnect_patient(Patient(str(user.pk)), "conn_1")
    theirs.refresh_from_db()
    assert theirs.connection_status == "active"
