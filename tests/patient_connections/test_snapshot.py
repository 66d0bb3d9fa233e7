"""Medblocks' list of connections: asked seldom, and its last good answer kept while it is away."""

from __future__ import annotations

from datetime import datetime, timedelta
from datetime import timezone as datetime_timezone

import pytest
from django.utils import timezone

from medblocks_connect import signals
from medblocks_connect.api import Connection
from medblocks_connect.models import PatientConnection
from medblocks_connect.patient_connections import snapshot
from medblocks_connect.patients import Patient
from tests.attempts.conftest import FACILITY
from tests.patient_connections.conftest import listed_json

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
UTC = datetime_timezone.utc


def test_medblocks_away_shows_what_it_told_last(list_now, answer_list, go_away):
    answer_list(
        listed_json(),
        listed_json("refresh_failed", id="conn_2", connection_id="fhirsrc_other"),
    )
    list_now()
    go_away()
    connections = list_now()
    assert not connections.is_current
    assert timezone.now() - connections.as_of < timedelta(minutes=1)
    assert [each.state for each in connections.places] == ["connected", "lost"]


def test_medblocks_away_what_it_told_yields_to_what_was_settled_since(
    list_now, answer_list, make, go_away
):
    make(connection_id="fhirsrc_new", connection_name="New Hill", patient_connection_id="conn_3")
    answer_list(listed_json(), listed_json(id="conn_2", connection_id="fhirsrc_other"))
    list_now()
    lost = make(patient_connection_id="conn_1", lost_at=timezone.now(), created_at=timezone.now())
    assert lost.place_id == FACILITY
    go_away()
    states = {each.patient_connection_id: each.state for each in list_now().places}
    assert states == {"conn_3": "connected", "conn_2": "connected", "conn_1": "lost"}


@pytest.mark.django_db(transaction=True)
def test_loss_that_no_webhook_told_is_settled(list_now, answer_list, make):
    attempt = make()
    lost = []

    def receive(attempt, **kwargs):
        lost.append(attempt.pk)

    signals.connection_lost.connect(receive)
    answer_list(listed_json("refresh_failed"))
    list_now()
    signals.connection_lost.disconnect(receive)
    attempt.refresh_from_db()
    assert (attempt.connection_status, lost) == ("refresh_failed", [attempt.pk])


@pytest.mark.parametrize("listed", [[], [listed_json("refresh_failed")]], ids=["gone", "lost"])
def test_loss_that_was_recorded_and_not_told_is_told_by_the_next_page(
    list_now, answer_list, make, user, monkeypatch, listed
):
    """As where the process dies between the two."""
    attempt = make(created_at=timezone.now() - HOUR)
    answer_list(*listed)
    with monkeypatch.context() as broken:
        broken.setattr(snapshot, "_settle_lost", None)
        with pytest.raises(TypeError):
            list_now()
    snapshot.forget_snapshot(Patient(str(user.pk)))
    list_now()
    attempt.refresh_from_db()
    assert attempt.lost_at is not None
    assert attempt.events.count() == 1


def test_list_that_is_older_than_an_attempt_says_nothing_of_it(answer_list, make, user):
    """Connecting again may keep the link; the list was asked for before, and came later."""
    patient, asked_at = Patient(str(user.pk)), datetime.now(UTC)
    attempt = make(created_at=timezone.now())
    rows = (Connection.from_json(listed_json("refresh_failed")),)
    snapshot.record_listed(patient, rows, asked_at, "default")
    attempt.refresh_from_db()
    assert (attempt.lost_at, attempt.connection_status) == (None, "active")
    assert PatientConnection.objects.get().state == "connected"


@pytest.mark.parametrize(("age", "state"), [(timedelta(0), "connected"), (HOUR, "disconnected")])
def test_link_that_is_not_listed_has_ended(list_now, answer_list, make, age, state):
    """A list may lag behind what was connected a moment ago."""
    make(created_at=timezone.now() - age)
    answer_list()
    assert [each.state for each in list_now().places] == [state]


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


@pytest.mark.parametrize("status", [404, 500])
def test_last_answer_is_shown_in_no_other_workspace(browser, answer_list, settings, status):
    """Its patient bears the same id, and the cache has no prefix."""
    answer_list(listed_json())
    assert "Riverside General" in browser.get("/records/connections/").text
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "API_KEY": "mb_sk_live_1"}
    answer_list(status=status)
    for path in ("connections/", "search/", "search/?q=elsewhere"):
        assert "Riverside General" not in browser.get(f"/records/{path}").text
