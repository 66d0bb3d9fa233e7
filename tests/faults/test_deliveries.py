"""Cases 34 to 36: one effect per event, in whatever order, and none is lost."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from contextlib import closing
from contextvars import ContextVar
from http.client import HTTPConnection
from itertools import permutations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from medblocks_connect import signals
from medblocks_connect.attempts import webhook_deliveries
from medblocks_connect.attempts.reconcile import reconcile_attempts
from medblocks_connect.models import PatientConnectionAttempt, PendingSignal, WebhookDelivery
from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.fictional_catalog import find_facility
from medblocks_connect.sandbox.serializers import serialize_connection
from tests.faults.clinic import RIVERSIDE
from tests.faults.events import (
    WEBHOOK,
    completed,
    event,
    lost,
    sign_now,
    synced,
)


def delivery() -> WebhookDelivery:
    return WebhookDelivery.objects.get()


@pytest.mark.django_db(transaction=True)
def test_delivery_case_34_of_one_event_50_times_has_one_effect(clinic, heard):
    clinic.started()
    flows.approve(clinic.session)
    heard.clear()
    payload = completed(clinic.session)
    assert {clinic.send(payload).status_code for _ in range(50)} == {200}
    assert heard == ["attempt_succeeded"]
    assert clinic.attempt.events.filter(source="webhook").count() == 1
    assert (delivery().state, delivery().tries) == ("processed", 1)


def test_delivery_case_34_of_the_same_id_and_another_body_is_a_conflict(clinic):
    clinic.started()
    flows.approve(clinic.session)
    clinic.send(event("test.ping", {}, "evt_done"))
    assert clinic.send(completed(clinic.session)).status_code == 200
    assert (delivery().event_type, delivery().conflicts) == ("test.ping", 1)
    assert clinic.attempt.status == "started"


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(each, id="case-35-" + "-".join(each))
        for each in permutations(["done", "lost", "sync", "return"])
    ],
)
def test_delivery_in_every_order_ends_alike(clinic, order):
    clinic.started()
    link = flows.approve(clinic.session)
    actions = {
        "done": lambda: clinic.send(completed(clinic.session)),
        "lost": lambda: clinic.send(lost(link)),
        "sync": lambda: clinic.send(synced(link)),
        "return": clinic.come_back,
    }
    assert {actions[each]().status_code for each in order} <= {200, 303}
    # Before any reconciliation: what waited for the connection was not forgotten.
    attempt = clinic.attempt
    assert (attempt.status, attempt.connection_status) == ("succeeded", "refresh_failed")
    assert attempt.lost_at is not None
    reconcile_attempts(limit=10)
    assert set(WebhookDelivery.objects.values_list("state", "attempt")) == {
        ("processed", attempt.pk)
    }
    assert "The connection has ended" in clinic.page()


def test_delivery_case_35_of_a_loss_before_the_page_asks_is_shown(clinic):
    """The page that learns of the connection knows by then that it has ended."""
    clinic.started()
    clinic.medblocks.replace("GET", "/patient-sessions/", b"", 503)
    link = flows.approve(clinic.session)
    clinic.come_back()
    clinic.send(lost(link))
    clinic.medblocks.mend()
    PatientConnectionAttempt.objects.update(asked_at=None)
    assert "The connection has ended" in clinic.page()


def test_delivery_case_35_before_the_start_is_answered_is_processed(clinic):
    """Medblocks tells of the session before the answer that opened it has arrived."""
    statuses = []

    def tell_first(answered):
        flows.cancel(clinic.session)
        statuses.append(clinic.send(completed(clinic.session)).status_code)
        return answered

    clinic.medblocks.intercept("POST", "/patient-sessions", tell_first)
    clinic.start()
    assert statuses == [200]
    assert (clinic.attempt.status, clinic.attempt.error) == ("failed", "user_denied")
    assert (delivery().state, delivery().attempt) == ("processed", clinic.attempt)


@pytest.fixture
def listen():
    """Connect a receiver to ``attempt_succeeded`` for one test."""
    connected = []

    def connect(receiver):
        connected.append(receiver)
        signals.attempt_succeeded.connect(receiver, weak=False)

    yield connect
    for receiver in connected:
        signals.attempt_succeeded.disconnect(receiver)


@pytest.mark.django_db(transaction=True)
def test_delivery_case_36_whose_receiver_raises_calls_it_again(clinic, listen, heard, caplog):
    broken, called = [True], []

    def receive(**kwargs):
        called.append(1)
        if broken:
            raise ValueError("pat@mail.example")

    listen(receive)
    clinic.started()
    flows.approve(clinic.session)
    assert clinic.send(completed(clinic.session)).status_code == 200
    assert clinic.attempt.status == "succeeded"
    # It has had its effect; what is left of it is to be sent.
    assert (delivery().state, delivery().failure) == ("processed", "")
    pending = PendingSignal.objects.values_list("delivery", "name", "failure")
    assert list(pending) == [(delivery().pk, "attempt_succeeded", "ValueError")]
    # Its text, which Django would log, may name a patient.
    assert "A receiver raised ValueError: " in caplog.text
    assert "pat@mail.example" not in caplog.text
    broken.clear()
    assert reconcile_attempts(limit=10).signals == 1
    assert reconcile_attempts(limit=10).signals == 0
    assert called == [1, 1]


@pytest.mark.django_db(transaction=True)
def test_redelivery_case_36_whose_receiver_raised_has_one_effect(clinic, listen, heard):
    """Medblocks is not asked to send again for a receiver's sake, nor is it of any use."""
    broken, called = [True], []

    def receive(**kwargs):
        called.append(1)
        if broken:
            raise ValueError

    listen(receive)
    clinic.started()
    flows.approve(clinic.session)
    payload = completed(clinic.session)
    heard.clear()
    clinic.send(payload)
    broken.clear()
    assert clinic.send(payload).status_code == 200
    assert (called, heard) == ([1], ["attempt_succeeded"])
    assert (delivery().state, delivery().tries) == ("processed", 1)
    assert PendingSignal.objects.get().failure == "ValueError"


