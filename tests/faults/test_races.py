"""Everything at once, on the database that ``DATABASE_URL`` names: one transition, one signal.

Threads in this process and, beside them, other processes of the site.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.db import connections
from django.test import Client
from django.utils import timezone

from medblocks_connect.attempts.reconcile import reconcile_attempts
from medblocks_connect.attempts.webhook_deliveries import retry_deliveries
from medblocks_connect.models import PatientConnectionAttempt, WebhookDelivery
from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.models import SandboxSession
from medblocks_connect.sandbox.portal import return_url_with_outcome
from tests.faults.clinic import Clinic, Medblocks
from tests.faults.events import SECRET, completed, post_event
from tests.faults.processes import finish, start_process

AT_ONCE = 40

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def racing(site, patient_client, settings, heard) -> Clinic:
    """A patient who has approved at the portal, and whose word is on its way in every form.

    With a seat for each of the callers: what is refused at the gate does not race.
    """
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "WEBHOOK_SECRETS": [SECRET],
        "MAX_WAITING": 32,
    }
    clinic = Clinic(patient_client, Medblocks())
    clinic.started()
    flows.approve(clinic.session)
    before = timezone.now() - timedelta(minutes=5)
    PatientConnectionAttempt.objects.update(created_at=before)
    heard.clear()
    return clinic


def all_at_once(actions: list[Callable[[], object]]) -> list[object]:
    """Do each action in a thread of its own, all starting together; return what they gave."""
    together = threading.Barrier(len(actions))

    def do(action: Callable[[], object]) -> object:
        try:
            together.wait(30)
            return action()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(actions)) as pool:
        return list(pool.map(do, actions))


def deliver(clinic: Clinic) -> Callable[[], int]:
    event = completed(clinic.session)
    return lambda: post_event(Client(raise_request_exception=False), event).status_code


def come_back(clinic: Clinic, session: SandboxSession | None = None) -> Callable[[], int]:
    parts = urlsplit(return_url_with_outcome(session or clinic.session))
    browser = Client(raise_request_exception=False)
    browser.cookies = clinic.client.cookies
    return lambda: browser.get(f"{parts.path}?{parts.query}").status_code


def reconcile(_clinic: Clinic) -> Callable[[], int]:
    return lambda: 200 if reconcile_attempts(limit=5).unanswered == 0 else 500


def assert_settled_once(clinic: Clinic, heard: list[str], *, connected_by: set[str]) -> None:
    attempt = clinic.attempt
    assert (attempt.status, attempt.connection_status) == ("succeeded", "active")
    assert heard == ["attempt_succeeded"]
    events = Counter(attempt.events.values_list("source", "kind"))
    assert max(events.values()) == 1
    assert {source for source, kind in events if kind == "connected"} <= connected_by
    transitions = list(attempt.events.order_by("pk").values_list("status", flat=True))
    assert transitions == sorted(
        transitions, key=["created", "started", "returned", "succeeded"].index
    )


def test_race_case_34_of_one_event_settles_once(racing, heard):
    assert all_at_once([deliver(racing)] * AT_ONCE) == [200] * AT_ONCE
    assert_settled_once(racing, heard, connected_by={"webhook"})
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.tries, delivery.conflicts) == ("processed", 1, 0)


def test_race_case_19_of_returns_settles_once(racing, heard):
    returns = [come_back(racing) for _ in range(AT_ONCE)]
    assert all_at_once(returns) == [303] * AT_ONCE
    assert_settled_once(racing, heard, connected_by={"medblocks"})


def test_race_of_reconciliations_settles_once(racing, heard):
    assert all_at_once([reconcile(racing)] * AT_ONCE) == [200] * AT_ONCE
    assert_settled_once(racing, heard, connected_by={"medblocks"})


def test_race_of_everything_settles_once(racing, heard):
    actions = [(deliver, come_back, reconcile)[n % 3](racing) for n in range(AT_ONCE)]
    statuses = all_at_once(actions)
    assert set(statuses) <= {200, 303}
    assert_settled_once(racing, heard, connected_by={"webhook", "medblocks"})
    assert WebhookDelivery.objects.get().state == "processed"


def test_race_for_a_waiting_delivery_has_one_effect(racing, heard):
    """It came before its attempt was known; then everybody finds it at once."""
    session_id = racing.attempt.patient_session_id
    PatientConnectionAttempt.objects.update(patient_session_id="ps_not_yet")
    assert deliver(racing)() == 200
    PatientConnectionAttempt.objects.update(patient_session_id=session_id)
    runs = all_at_once([lambda: retry_deliveries(10)] * 20)
    assert Counter(runs) == {(1, 0): 1, (0, 0): 19}
    assert_settled_once(racing, heard, connected_by={"webhook"})
    delivery = WebhookDelivery.objects.get()
    assert (delivery.state, delivery.tries) == ("processed", 1)


def test_race_of_conflicting_claims_ends_connected(racing, heard):
    """One link said success, another failure: whoever comes first, Medblocks decides."""
    parts = urlsplit(return_url_with_outcome(racing.session))
    true = f"{parts.path}?{parts.query}"
    false = true.replace("success=true", "success=false&error=user_denied")

    def follow(address: str) -> Callable[[], int]:
        browser = Client(raise_request_exception=False)
        browser.cookies = racing.client.cookies
        return lambda: browser.get(address).status_code

    returns = [follow(each) for each in (true, false) * 10]
    assert all_at_once(returns) == [303] * 20
    attempt = racing.attempt
    assert (attempt.status, attempt.claim_disagrees) == ("succeeded", True)
    assert heard.count("attempt_succeeded") == 1


def test_race_of_processes_settles_once(racing, user):
    """Four processes with ten requests each, as a server with workers has them."""
    parts = urlsplit(return_url_with_outcome(racing.session))
    event = json.dumps(completed(racing.session))
    requests = [
        ("webhook", event),
        ("return", f"{parts.path}?{parts.query}"),
        ("webhook", event),
        ("reconcile", ""),
        ("webhook", event),
    ] * 2
    processes = [start_process(deed="race", user=user.pk, requests=requests) for _ in range(4)]
    statuses = {status for each in processes for status in finish(each)}
    assert statuses <= {200, 303}
    assert racing.attempt.status == "succeeded"
    assert WebhookDelivery.objects.get().tries == 1
    events = Counter(racing.attempt.events.values_list("source", "kind"))
    assert max(events.values()) == 1


def test_race_case_5_of_starts_makes_one_session_each(site, patient_client, user, settings):
    """A patient who clicks twenty times: one row each, each with its own session."""
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "MAX_WAITING": 20}
    clinic = Clinic(patient_client, Medblocks())
    token = clinic.csrf_token()

    def start() -> tuple[int, str]:
        browser = Client(enforce_csrf_checks=True, raise_request_exception=False)
        browser.cookies = clinic.client.cookies
        form = {"connection_id": "fhirsrc_riverside_general", "csrfmiddlewaretoken": token}
        answered = browser.post("/records/start/", form)
        return answered.status_code, answered.headers.get("Location", "")

    answers = all_at_once([start] * 20)
    assert {status for status, _ in answers} == {303}
    assert len({portal for _, portal in answers}) == 20
    attempts = PatientConnectionAttempt.objects.values_list("patient_session_id", "public_id")
    sessions = SandboxSession.objects.all()
    assert set(attempts) == {(each.session_id, each.metadata["attempt"]) for each in sessions}
    assert set(PatientConnectionAttempt.objects.values_list("status", flat=True)) == {"started"}
