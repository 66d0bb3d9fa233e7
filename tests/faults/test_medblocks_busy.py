"""Cases 40, 69: Medblocks hangs or limits the rate, and everybody else goes on.

The gate itself is proven in ``tests/api``; here is what its refusals come to, page by page.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager

import pytest
from django.db import connections
from django.test import Client

from medblocks_connect.api import MedblocksBusyError, MedblocksError, NoAnswerError, RateLimitError
from medblocks_connect.attempts.reconcile import reconcile_attempts
from medblocks_connect.attempts.start import StartRefusedError, start_attempt
from medblocks_connect.conf import DEFAULTS
from medblocks_connect.medblocks_client import get_client, get_command_client
from medblocks_connect.models import AttemptEvent, PatientConnectionAttempt
from medblocks_connect.patients import Patient
from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.api_faults import queue_fault
from tests.api.conftest import reply_json
from tests.faults.clinic import KEY, RIVERSIDE
from tests.faults.events import completed

SEATS, THREADS = 4, 16
UNAVAILABLE = "<p>The list of hospitals cannot be reached right now."
EMPTY_LIST = {"resource_type": "list", "data": [], "has_more": False, "next_cursor": None}


@contextmanager
def full_gate() -> Iterator[None]:
    """Let as many wait for Medblocks as may."""
    together, over = threading.Barrier(SEATS + 1), threading.Event()

    def wait_inside() -> None:
        with get_client().gate.admit():
            together.wait(20)
            over.wait(20)

    with ThreadPoolExecutor(SEATS) as pool:
        for _ in range(SEATS):
            pool.submit(wait_inside)
        together.wait(20)
        try:
            yield
        finally:
            over.set()


@pytest.fixture
def full(clinic):
    """A clinic whose patients find no seat."""
    with full_gate():
        yield clinic


@pytest.fixture
def hanging(serve, settings):
    """A Medblocks that hangs until it is let go on."""
    over = threading.Event()

    def hang(connection, _request):
        over.wait(60)
        connection.sendall(reply_json(EMPTY_LIST))
        return True

    server = serve(hang)
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "API_KEY": KEY,
        "BASE_URL": server.url,
        "TIMEOUT": 60,
        "THROTTLES": dict.fromkeys(DEFAULTS["THROTTLES"]),
    }
    yield server, over
    over.set()


def wait_for(futures: list[Future], number: int) -> list[Future]:
    """Wait until ``number`` of ``futures`` are done; return them."""
    one_is_done = threading.Semaphore(0)
    for future in futures:
        future.add_done_callback(lambda _done: one_is_done.release())
    for _ in range(number):
        assert one_is_done.acquire(timeout=60)
    return [future for future in futures if future.done()]


def is_unavailable(search: Future) -> bool:
    return UNAVAILABLE in search.result()


@pytest.mark.django_db(transaction=True)
def test_of_sixteen_case_69_four_wait_and_the_site_goes_on(hanging, patient_client, user):
    server, over = hanging
    refused = PatientConnectionAttempt.objects.create(
        patient_id=str(user.pk), connection_id=RIVERSIDE, status="failed", error="http_404"
    )

    def get(path: str) -> str:
        browser = Client()
        browser.cookies = patient_client.cookies
        try:
            answered = browser.get(path)
        finally:
            connections.close_all()
        assert answered.status_code == 200
        return answered.content.decode()

    with ThreadPoolExecutor(THREADS) as pool:
        searches = [pool.submit(get, f"/records/search/?q=clinic{n}") for n in range(THREADS)]
        assert all(map(is_unavailable, wait_for(searches, THREADS - SEATS)))
        # The threads that are left are enough for what needs no Medblocks.
        pages = [pool.submit(get, refused.get_absolute_url()) for _ in range(2 * THREADS)]
        assert len(wait(pages, 60).done) == len(pages)
        assert sum(search.done() for search in searches) == THREADS - SEATS
        over.set()
        assert sum(map(is_unavailable, searches)) == THREADS - SEATS
    assert len(server.requests) == SEATS


def test_start_without_a_seat_keeps_its_row_and_says_so(full):
    page = full.read_refusal(full.start())
    assert "Connecting takes a short break" in page
    assert (full.attempt.status, full.attempt.error) == ("failed", "medblocks_busy")
    last = full.attempt.events.order_by("pk").last()
    assert (last.kind, last.source) == (AttemptEvent.Kind.REFUSED, AttemptEvent.Source.SITE)
    assert full.medblocks.calls == []


def test_start_by_json_without_a_seat_is_a_503(full):
    answered = full.start_by_json()
    assert (answered.status_code, answered.json()["error"]["code"]) == (503, "medblocks_busy")
    assert full.attempt.status == "failed"
    assert full.medblocks.calls == []


def test_start_is_possible_again_once_a_seat_is_free(clinic):
    with full_gate():
        clinic.read_refusal(clinic.start())
    clinic.started()
    assert clinic.attempt.status == "started"


def test_webhook_case_69_needs_no_seat(clinic):
    clinic.started()
    flows.approve(clinic.session)
    asked = list(clinic.medblocks.calls)
    with full_gate():
        assert clinic.send(completed(clinic.session)).status_code == 200
    assert clinic.attempt.status == "succeeded"
    assert clinic.medblocks.calls == asked


def test_reconciliation_needs_no_seat(clinic):
    clinic.started()
    flows.approve(clinic.session)
    long_ago = clinic.attempt.created_at.replace(year=2020)
    PatientConnectionAttempt.objects.update(created_at=long_ago)
    with full_gate():
        assert reconcile_attempts(limit=5).statuses == {"succeeded": 1}


def test_return_without_a_seat_is_checked_later(clinic):
    clinic.started()
    flows.approve(clinic.session)
    with full_gate():
        assert clinic.come_back().status_code == 303
        assert "Checking your connection" in clinic.page()
    PatientConnectionAttempt.objects.update(asked_at=None)
    clinic.page()
    assert clinic.attempt.status == "succeeded"


def test_search_case_40_shows_the_last_good_answer_without_a_seat(clinic, settings):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "SEARCH_CACHE_SECONDS": 0}

    def search(q: str) -> str:
        return clinic.client.get("/records/search/", {"q": q}).content.decode()

    assert "Riverside General" in search("River")
    with full_gate():
        assert "Riverside General" in search("River")
        assert UNAVAILABLE not in search("River")
        assert UNAVAILABLE in search("elsewhere")


def test_connections_without_a_seat_show_what_is_known_and_ask_later(clinic):
    clinic.started()
    flows.approve(clinic.session)
    clinic.come_back()

    def show() -> str:
        return clinic.client.get("/records/connections/").content.decode()

    asked = clinic.medblocks.count("GET", "/patients/")
    with full_gate():
        assert "Riverside General" in show()
    assert clinic.medblocks.count("GET", "/patients/") == asked
    show()
    assert clinic.medblocks.count("GET", "/patients/") == asked + 1


def test_pinned_places_without_a_seat_are_asked_for_later(clinic, settings):
    ours = {**settings.MEDBLOCKS_CONNECT, "PINNED_FACILITIES": [RIVERSIDE]}
    settings.MEDBLOCKS_CONNECT = ours

    def show() -> str:
        return clinic.client.get("/records/search/").content.decode()

    with full_gate():
        assert "Riverside General" not in show()
    assert "Riverside General" in show()


@pytest.mark.parametrize("retry_after", [pytest.param(3600, id="case-69-429"), 11])
def test_nobody_sleeps_for_a_429_and_medblocks_is_left_alone(
    clinic, settings, held_clock, retry_after
):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "MAX_RETRIES": 2}
    queue_fault("create_patient_session", 429, "throttled", retry_after=retry_after)

    def start() -> str:
        clinic.start()
        return clinic.attempt.error

    assert [start() for _ in range(4)] == ["throttled"] + 3 * ["medblocks_busy"]
    assert clinic.medblocks.count("POST", "/patient-sessions") == 1
    assert held_clock.sleeps == []
    held_clock.time += 10
    assert start() == ""


def test_command_waits_for_as_long_as_medblocks_asks_and_a_patient_does_not(
    clinic, settings, held_clock
):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "MAX_RETRIES": 2, "TIMEOUT": 30}
    limit = (429, {"Retry-After": "9"}, b"{}")
    clinic.medblocks.intercept("GET", "/connections", lambda _given: limit)
    for client, slept in ((get_client(), []), (get_command_client(), [9, 9])):
        held_clock.sleeps.clear()
        with pytest.raises(RateLimitError):
            client.connections.list(q="x")
        assert held_clock.sleeps == slept


@pytest.mark.parametrize("failure", [NoAnswerError, MedblocksBusyError])
def test_start_at_a_place_that_is_not_cached_has_one_timeout_for_both_calls(
    db, settings, held_clock, monkeypatch, failure: type[MedblocksError]
):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "API_KEY": KEY, "TIMEOUT": 10}
    monkeypatch.setattr("medblocks_connect.attempts.start.time.monotonic", lambda: held_clock.time)
    allowed = []

    def use_up(_transport, call, *_others):
        allowed.append(call.timeout)
        held_clock.time += call.timeout
        raise failure

    monkeypatch.setattr("medblocks_connect.api.transport.Transport._try_once", use_up)
    with pytest.raises(StartRefusedError):
        start_attempt(Patient("p1"), RIVERSIDE, "https://clinic.example/return/")
    assert len(allowed) == 2
    assert sum(allowed) == pytest.approx(10)


@pytest.mark.django_db(transaction=True)
def test_start_while_medblocks_hangs_is_answered_after_one_timeout(
    patient_client, hanging, settings
):
    server, _over = hanging
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "TIMEOUT": 1}
    patient_client.handler.enforce_csrf_checks = False
    began = time.monotonic()
    answered = patient_client.post("/records/start/", {"connection_id": RIVERSIDE})
    seconds = time.monotonic() - began
    assert answered.status_code == 303
    assert len(server.requests) == 2  # what the place is called, and a session there
    assert seconds < 2  # 1 of TIMEOUT, and a busy machine's own time