def test_delivery_in_a_callers_transaction_calls_receivers(clinic, listen):
    """All of it is one transaction, which no other thread sees into."""
    seen = []

    def receive(attempt, **kwargs):
        seen.append(PatientConnectionAttempt.objects.get(pk=attempt.pk).status)

    listen(receive)
    clinic.started()
    flows.approve(clinic.session)
    clinic.send(completed(clinic.session))
    assert seen == ["succeeded"]


def post_over_http(live_server, payload) -> int:
    """Deliver ``payload`` to the running site and return the status; the mock is not asked."""
    body = json.dumps(payload).encode()
    headers = {"Medblocks-Signature": sign_now(body), "Content-Type": "application/json"}
    with closing(HTTPConnection(live_server.thread.host, live_server.thread.port, 5)) as site:
        site.request("POST", WEBHOOK, body, headers)
        return site.getresponse().status


@pytest.mark.django_db(transaction=True)
def test_delivery_case_36_whose_receiver_sleeps_is_answered(clinic, listen, live_server):
    wake, slept, called = threading.Event(), threading.Event(), []

    def receive(**kwargs):
        called.append(1)
        wake.wait(60)
        slept.set()

    listen(receive)
    clinic.started()
    flows.approve(clinic.session)
    payload = completed(clinic.session)
    assert {post_over_http(live_server, payload) for _ in range(3)} == {200}
    assert not slept.is_set()
    assert delivery().state == "processed"
    # Nobody else sends it meanwhile.
    assert reconcile_attempts(limit=10).signals == 0
    wake.set()
    assert slept.wait(5)
    wait_until(lambda: not PendingSignal.objects.exists())
    assert called == [1]


def wait_until(is_true: Callable[[], bool]) -> None:
    for _ in range(500):
        if is_true():
            return
        time.sleep(0.01)
    pytest.fail("It never came true.")


