"""Medblocks' list of connections: asked seldom, and its last good answer kept while it is away."""

from __future__ import annotations

import pytest
from django.utils import timezone

from medblocks_connect import cache as cache_module
from tests.patient_connections.conftest import listed_json

pytestmark = pytest.mark.django_db


def test_medblocks_away_shows_its_last_answer(list_now, answer_list, go_away):
    answer_list(
        listed_json(),
        listed_json("refresh_failed", id="conn_2", connection_id="fhirsrc_other"),
    )
    answered_at = list_now().as_of
    go_away()
    connections = list_now()
    assert not connections.is_current
    assert connections.as_of == answered_at
    assert [each.state for each in connections.places] == ["connected", "lost"]


def test_medblocks_away_last_answer_yields_to_what_was_settled_since(
    list_now, answer_list, make, go_away
):
    attempt = make()
    answer_list(listed_json(), listed_json(id="conn_2", connection_id="fhirsrc_other"))
    list_now()
    settled = {"connection_status": "disconnected", "lost_at": timezone.now(), "revision": 1}
    type(attempt).objects.update(**settled)
    make(connection_id="fhirsrc_new", connection_name="New Hill", patient_connection_id="conn_3")
    go_away()
    assert [each.patient_connection_id for each in list_now().places] == [
        "conn_3",
        "conn_2",
        "conn_1",
    ]
    assert [each.state for each in list_now().places] == ["connected", "connected", "disconnected"]


def test_cache_seconds_of_0_keep_no_last_answer(list_now, answer_list, settings, go_away):
    changed = {**settings.MEDBLOCKS_CONNECT, "CONNECTIONS_CACHE_SECONDS": 0}
    settings.MEDBLOCKS_CONNECT = changed
    answer_list(listed_json())
    list_now()
    go_away()
    assert list_now().places == ()


def test_medblocks_away_is_not_asked_again_at_once(list_now, answer_list, make):
    make()
    answer = answer_list(status=500)
    assert [list_now().is_current for _ in range(2)] == [False, False]
    assert answer.call_count == 1


def test_medblocks_is_asked_once_a_minute(list_now, answer_list):
    answer = answer_list(listed_json())
    list_now()
    list_now()
    assert answer.call_count == 1


def test_medblocks_is_asked_again_after_a_settlement(list_now, answer_list, make):
    make(revision=1)
    answer = answer_list(listed_json())
    list_now()
    make(patient_connection_id="conn_2", revision=1)
    list_now()
    assert answer.call_count == 2


def be_another_site(monkeypatch, _settings):
    monkeypatch.setattr(cache_module, "find_installation_id", lambda: "of another database")


def go_live(_monkeypatch, settings):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "API_KEY": "mb_sk_live_1"}


@pytest.mark.parametrize("leave", [be_another_site, go_live])
@pytest.mark.parametrize("status", [404, 500])
def test_last_answer_is_shown_by_no_other_site_or_workspace(
    browser, answer_list, monkeypatch, settings, leave, status
):
    """Its patient bears the same id, and the cache has no prefix."""
    answer_list(listed_json())
    assert "Riverside General" in browser.get("/records/connections/").text
    leave(monkeypatch, settings)
    answer_list(status=status)
    for path in ("connections/", "search/", "search/?q=elsewhere"):
        assert "Riverside General" not in browser.get(f"/records/{path}").text
