"""Our endpoint's state: looked at once an hour, an error once Medblocks stops, told once."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone

import pytest

from medblocks_connect import operations
from medblocks_connect.models import OperationRun, PendingSignal
from medblocks_connect.webhook_endpoint.endpoint_state import read_endpoint_state
from tests.api.strict import ENDPOINT, page
from tests.webhook_endpoint.conftest import FORBIDDEN, URL, WEBHOOKS, ago

pytestmark = pytest.mark.django_db(transaction=True)


def pass_hours(hours: float = 2) -> None:
    """Let everything that was done have been done so long ago."""
    for run in OperationRun.objects.exclude(ran_at=None):
        OperationRun.objects.filter(pk=run.pk).update(ran_at=run.ran_at - timedelta(hours=hours))


def look():
    return operations.fetch_missed_events()


def test_look_happens_once_an_hour(say, say_events):
    say_events()
    listed = say()
    for _ in range(3):
        assert look().is_finished
    assert listed.call_count == 1
    pass_hours()
    look()
    assert listed.call_count == 2


def test_look_within_the_hour_asks_medblocks_nothing(
    say, say_events, listening, django_assert_num_queries
):
    say()
    say_events()
    look()
    asked = len(listening.calls)
    # Its state, twice; whose turn the look is, and the fetching, each with the row that is there.
    with django_assert_num_queries(7):
        look()
    assert len(listening.calls) == asked


def test_site_without_secrets_is_asked_about_nothing(medblocks, db, django_assert_num_queries):
    with django_assert_num_queries(0):
        done = look()
    assert (done.is_finished, done.endpoint.status, len(medblocks.calls)) == (True, "", 0)


def test_active_endpoint_is_known_as_active(say, say_events):
    say_events()
    say()
    endpoint = look().endpoint
    assert (endpoint.status, endpoint.endpoint_id) == ("active", "wh_1")
    assert not endpoint.is_stopped
    assert endpoint == read_endpoint_state()


def test_disabled_endpoint_is_told_in_log_account_and_signal(say, say_events, heard, caplog):
    say_events()
    say(status="disabled", updated_at="2026-11-20T10:00:00.000Z")
    done = look()
    since = "2026-11-20T10:00:00+00:00"
    assert not done.is_finished
    assert done.endpoint.stopped_since == datetime.fromisoformat(since)
    assert heard == [(None, "disabled", since)]
    assert f"stopped sending webhooks since {since}: the endpoint is disabled" in caplog.text
    assert not PendingSignal.objects.exists()


def test_stop_is_signalled_once_and_logged_at_each_look(say, say_events, heard, caplog):
    say_events()
    say(status="disabled")
    for _ in range(3):
        look()
        pass_hours()
    assert len(heard) == 1
    assert caplog.text.count("stopped sending") == 3


def test_stop_within_the_hour_stays_in_the_account(say, say_events):
    say_events()
    say(status="disabled")
    assert [look().is_finished for _ in range(2)] == [False, False]


def test_second_stop_is_signalled_again(say, say_events, heard):
    say_events()
    for status in ("disabled", "active", "disabled"):
        say(status=status)
        look()
        pass_hours()
    assert len(heard) == 2


def test_missing_endpoint_has_stopped_since_it_was_seen(say, say_none, say_events, heard):
    say_events()
    say()
    seen = look().endpoint.active_at
    pass_hours()
    say_none()
    endpoint = look().endpoint
    assert (endpoint.status, endpoint.stopped_since) == ("missing", seen)
    assert [told[1] for told in heard] == ["missing"]


def test_missing_endpoint_keeps_its_time(say_none):
    say_none()
    since = look().endpoint.stopped_since
    pass_hours()
    assert look().endpoint.stopped_since == since


def test_signal_that_fails_is_owed(say, say_events, heard, monkeypatch):
    say_events()
    say(status="disabled")
    monkeypatch.setattr("medblocks_connect.attempts.outbox._call_receivers", lambda _row: "Error")
    look()
    assert (PendingSignal.objects.get().name, heard) == ("webhooks_stopped", [])
    monkeypatch.undo()
    assert operations.send_signals().sent == 1
    assert len(heard) == 1


def test_key_that_may_not_read_endpoints_is_said_once_and_is_no_failure(listening):
    listening.get(WEBHOOKS, json=FORBIDDEN, status=403)
    first = look()
    pass_hours()
    second = look()
    assert (first.is_newly_forbidden, second.is_newly_forbidden) == (True, False)
    assert first.is_finished
    assert second.is_finished


@pytest.mark.parametrize(
    ("status", "code", "stopped"),
    [(429, "throttled", "rate_limited"), (503, "", "away"), (401, "invalid_api_key", "refused")],
)
def test_medblocks_that_does_not_tell_changes_nothing(
    say, say_events, listening, heard, status, code, stopped
):
    say_events()
    say()
    look()
    pass_hours()
    error = {"error": {"type": "", "code": code, "message": ""}}
    listening.upsert("GET", WEBHOOKS, json=error, status=status)
    done = look()
    assert (done.is_unanswered, done.stopped, done.is_finished) == (True, stopped, False)
    assert (done.endpoint.status, heard) == ("active", [])


def test_of_two_endpoints_at_our_address_the_active_one_is_ours(say, say_events, listening):
    other = {**ENDPOINT, "id": "wh_0", "url": URL, "status": "disabled"}
    say(other, {**ENDPOINT, "url": URL})
    say_events()
    assert look().endpoint.endpoint_id == "wh_1"


@pytest.mark.parametrize(
    ("urls", "status"),
    [
        (["https://any.example/records/webhook/"], "active"),
        (["https://a.example/records/webhook/", "https://b.example/records/webhook"], "unknown"),
        (["https://a.example/another/"], "unknown"),
        ([], "unknown"),
    ],
)
def test_without_site_url_the_only_endpoint_with_our_path_is_ours(
    listening, use, say_events, urls, status
):
    use(SITE_URL="")
    say_events()
    endpoints = [{**ENDPOINT, "url": url} for url in urls]
    listening.get(WEBHOOKS, json=page(*endpoints))
    done = look()
    assert (done.endpoint.status, done.is_finished) == (status, True)


def test_endpoint_that_was_registered_for_another_address_is_ours(listening, use, say_events):
    from medblocks_connect.medblocks_client import get_command_client
    from medblocks_connect.webhook_endpoint.registration import register_endpoint

    use(SITE_URL="")
    elsewhere = {**ENDPOINT, "url": "https://clinic.example/hook/"}
    listening.upsert("GET", WEBHOOKS, json=page())
    listening.post(WEBHOOKS, json={**elsewhere, "secret": "whsec_1"})
    register_endpoint(get_command_client(), "https://clinic.example/hook/")
    pass_hours()
    say_events()
    listening.upsert("GET", WEBHOOKS, json=page({**elsewhere, "status": "disabled"}))
    assert look().endpoint.status == "disabled"


def test_state_holds_no_secret(say, say_events):
    say_events()
    say()
    look()
    assert "whsec" not in json.dumps(list(OperationRun.objects.values_list("state", flat=True)))


def test_each_workspace_has_its_own_state(say, say_events, use):
    say_events()
    say(status="disabled", updated_at=ago(days=1))
    look()
    use(WORKSPACE="north")
    assert read_endpoint_state().status == ""
    say()
    assert look().endpoint.is_active
    assert datetime.now(timezone.utc) - read_endpoint_state().active_at < timedelta(minutes=1)