def test_delivery_calls_receivers_in_the_requests_own_thread(clinic, listen):
    """It has what the host set up: a tenant's schema, a transaction, a context."""
    seen = []

    def receive(**kwargs):
        seen.append(threading.current_thread())

    listen(receive)
    clinic.started()
    flows.approve(clinic.session)
    clinic.send(completed(clinic.session))
    assert seen == [threading.current_thread()]


tenant: ContextVar[str] = ContextVar("tenant", default="nobody")


def choose_tenant(get_response):
    """Be a middleware that puts away what it set up, as most do."""

    def middleware(request):
        token = tenant.set("the clinic")
        try:
            return get_response(request)
        finally:
            tenant.reset(token)

    return middleware


def test_delivery_calls_receivers_in_the_context_of_the_hosts_middleware(clinic, listen, settings):
    settings.MIDDLEWARE = [f"{__name__}.choose_tenant", *settings.MIDDLEWARE]
    seen = []

    def receive(**kwargs):
        seen.append(tenant.get())

    listen(receive)
    clinic.started()
    flows.approve(clinic.session)
    clinic.send(completed(clinic.session))
    assert seen == ["the clinic"]


def count_queries(send) -> int:
    """Count the statements of one delivery, less what begins and ends its transaction."""
    with CaptureQueriesContext(connection) as queries:
        assert send().status_code == 200
    verbs = [each["sql"].split()[0] for each in queries]
    return sum(verb in {"SELECT", "INSERT", "UPDATE", "DELETE"} for verb in verbs)


@pytest.fixture
def approved(clinic):
    """The event of a session that its patient has approved."""
    clinic.started()
    flows.approve(clinic.session)
    return completed(clinic.session)


# The attempt, its timeline, the delivery, and the patient's place with its link.
def test_delivery_takes_at_most_9_queries(clinic, approved):
    assert count_queries(lambda: clinic.send(approved)) <= 9
    assert clinic.attempt.status == "succeeded"
    assert clinic.medblocks.count("GET", "/patient-sessions/") == 0


def test_delivery_without_a_facility_name_takes_at_most_9_queries(clinic, approved):
    PatientConnectionAttempt.objects.update(connection_name="")
    assert count_queries(lambda: clinic.send(approved)) <= 9
    assert clinic.attempt.status == "succeeded"


@pytest.mark.django_db(transaction=True)
def test_delivery_with_a_receiver_takes_at_most_11_queries(clinic, approved, heard):
    """Two more: what is owed is written with the effect, and deleted after the answer."""
    heard.clear()
    assert count_queries(lambda: clinic.send(approved)) <= 11
    assert heard == ["attempt_succeeded"]


@pytest.mark.parametrize("kind", ["patient_session.completed", "patient_flow.completed"])
def test_redelivery_takes_at_most_5_queries(clinic, kind):
    """The first waits for its attempt, the second has had its effect."""
    about = {"id": "ps_elsewhere", "patient_id": "p", "status": "complete", "connections": []}
    payload = event(kind, about)
    clinic.send(payload)
    assert count_queries(lambda: clinic.send(payload)) <= 5
    assert WebhookDelivery.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_redelivery_of_a_failed_event_takes_at_most_13_queries(
    clinic, approved, monkeypatch, heard
):
    """The last one deletes, after the answer, what it owed."""

    def fail(*args, **kwargs):
        raise RuntimeError

    with monkeypatch.context() as broken:
        broken.setattr(webhook_deliveries, "write_change", fail)
        clinic.send(approved)
    assert delivery().state == "failed"
    assert count_queries(lambda: clinic.send(approved)) <= 13
    assert (clinic.attempt.status, delivery().tries) == ("succeeded", 2)
    assert heard == ["attempt_succeeded"]


