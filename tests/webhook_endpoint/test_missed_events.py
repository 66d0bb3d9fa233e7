"""Missed events: fetched once, by cursor, bounded, and treated as deliveries are."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from medblocks_connect import operations
from medblocks_connect.attempts import webhook_deliveries
from medblocks_connect.models import OperationRun, PatientConnection, WebhookDelivery
from tests.api.strict import page
from tests.attempts.conftest import connection_json, session_json
from tests.connected import create_attempt
from tests.webhook_endpoint.conftest import EVENTS, FORBIDDEN, ago, event_json
from tests.webhook_endpoint.test_endpoint_state import pass_hours

pytestmark = pytest.mark.django_db(transaction=True)

COMPLETED = {
    "type": "patient_session.completed",
    "data": {"object": session_json(status="complete", connections=[connection_json()])},
}


@pytest.fixture(autouse=True)
def _active(say):
    say()


@pytest.fixture
def say_pages(listening):
    """Let Medblocks list the events in pages; return the cursors that were asked for."""
    cursors = []

    def say(*pages):
        def reply(request):
            query = parse_qs(urlsplit(request.url).query)
            cursor = query.get("starting_after", ["0"])[0]
            cursors.append(cursor)
            number = int(cursor)
            more = str(number + 1) if number + 1 < len(pages) else None
            return 200, {}, json.dumps(page(*pages[number], next_cursor=more))

        listening.add_callback("GET", EVENTS, callback=reply)
        return cursors

    return say


def fetch():
    return operations.fetch_missed_events()


def test_missed_event_settles_its_attempt(say_events, make_attempt):
    attempt = make_attempt()
    say_events(event_json(1, **COMPLETED))
    done = fetch()
    attempt.refresh_from_db()
    assert (attempt.status, done.events.fetched, done.is_finished) == ("succeeded", 1, True)
    assert attempt.events.get(source="webhook").status == "succeeded"


def test_missed_event_is_asked_for_as_undelivered(say_events):
    asked = say_events()
    fetch()
    query = parse_qs(urlsplit(asked.calls[0].request.url).query)
    assert query == {"delivered": ["false"], "limit": ["100"]}


def test_missed_event_is_fetched_once(say_events, django_assert_max_num_queries):
    say_events(event_json(1), event_json(2))
    fetch()
    pass_hours()
    with django_assert_max_num_queries(14):
        assert fetch().events.fetched == 0
    assert WebhookDelivery.objects.count() == 2


def test_missed_event_that_is_stored_is_never_its_url(say_events, make_attempt):
    say_events(event_json(1, **COMPLETED))
    fetch()
    assert "/c/0123456789abcdef" not in WebhookDelivery.objects.get().payload


def test_event_whose_attempt_is_unknown_waits(say_events, make_attempt):
    say_events(event_json(1, **COMPLETED))
    assert fetch().is_finished
    attempt = make_attempt()
    assert operations.reconcile().deliveries == 1
    attempt.refresh_from_db()
    assert attempt.status == "succeeded"


def test_event_that_fails_is_kept_and_counted(say_events, breaks_once):
    say_events(event_json(1, type="unknown"))
    breaks_once(webhook_deliveries, "read_effect")
    done = fetch()
    assert (done.events.failed, done.is_finished) == (1, False)
    assert operations.reconcile().deliveries == 1


def test_list_is_read_page_by_page(say_pages):
    cursors = say_pages([event_json(1)], [event_json(2)], [event_json(3)])
    assert fetch().events.fetched == 3
    assert cursors == ["0", "1", "2"]


def test_long_list_is_gone_on_with_in_the_next_run(say_pages):
    cursors = say_pages(*([event_json(number)] for number in range(1, 13)))
    assert fetch().events.fetched == 10
    assert fetch().events.fetched == 2
    assert fetch().events.fetched == 0
    assert cursors == [str(number) for number in range(12)]


def test_list_that_is_newest_first_is_left_where_it_was_seen(say_pages):
    recent = [event_json(1), event_json(2)]
    seen = [event_json(60 * 24 * days) for days in (5, 6)]
    cursors = say_pages(recent, seen, seen)
    fetch()
    pass_hours()
    fetch()
    assert cursors == ["0", "1", "2", "0", "1"]


def test_list_that_is_oldest_first_is_read_to_its_end(say_pages):
    seen = [event_json(60 * 24 * days) for days in (6, 5)]
    cursors = say_pages(seen, [event_json(2), event_json(1)])
    fetch()
    pass_hours()
    fetch()
    assert cursors == ["0", "1", "0", "1"]


def test_event_of_a_former_look_is_not_new_though_its_row_is_gone(say_events):
    """As where medblocks_prune has deleted it: it may not have its effect twice."""
    say_events(event_json(60 * 24 * 5))
    assert fetch().events.fetched == 1
    WebhookDelivery.objects.all().delete()
    pass_hours()
    assert fetch().events.fetched == 0


def test_event_of_more_than_90_days_is_noticed_once(say_events):
    say_events(event_json(1, created_at=ago(days=91)))
    first = fetch()
    pass_hours()
    second = fetch()
    assert (first.events.too_old, second.events.too_old) == (1, 0)
    assert not WebhookDelivery.objects.exists()


def test_event_without_a_time_is_fetched(say_events):
    say_events(event_json(1, created_at=None))
    assert fetch().events.fetched == 1


def test_event_that_is_delivered_all_the_same_is_left_out(say_events):
    say_events(event_json(1, delivered_at=ago(minutes=1)))
    assert fetch().events.fetched == 0


def test_item_that_is_no_event_is_counted(say_events):
    say_events({"id": 7}, event_json(1))
    events = fetch().events
    assert (events.fetched, events.unreadable) == (1, 1)


def test_loss_that_was_missed_is_recorded(say_events):
    create_attempt(
        patient_id="p-1",
        connection_id="fhirsrc_riverside",
        patient_session_id="ps_1",
        status="succeeded",
        patient_connection_id="conn_1",
        connection_status="active",
    )
    about = connection_json("refresh_failed", failure_at="2098-01-01T00:00:00.000Z")
    say_events(event_json(1, type="connection.token_refresh_failed", data={"object": about}))
    fetch()
    assert PatientConnection.objects.get().state == "lost"


def test_disabled_endpoint_has_its_events_fetched(say, say_events):
    say(status="disabled")
    say_events(event_json(1))
    assert fetch().events.fetched == 1


def test_key_that_may_not_read_events_is_said_once(listening):
    listening.get(EVENTS, json=FORBIDDEN, status=403)
    first = fetch()
    pass_hours()
    assert (first.is_newly_forbidden, fetch().is_newly_forbidden) == (True, False)
    assert first.is_finished


@pytest.mark.parametrize("status", [400, 404])
def test_cursor_that_is_no_longer_known_begins_anew(say_pages, listening, status):
    say_pages(*([event_json(number)] for number in range(1, 13)))
    fetch()
    code = {"error": {"type": "", "code": "bad_request", "message": ""}}
    listening.replace("GET", EVENTS, json=code, status=status)
    assert fetch().is_finished
    assert json.loads(OperationRun.objects.get(name="fetch_missed_events").state)["cursor"] == ""


def test_list_with_more_but_no_cursor_is_an_odd_answer(listening):
    listening.get(EVENTS, json={**page(event_json(1)), "has_more": True})
    done = fetch()
    assert (done.is_unanswered, done.is_finished) == (True, False)
    assert WebhookDelivery.objects.count() == 1


def test_time_that_is_over_begins_no_page(say_events):
    asked = say_events()
    done = operations.fetch_missed_events(max_seconds=0.0)
    assert (done.stopped, asked.call_count) == ("time", 0)
    fetch()
    assert asked.call_count == 1
