"""A patient's place written by everybody at once: one row, one row a link, and the right state.

On the database that ``DATABASE_URL`` names. Nobody is told that it was busy.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import cycle, islice
from urllib.parse import urlsplit

import pytest
from django.core.cache import cache
from django.test import Client

from medblocks_connect.attempts.connection_state import tell_link
from medblocks_connect.attempts.evidence import Evidence, Kind, PlaceEvidence, Source
from medblocks_connect.attempts.outcome import Outcome, OutcomeConnection, Rank
from medblocks_connect.attempts.place_ids import rename_place
from medblocks_connect.attempts.settle import settle
from medblocks_connect.models import (
    ConnectionLink,
    PatientConnection,
    PatientConnectionAttempt,
    WebhookDelivery,
)
from medblocks_connect.patient_connections import snapshot
from medblocks_connect.patients import Patient
from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.models import SandboxSession
from medblocks_connect.sandbox.portal import return_url_with_outcome
from tests.faults.clinic import RIVERSIDE, Clinic
from tests.faults.events import completed, lost, post_event, synced
from tests.faults.processes import finish, start_process
from tests.faults.test_races import (
    AT_ONCE,
    all_at_once,
    come_back,
    deliver,
    racing,  # noqa: F401 - a fixture
    reconcile,
)

pytestmark = pytest.mark.django_db(transaction=True)

URL = "https://fhir.riverside.example/r4"
PLACE = "fhirsrc_riverside"
START = datetime(2026, 11, 1, 10, tzinfo=timezone.utc)
CONNECTIONS = "/records/connections/"


def the_place() -> PatientConnection:
    """Return the one row there is, of which each link is there once."""
    row = PatientConnection.objects.get()
    ids = list(row.links.values_list("patient_connection_id", flat=True))
    assert len(ids) == len(set(ids)) == ConnectionLink.objects.count()
    return row


def take_turns(actions: list[Callable[[], object]], number: int) -> list[object]:
    return all_at_once([*islice(cycle(actions), number)])


def send(event: object) -> Callable[[], int]:
    return lambda: post_event(Client(raise_request_exception=False), event).status_code


def browse(clinic: Clinic) -> Callable[[], int]:
    """Open the page of the connections, with nothing in the cache that would answer it."""
    browser = Client(raise_request_exception=False)
    browser.cookies = clinic.client.cookies

    def open_page() -> int:
        cache.clear()
        return browser.get(CONNECTIONS).status_code

    return open_page


def disconnect(clinic: Clinic, link_id: str) -> Callable[[], int]:
    browser = Client(raise_request_exception=False)
    browser.cookies = clinic.client.cookies
    form = {"connection": link_id}
    return lambda: browser.post(f"{CONNECTIONS}disconnect/", form).status_code


def test_race_of_first_successes_makes_one_place(racing, heard):  # noqa: F811
    actions = [each(racing) for each in (deliver, come_back, reconcile)]
    assert set(take_turns(actions, AT_ONCE)) <= {200, 303}
    row = the_place()
    assert (row.state, row.place_id, row.links.count()) == ("connected", RIVERSIDE, 1)
    assert row.attempt == racing.attempt
    assert heard == ["attempt_succeeded"]


def test_race_of_several_links_makes_one_place(racing, heard):  # noqa: F811
    """A patient who connected the same place in many tabs."""
    for _ in range(7):
        racing.started()
        flows.approve(racing.session)
    sessions = list(SandboxSession.objects.all())
    heard.clear()
    events = [completed(each, f"evt_{each.pk}") for each in sessions]
    returns = [come_back(racing, each) for each in sessions]
    assert set(all_at_once([*map(send, events), *returns, browse(racing)])) <= {200, 303}
    row = the_place()
    assert (row.state, row.links.count()) == ("connected", len(sessions))
    assert row.attempt == racing.attempt  # the newest
    assert heard == ["attempt_succeeded"] * len(sessions)
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {"processed"}


def test_race_of_loss_and_success_ends_lost(racing, heard):  # noqa: F811
    (link,) = racing.session.connections.all()
    event = lost(link)
    flows.lose_access(link)
    told = completed(racing.session)
    told["data"]["object"]["connections"][0] |= {"status": "active", "failure_at": None}
    actions = [send(event), send(told), come_back(racing)]
    assert set(take_turns(actions, 24)) <= {200, 303}
    assert reconcile(racing)() == 200  # a loss that came first waits for it
    attempt, row = racing.attempt, the_place()
    assert (attempt.status, attempt.connection_status) == ("succeeded", "refresh_failed")
    assert (row.state, row.status) == ("lost", "refresh_failed")
    assert sorted(heard) == ["attempt_succeeded", "connection_lost"]
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {"processed"}


def test_race_of_snapshot_webhook_and_disconnection_ends_disconnected(racing, heard):  # noqa: F811
    racing.come_back()
    heard.clear()
    (link,) = racing.session.connections.all()
    actions = [
        browse(racing),
        send(lost(link)),
        send(synced(link)),
        disconnect(racing, link.conn_id),
    ]
    assert set(take_turns(actions, 24)) <= {200, 303}
    assert browse(racing)() == 200
    row = the_place()
    link.refresh_from_db()
    assert (link.status, row.state, row.status) == ("disconnected", "disconnected", "disconnected")
    assert heard.count("connection_lost") == 1
    assert row.records_at is not None
    assert racing.attempt.lost_at is not None
    assert set(WebhookDelivery.objects.values_list("state", flat=True)) == {"processed"}


def test_race_of_processes_makes_one_place(racing, user):  # noqa: F811
    parts = urlsplit(return_url_with_outcome(racing.session))
    (link,) = racing.session.connections.all()
    requests = [
        ("webhook", json.dumps(completed(racing.session))),
        ("return", f"{parts.path}?{parts.query}"),
        ("return", CONNECTIONS),
        ("webhook", json.dumps(lost(link))),
        ("webhook", json.dumps(synced(link))),
        ("disconnect", link.conn_id),
        ("reconcile", ""),
    ]
    processes = [start_process(deed="race", user=user.pk, requests=requests) for _ in range(3)]
    statuses = {status for each in processes for status in finish(each)}
    assert statuses <= {200, 303}
    assert reconcile(racing)() == 200
    assert disconnect(racing, link.conn_id)() == 303
    assert browse(racing)() == 200
    row = the_place()
    assert (row.state, racing.attempt.status) == ("disconnected", "succeeded")
    assert racing.attempt.lost_at is not None


def connect_by_url(patient_id: str, number: int) -> PatientConnectionAttempt:
    return PatientConnectionAttempt.objects.create(
        patient_id=patient_id,
        connection_id=URL,
        place_id=URL,
        status="started",
        patient_session_id=f"ps_{number}",
    )


def tell(link_id: str, minutes: int = 0, status: str = "active", place_id: str = URL) -> Evidence:
    at = START + timedelta(minutes=minutes)
    return Evidence(
        Source.MEDBLOCKS,
        Kind.CONNECTED if status == "active" else Kind.LOST,
        Outcome(Rank.SUCCEEDED, connection=OutcomeConnection(status, link_id), settled=True),
        places=(PlaceEvidence(place_id, {link_id: tell_link(status, at, since=START)}),),
    )


def read(attempt: PatientConnectionAttempt) -> PatientConnectionAttempt:
    return PatientConnectionAttempt.objects.get(pk=attempt.pk)


@pytest.mark.parametrize("at", [URL, PLACE])
def test_race_of_many_attempts_links_at_one_place(heard, at):
    attempts = [connect_by_url("p-1", number) for number in range(24)]
    settlements = [
        partial(settle, attempt, tell(f"conn_{attempt.pk}", place_id=at)) for attempt in attempts
    ]
    all_at_once(settlements)
    row = the_place()
    assert (row.state, row.links.count(), row.place_id) == ("connected", 24, at)
    assert row.attempt_id == max(attempt.pk for attempt in attempts)
    assert heard == ["attempt_succeeded"] * 24


def test_race_of_a_rename_and_successes_ends_in_one_place(heard):
    """What was read under the URL is written under the id, whoever comes first."""
    attempts = [connect_by_url("p-1", number) for number in range(12)]
    actions = [
        *(partial(settle, each, tell(f"conn_{each.pk}")) for each in map(read, attempts)),
        *(partial(settle, each, tell(f"conn_{each.pk}")) for each in map(read, attempts)),
        *[partial(rename_place, URL, PLACE, "default")] * 4,
    ]
    all_at_once(actions)
    row = the_place()
    assert (row.place_id, row.state, row.links.count()) == (PLACE, "connected", 12)
    assert {each.place_id for each in map(read, attempts)} == {PLACE}
    assert heard == ["attempt_succeeded"] * 12


def test_race_of_a_rename_losses_and_snapshots_ends_in_one_place(heard):
    attempts = [connect_by_url("p-1", number) for number in range(4)]
    for each in attempts:
        settle(each, tell(f"conn_{each.pk}"))
    heard.clear()
    at = datetime.now(timezone.utc)
    ask = partial(snapshot.record_listed, Patient("p-1"), (), at, "default")
    losses = [
        partial(settle, each, tell(f"conn_{each.pk}", 9, "refresh_failed"))
        for each in map(read, attempts)
    ]
    all_at_once([*losses, *[ask] * 8, *[partial(rename_place, URL, PLACE, "default")] * 4])
    row = the_place()
    assert (row.place_id, row.links.count()) == (PLACE, 4)
    assert not row.is_connected
    assert heard == ["connection_lost"] * 4
    ask()
    assert heard == ["connection_lost"] * 4