def test_delivery_of_a_loss_before_the_attempt_ends_the_former_alone(clinic):
    """Connecting again may keep the link: a late event is about the former attempt alone."""
    clinic.started()
    link = flows.approve(clinic.session)
    clinic.come_back()
    former, late = clinic.attempt, lost(link)
    clinic.started()
    PatientConnectionAttempt.objects.filter(pk=clinic.attempt.pk).update(
        patient_connection_id=link.conn_id, status="succeeded", connection_status="active"
    )
    clinic.send(late)
    former.refresh_from_db()
    assert (former.connection_status, clinic.attempt.connection_status) == (
        "refresh_failed",
        "active",
    )
    assert delivery().state == "processed"


@pytest.mark.django_db(transaction=True)
def test_delivery_of_a_loss_ends_all_that_share_the_connection(clinic, heard):
    clinic.started()
    link = flows.approve(clinic.session)
    for _ in range(2):
        clinic.started()
        again = completed(clinic.session, f"evt_{clinic.session.session_id}")
        again["data"]["object"] |= {"status": "complete"}
        again["data"]["object"]["connections"] = [serialize_connection(link) | {"id": link.conn_id}]
        clinic.send(again)
    heard.clear()
    clinic.send(lost(link))
    held = PatientConnectionAttempt.objects.filter(patient_connection_id=link.conn_id)
    assert [each.connection_status for each in held] == ["refresh_failed"] * 2
    assert all(each.lost_at for each in held)
    assert WebhookDelivery.objects.get(event_id="evt_lost").attempt == clinic.attempt


def test_delivery_of_a_sync_finds_the_attempt_started_with_a_base_url(clinic):
    """Medblocks' events name its own id of the facility."""
    clinic.started(find_facility(RIVERSIDE).fhir_base_url)
    link = flows.approve(clinic.session)
    clinic.send(completed(clinic.session))
    clinic.send(synced(link))
    kinds = clinic.attempt.events.values_list("kind", flat=True)
    assert link.connection_id != clinic.attempt.connection_id
    assert "records_synced" in kinds
    assert WebhookDelivery.objects.get(event_id="evt_sync").state == "processed"


def test_delivery_stores_no_url_and_no_name(clinic):
    clinic.started()
    flows.approve(clinic.session)
    about = completed(clinic.session)
    about["data"]["object"] |= {"patient_email": "ann@mail.example", "patient_name": "Ann Lee"}
    about["data"]["object"] |= {"email": "ann@mail.example", "name": "Ann Lee"}
    clinic.send(about)
    kept = delivery().payload
    assert not [each for each in (clinic.session.token, "ann@", "Ann Lee") if each in kept]


def test_delivery_case_35_of_an_unknown_session_waits(clinic):
    about = {"id": "ps_elsewhere", "patient_id": "p", "status": "complete", "connections": []}
    assert clinic.send(event("patient_session.completed", about)).status_code == 200
    assert (delivery().state, delivery().attempt) == ("received", None)
    assert not PatientConnectionAttempt.objects.exists()


def test_delivery_of_another_patients_session_is_kept_as_failed(clinic):
    clinic.started()
    flows.approve(clinic.session)
    payload = completed(clinic.session)
    payload["data"]["object"]["patient_id"] = "somebody-else"
    assert clinic.send(payload).status_code == 200
    assert clinic.attempt.status == "started"
    assert delivery().state == "failed"


def test_delivery_that_breaks_in_the_middle_is_processed_by_redelivery(clinic, monkeypatch):
    """Verified, and not to be lost because a step after it broke."""
    clinic.started()
    flows.approve(clinic.session)
    payload = completed(clinic.session)

    def fail(*args, **kwargs):
        raise RuntimeError("ann@mail.example")

    with monkeypatch.context() as broken:
        broken.setattr("medblocks_connect.attempts.webhook_deliveries.write_change", fail)
        assert clinic.send(payload).status_code == 200
    assert (delivery().state, delivery().failure, delivery().tries) == ("failed", "RuntimeError", 1)
    assert clinic.send(payload).status_code == 200
    assert delivery().state == "processed"
    assert clinic.attempt.status == "succeeded"
