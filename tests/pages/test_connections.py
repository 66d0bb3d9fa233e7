"""What a patient is told about their connections, from Medblocks and without it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
import requests
from django.utils import timezone

from medblocks_connect.models import AttemptEvent
from medblocks_connect.patient_connections.listing import find_connection, list_connections
from medblocks_connect.patient_connections.snapshot import forget_snapshot
from medblocks_connect.patients import Patient
from tests.attempts.conftest import BASE_URL
from tests.pages.conftest import CONNECTIONS, link_json

pytestmark = pytest.mark.django_db


@pytest.fixture
def look(user):
    """Return the places of the patient as the page shows them."""
    return lambda: list_connections(Patient(str(user.pk)))


def states(found):
    return [(each.name, each.state) for each in found.places]


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("active", "connected"),
        ("refresh_failed", "lost"),
        ("expired", "lost"),
        ("disconnected", "disconnected"),
        ("brand_new", "checking"),
    ],
)
def test_connection_state_is_medblocks_word(look, tell, make, status, state):
    make()
    tell(link_json(status))
    assert states(look()) == [("Riverside General", state)]


def test_connection_that_failed_is_not_shown(look, tell):
    tell(link_json("failed"))
    assert look().places == ()


def test_connection_made_elsewhere_gets_its_name_from_the_catalog(look, tell):
    tell(link_json())
    assert states(look()) == [("Riverside General", "connected")]


def test_connection_nobody_can_name_has_no_name(look, tell, medblocks):
    medblocks.get(f"{BASE_URL}/connections/fhirsrc_gone", status=404, json={})
    tell(link_json(connection_id="fhirsrc_gone"))
    assert states(look()) == [("", "connected")]


def test_connection_names_are_not_asked_for_without_end(look, tell, medblocks):
    medblocks.get(f"{BASE_URL}/connections/f0", body=requests.ConnectTimeout())
    tell(*(link_json(id=f"conn_{n}", connection_id=f"f{n}") for n in range(9)))
    assert len(look().places) == 9
    assert len(medblocks.calls) == 2


def test_facility_connected_again_is_shown_once(look, tell, make):
    make()
    tell(link_json(id="conn_2"), link_json("refresh_failed"))
    assert [each.patient_connection_id for each in look().places] == ["conn_2"]


def test_facility_with_two_accounts_is_shown_twice(look, tell):
    tell(link_json(id="conn_2"), link_json())
    assert len(look().places) == 2


def test_facility_lost_twice_is_shown_once_as_it_is_now(look, tell):
    tell(link_json("disconnected", id="conn_2"), link_json("refresh_failed"))
    assert [each.state for each in look().places] == ["disconnected"]


def test_working_connections_come_first(look, tell, medblocks):
    lost = link_json("expired", id="conn_2", connection_id="fhirsrc_other")
    medblocks.get(f"{BASE_URL}/connections/fhirsrc_other", status=404, json={})
    tell(lost, link_json())
    assert [each.state for each in look().places] == ["connected", "lost"]


def test_patient_medblocks_never_saw_has_none(look, tell):
    tell(status=404)
    found = look()
    assert found.places == ()
    assert found.is_current


@pytest.mark.parametrize("away", [{"status": 500}, {"body": requests.ConnectTimeout()}])
def test_medblocks_away_leaves_what_we_saw(look, tell, make, away):
    make()
    make(
        connection_id="fhirsrc_lost",
        connection_name="Lost Hill",
        patient_connection_id="conn_2",
        connection_status="refresh_failed",
        lost_at=timezone.now(),
    )
    tell(**away)
    found = look()
    assert not found.is_current
    assert states(found) == [("Riverside General", "connected"), ("Lost Hill", "lost")]


def test_medblocks_away_keeps_that_the_patient_disconnected(look, tell, make):
    attempt = make(connection_status="refresh_failed", lost_at=timezone.now())
    attempt.events.create(kind=AttemptEvent.Kind.DISCONNECTED, source="site", fingerprint="1")
    tell(status=500)
    assert states(look()) == [("Riverside General", "disconnected")]


def test_medblocks_away_shows_a_kept_link_once(look, tell, make):
    make(connection_status="disconnected", lost_at=timezone.now())
    make()
    tell(status=500)
    assert states(look()) == [("Riverside General", "connected")]


@pytest.fixture
def go_away(tell, user):
    """Let Medblocks be away, once what is kept for a minute is too old."""

    def go():
        forget_snapshot(Patient(str(user.pk)), with_last_good=False)
        tell(status=500)

    return go


def test_medblocks_away_leaves_its_last_word(look, tell, go_away):
    tell(link_json(), link_json("refresh_failed", id="conn_2", connection_id="fhirsrc_other"))
    told_at = look().as_of
    go_away()
    found = look()
    assert not found.is_current
    assert found.as_of == told_at
    assert [each.state for each in found.places] == ["connected", "lost"]


def test_medblocks_away_last_word_yields_to_what_was_settled_since(look, tell, make, go_away):
    attempt = make()
    tell(link_json(), link_json(id="conn_2", connection_id="fhirsrc_other"))
    look()
    settled = {"connection_status": "disconnected", "lost_at": timezone.now(), "revision": 1}
    type(attempt).objects.update(**settled)
    make(connection_id="fhirsrc_new", connection_name="New Hill", patient_connection_id="conn_3")
    go_away()
    assert [each.patient_connection_id for each in look().places] == ["conn_3", "conn_2", "conn_1"]
    assert [each.state for each in look().places] == ["connected", "connected", "disconnected"]


def test_medblocks_away_last_word_is_forgotten_once_it_is_cut(browser, look, tell, medblocks, user):
    tell(link_json())
    look()
    cut = {"id": "conn_1", "resource_type": "connection", "disconnected": True}
    medblocks.delete(f"{BASE_URL}/patients/{user.pk}/connections/conn_1", json=cut)
    browser.post(f"{CONNECTIONS}disconnect/", {"connection": "conn_1"})
    tell(status=500)
    assert look().places == ()


def test_medblocks_away_last_word_outlives_a_cut_that_failed(browser, look, tell, medblocks, user):
    tell(link_json())
    look()
    medblocks.delete(f"{BASE_URL}/patients/{user.pk}/connections/conn_1", status=500, json={})
    tell(status=500)
    browser.post(f"{CONNECTIONS}disconnect/", {"connection": "conn_1"})
    assert [each.state for each in look().places] == ["connected"]


def test_nothing_is_kept_where_the_site_says_so(look, tell, settings, go_away):
    changed = {**settings.MEDBLOCKS_CONNECT, "CONNECTIONS_CACHE_SECONDS": 0}
    settings.MEDBLOCKS_CONNECT = changed
    tell(link_json())
    look()
    go_away()
    assert look().places == ()


def test_medblocks_away_is_left_alone_for_a_moment(look, tell, make):
    make()
    answer = tell(status=500)
    assert [look().is_current for _ in range(2)] == [False, False]
    assert answer.call_count == 1


def test_medblocks_is_asked_once_a_minute(look, tell):
    answer = tell(link_json())
    look()
    look()
    assert answer.call_count == 1


def test_medblocks_is_asked_anew_once_something_was_settled(look, tell, make):
    make(revision=1)
    answer = tell(link_json())
    look()
    make(patient_connection_id="conn_2", revision=1)
    look()
    assert answer.call_count == 2


def test_records_are_on_their_way_at_first(look, tell, make):
    make()
    tell(link_json(created_at=timezone.now().isoformat()))
    assert look().places[0].awaits_records


def test_records_are_not_on_their_way_for_ever(look, tell, make):
    make()
    tell(link_json(created_at=(timezone.now() - timedelta(days=8)).isoformat()))
    assert not look().places[0].awaits_records


def test_records_that_came_are_told(look, tell, make):
    event = make().events.create(
        kind=AttemptEvent.Kind.RECORDS_SYNCED, source="webhook", fingerprint="1"
    )
    tell(link_json())
    assert look().places[0].records_at == event.created_at


def test_attempt_being_checked_is_shown(look, tell, make):
    make(status="returned")
    tell()
    assert states(look()) == [("Riverside General", "checking")]


def test_find_connection_of_nobody_is_none(tell, user):
    tell(link_json())
    assert find_connection(Patient(str(user.pk)), "conn_other") is None
    assert find_connection(Patient(str(user.pk)), "") is None


# The page.


def test_page_sends_a_visitor_to_log_in(client):
    assert client.get(CONNECTIONS)["Location"] == f"/accounts/login/?next={CONNECTIONS}"


def test_page_is_kept_private(browser, tell):
    tell()
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
def test_page_says_it_in_words(browser, tell, status, words):
    tell(link_json(status))
    page = browser.get(CONNECTIONS).text
    assert [each for each in words if each not in page] == []
    assert "Connect another place" in page


def test_page_without_connections_leads_to_the_search(browser, tell):
    tell()
    page = browser.get(CONNECTIONS).text
    assert "You have not connected a hospital yet." in page
    assert "/records/search/" in page


def test_page_without_medblocks_says_so(browser, tell, make):
    make()
    tell(status=500)
    page = browser.get(CONNECTIONS).text
    assert "This is what we last knew." in page
    assert "Riverside General" in page


def test_page_without_medblocks_says_how_old_its_word_is(browser, tell, look, go_away):
    tell(link_json())
    look()
    go_away()
    page = browser.get(CONNECTIONS).text
    assert re.search(r"This is what we knew on [A-Z][a-z]+\. \d+, \d{4}, .+\. It may", page)


def test_page_shows_nothing_of_somebody_else(client, other_user, tell, medblocks, make):
    make()
    medblocks.get(f"{BASE_URL}/patients/{other_user.pk}", status=404, json={})
    client.force_login(other_user)
    assert "Riverside General" not in client.get(CONNECTIONS).text
