"""Cases 8 to 11, 13 to 17, 67: whatever Medblocks or the way to it does, the row says what was.

That the client itself takes these is proven in ``tests/api``; here is what becomes of the attempt.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import requests
from django.utils import timezone

from medblocks_connect.attempts.reconcile import reconcile_attempts
from medblocks_connect.medblocks_client import forget_clients, get_client
from medblocks_connect.models import AttemptEvent, PatientConnectionAttempt
from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.api_faults import queue_fault
from medblocks_connect.sandbox.models import SandboxSession
from tests.api.conftest import reply, reply_json
from tests.faults.clinic import KEY, RIVERSIDE, everything

FACILITY = {"id": RIVERSIDE, "name": "Riverside General", "type": "epic"}


@pytest.fixture
def point_at(settings):
    """Let the site take ``base_url`` for Medblocks, and give up after ``TIMEOUT`` seconds."""

    def point(base_url: str, **changed) -> None:
        ours = {"API_KEY": KEY, "BASE_URL": base_url, "TIMEOUT": 1.0, "MAX_RETRIES": 0}
        settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, **ours, **changed}

    return point


@pytest.fixture
def start(patient_client):
    """Start an attempt by the form; return the page that the patient is led to."""
    patient_client.cookies["csrftoken"] = "c" * 32

    def post():
        form = {"connection_id": RIVERSIDE, "csrfmiddlewaretoken": "c" * 32}
        answered = patient_client.post("/records/start/", form)
        assert answered.status_code == 303
        assert answered.headers["Location"] == attempt().get_absolute_url()
        page = patient_client.get(answered.headers["Location"])
        assert page.status_code == 200
        return page.content.decode()

    return post


def attempt() -> PatientConnectionAttempt:
    return PatientConnectionAttempt.objects.get()


def kinds() -> list[str]:
    return list(AttemptEvent.objects.order_by("pk").values_list("kind", flat=True))


@pytest.fixture
def refused(monkeypatch, serve, certificate, point_at):
    """Ways in which Medblocks cannot be reached; each returns once the site points at it."""

    def port_nobody_listens_on():
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        point_at(f"http://127.0.0.1:{port}")

    def name_without_address():
        def fail(*args, **kwargs):
            raise socket.gaierror

        monkeypatch.setattr(socket, "getaddrinfo", fail)
        point_at("https://medblocks.test")

    def untrusted_certificate():
        point_at(serve(reply_json(FACILITY), certificate=certificate).url)

    def handshake_without_end():
        silent = serve(lambda *_: None)
        point_at(silent.url.replace("http:", "https:"))

    return {
        "refused": port_nobody_listens_on,
        "dns": name_without_address,
        "certificate": untrusted_certificate,
        "connect-timeout": handshake_without_end,
    }


@pytest.mark.parametrize(
    "how",
    [
        pytest.param("refused", id="case-8-refused"),
        pytest.param("dns", id="case-8-dns"),
        pytest.param("certificate", id="case-8-certificate"),
        pytest.param("connect-timeout", id="case-8-connect-timeout"),
    ],
)
def test_start_with_medblocks_unreachable_leads_to_a_friendly_page(db, refused, start, how):
    refused[how]()
    page = start()  # which returns: nothing on the other side ever ends it
    assert "We could not reach the connection service" in page
    assert (attempt().status, attempt().error) == ("failed", "connection_failed")


def hang_up(_connection, _request):
    return None


def wait_for_ever(connection, _request):
    connection.settimeout(5)
    connection.recv(1)  # returns once the caller gives up


@pytest.mark.parametrize(
    "swallow",
    [pytest.param(hang_up, id="case-9-closed"), pytest.param(wait_for_ever, id="case-9-silence")],
)
def test_no_answer_is_not_repeated(db, serve, point_at, start, swallow):
    def answer(connection, request):
        if request.method == "POST":
            return swallow(connection, request)
        connection.sendall(reply_json(FACILITY))
        return True

    server = serve(answer)
    point_at(server.url, MAX_RETRIES=2)
    page = start()
    assert "We could not reach the portal" in page
    assert "http-equiv" not in page
    assert sum(each.method == "POST" for each in server.requests) == 1
    assert (attempt().status, attempt().connection_name) == ("created", "Riverside General")
    assert kinds() == ["created", "no_answer"]


@pytest.mark.django_db(transaction=True)
def test_no_answer_case_9_is_adopted_by_reconciliation(site, serve, settings, get_attempt):
    """Over real sockets: what lies between loses the answer that the sandbox gave."""
    sandbox = settings.MEDBLOCKS_CONNECT["BASE_URL"]

    def forward(connection, request):
        passed_on = requests.request(
            request.method,
            sandbox + request.target,
            data=request.body,
            headers={"Authorization": request.headers["authorization"]},
            timeout=5,
        )
        if request.method != "POST":
            connection.sendall(reply(passed_on.content, f"{passed_on.status_code} OK"))
        return request.method != "POST"

    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "BASE_URL": serve(forward).url}
    assert site.start(RIVERSIDE).headers["Location"] == get_attempt().get_absolute_url()
    flows.approve(SandboxSession.objects.get())
    a_while_ago = timezone.now() - timedelta(minutes=1)
    PatientConnectionAttempt.objects.update(created_at=a_while_ago)
    assert reconcile_attempts(limit=10).adopted == 1
    assert get_attempt().status == "succeeded"


REFUSALS = [
    pytest.param(401, "invalid_api_key", 503, "is not available", id="case-10-401"),
    pytest.param(403, "insufficient_scope", 503, "is not available", id="case-10-403"),
    pytest.param(402, "quota_exceeded", 503, "is on hold", id="case-10-402"),
    pytest.param(404, "resource_not_found", 404, "cannot be reached", id="case-10-404"),
    pytest.param(409, "resource_conflict", 502, "at the same time", id="case-10-409"),
    pytest.param(429, "throttled", 503, "Too many people", id="case-10-429"),
    pytest.param(500, "internal_error", 502, "went wrong", id="case-10-500"),
    pytest.param(502, "token_exchange_failed", 502, "open the portal", id="case-10-502"),
    pytest.param(418, "new_code_of_2031", 502, "did not work", id="case-10-unknown"),
]


@pytest.mark.parametrize(("status", "code", "shown", "words"), REFUSALS)
def test_start_that_medblocks_refuses_says_why(clinic, status, code, shown, words):
    queue_fault("create_patient_session", status, code, message=f"Bearer {KEY} is refused", times=9)
    page = clinic.read_refusal(clinic.start())
    assert words in page
    assert clinic.attempt.error == code
    assert clinic.attempt.request_id.startswith("req_")
    assert KEY not in page + repr(vars(clinic.attempt))
    forget_clients()  # a 429 closes the gate
    by_json = clinic.start_by_json()
    assert (by_json.status_code, by_json.json()["error"]["code"]) == (shown, code)
    assert KEY not in by_json.content.decode()


def lose_the_answer(clinic):
    clinic.medblocks.lose("POST", "/patient-sessions")


def answer_oddly(clinic):
    clinic.medblocks.replace("POST", "/patient-sessions", b"null")


def answer_with_an_unsafe_address(clinic):
    change = {"url": "javascript:alert(1)"}
    clinic.medblocks.change("POST", "/patient-sessions", lambda session: {**session, **change})


def refuse_the_place(clinic):
    queue_fault("create_patient_session", 404, "resource_not_found", times=99)
    queue_fault("get_connection", 404, "resource_not_found", times=99)


@pytest.mark.parametrize("path", ["start/", "start/elsewhere/"])
@pytest.mark.parametrize(
    "break_it",
    [
        pytest.param(break_it, id=f"case-67-{break_it.__name__}")
        for break_it in (
            lose_the_answer,
            answer_oddly,
            answer_with_an_unsafe_address,
            refuse_the_place,
        )
    ],
)
def test_refused_start_that_is_reloaded_neither_asks_nor_writes(clinic, settings, path, break_it):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "HOSTED_FALLBACK": True}
    break_it(clinic)
    form = {"connection_id": RIVERSIDE} if path == "start/" else {}
    clinic.read_refusal(clinic.post(f"/records/{path}", form))
    asked, written = list(clinic.medblocks.calls), everything(clinic.attempt)
    for _ in range(10):
        answered = clinic.client.get(clinic.attempt.get_absolute_url())
        assert answered.status_code == 200
        assert "Refresh" not in answered.headers
    # The facility may be refused before there is anything to ask a session for.
    assert sum(method == "POST" for method, _path in asked) <= 1
    assert clinic.medblocks.calls == asked
    assert everything(PatientConnectionAttempt.objects.get()) == written


@pytest.mark.parametrize(
    ("status", "retry_after"),
    [
        pytest.param(429, 999_999, id="case-16-huge"),
        pytest.param(429, 2, id="case-16-past-the-deadline"),
        pytest.param(502, None, id="case-10-502-without-end"),
        pytest.param(503, 0, id="case-16-zero"),
    ],
)
def test_retry_after_past_the_deadline_is_not_slept(
    clinic, settings, held_clock, status, retry_after
):
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "TIMEOUT": 1.0,
        "MAX_RETRIES": 5,
    }
    queue_fault("create_patient_session", status, "throttled", times=99, retry_after=retry_after)
    clinic.read_refusal(clinic.start())
    assert sum(held_clock.sleeps) < 1
    assert clinic.attempt.status == "failed"


@pytest.mark.parametrize(
    "retry_after",
    [
        pytest.param("-1", id="case-16-negative"),
        pytest.param("Fri, 31 Dec 9999 23:59:59 GMT", id="case-16-date"),
        pytest.param("soon", id="case-16-garbage"),
        pytest.param("\u0661", id="case-16-arabic-digit"),
    ],
)
def test_odd_retry_after_is_not_slept(clinic, settings, held_clock, retry_after):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "TIMEOUT": 1.0, "MAX_RETRIES": 2}
    refusal = json.dumps({"error": {"type": "rate_limit_error", "code": "throttled"}})
    headers = {"Retry-After": retry_after.encode().decode("latin-1")}
    clinic.medblocks.intercept("POST", "/patient-sessions", lambda _given: (429, headers, refusal))
    clinic.read_refusal(clinic.start())
    assert sum(held_clock.sleeps) < 1
    assert clinic.attempt.error == "throttled"


def session_with(**changed) -> bytes:
    whole = {
        "id": "ps_odd",
        "status": "open",
        "url": "https://app.medblocks.com/c/1",
        "patient_id": "not-the-patient",
        "connections": [],
    }
    return json.dumps({**whole, **changed}).encode()


ODD_REPLIES = [
    pytest.param(b"<html>Sign in to the hotel's network</html>", id="case-11-html"),
    pytest.param(b"", id="case-11-empty"),
    pytest.param(b"null", id="case-11-null"),
    pytest.param(b"[]", id="case-11-list"),
    pytest.param(session_with()[:-20], id="case-11-cut-off"),
    pytest.param(session_with(url=None), id="case-11-no-url"),
    pytest.param(session_with(), id="case-11-another-patient"),
    pytest.param(session_with(expires_at=float("nan")), id="case-11-nan"),
    pytest.param(b"[" * 100_000, id="case-11-brackets"),
    pytest.param(b'{"id": ' + b"9" * 5000 + b"}", id="case-11-5000-digits"),
    pytest.param(b'{"id": "\xff"}', id="case-11-not-utf-8"),
    pytest.param(session_with(id="ps_" + "y" * 300), id="case-11-session-id-of-303"),
]


@pytest.mark.parametrize("body", ODD_REPLIES)
def test_odd_reply_to_start_leads_to_no_portal(clinic, body):
    clinic.medblocks.replace("POST", "/patient-sessions", body)
    assert "an answer we did not understand" in clinic.read_refusal(clinic.start())
    assert (clinic.attempt.status, clinic.attempt.error) == ("failed", "unexpected_reply")
    assert clinic.attempt.request_id == "req_odd"


@pytest.mark.parametrize("body", ODD_REPLIES)
def test_odd_reply_to_verification_is_checked_later(clinic, body):
    """The same answers to "what became of it?": the patient waits, nothing is made up."""
    clinic.started()
    clinic.medblocks.replace("GET", "/patient-sessions/", body)
    flows.approve(clinic.session)
    assert clinic.come_back().status_code == 303
    assert clinic.attempt.status == "returned"
    assert "Checking your connection" in clinic.page()


def test_environment_case_13_changes_nothing(db, serve, point_at, start, tmp_path, monkeypatch):
    netrc = tmp_path / ".netrc"
    netrc.write_text("default login evil password evil\n")
    nonsense = {"NETRC": str(netrc), "HOME": str(tmp_path), "REQUESTS_CA_BUNDLE": "/nowhere"}
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        nonsense[name] = "http://127.0.0.1:9"
    for name, value in nonsense.items():
        monkeypatch.setenv(name, value)
    server = serve(reply_json({"error": {"code": "internal_error"}}, "500 Oh"))
    point_at(server.url)
    start()
    assert attempt().error == "internal_error"
    assert {each.headers["authorization"] for each in server.requests} == {f"Bearer {KEY}"}


@pytest.mark.parametrize(
    "status", [pytest.param(n, id=f"case-14-{n}") for n in (301, 302, 307, 308)]
)
def test_redirect_is_not_followed(db, serve, point_at, start, status):
    elsewhere = serve(reply_json(FACILITY))
    server = serve(reply(b"", f"{status} Go", Location=elsewhere.url, Set_Cookie="a=b; Path=/"))
    point_at(server.url)
    start()
    assert attempt().error == "unexpected_reply"
    assert elsewhere.requests == []
    assert all("cookie" not in each.headers for each in server.requests)


def endless(connection, _request):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
    while True:
        connection.sendall(b" " * 65536)


def dripping(connection, _request):
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.1)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(endless, id="case-15-endless"),
        pytest.param(dripping, id="case-15-dripping"),
    ],
)
def test_body_without_end_is_given_up(db, serve, point_at, start, answer):
    point_at(serve(answer).url)
    start()
    assert attempt().status in {"failed", "created"}


def test_threads_case_17_get_their_own_answers(serve, point_at, settings):
    """32 threads over the site's one client: each gets the session that it asked for."""

    def echo(connection, request):
        session_id = urlsplit(request.target).path.rpartition("/")[2]
        session = {"id": session_id, "status": "open", "patient_id": "p", "connections": []}
        connection.sendall(reply_json({**session, "url": "https://a.example/"}))
        return True

    point_at(serve(echo).url, TIMEOUT=10.0, MAX_WAITING=32)
    together = threading.Barrier(32)

    def ask(number: int) -> list[str]:
        together.wait()
        ids = [f"ps_{number}_{turn}" for turn in range(4)]
        return [each for each in ids if get_client().patient_sessions.retrieve(each).id != each]

    with ThreadPoolExecutor(32) as pool:
        assert [wrong for wrongs in pool.map(ask, range(32)) for wrong in wrongs] == []
