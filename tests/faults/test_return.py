"""Cases 18 to 29 and 46: the way back is a claim, and Medblocks has the last word."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from django.test import Client
from django.utils import timezone

from medblocks_connect.attempts import verification
from medblocks_connect.attempts.reconcile import reconcile_attempts
from medblocks_connect.attempts.waiting import MAX_WAIT
from medblocks_connect.models import AttemptEvent, PatientConnectionAttempt
from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.serializers import write_moment
from tests.faults.clinic import RIVERSIDE
from tests.faults.events import completed

RETURN = "/records/return/"
SESSION = "/patient-sessions/"


def everything(attempt: PatientConnectionAttempt) -> dict[str, object]:
    found = PatientConnectionAttempt.objects.filter(pk=attempt.pk).values().get()
    return {**found, "events": attempt.events.count()}


def settle_without_patience(monkeypatch):
    monkeypatch.setattr(verification, "VERIFICATION_INTERVAL", timedelta(0))


@pytest.mark.parametrize(
    "session_id",
    [pytest.param(None, id="case-18-somebody-else"), pytest.param("ps_x", id="case-18-invented")],
)
def test_success_of_another_session(clinic, other_user, session_id):
    theirs = clinic.started()
    before = everything(theirs)
    clinic.client.force_login(other_user)
    changed = {"patient_session_id": session_id} if session_id else {}
    answered = clinic.come_back(success="true", **changed)
    assert answered.status_code == 404
    assert clinic.client.get(theirs.get_absolute_url()).status_code == 404
    assert everything(theirs) == before


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        pytest.param(lambda _session: None, "returned", id="case-18-still-open"),
        pytest.param(flows.finish, "failed", id="case-18-never-connected"),
        pytest.param(flows.cancel, "failed", id="case-18-cancelled"),
        pytest.param(flows.let_expire, "expired", id="case-18-expired"),
    ],
)
def test_success_that_never_was(clinic, end, expected, heard):
    clinic.started()
    end(clinic.session)
    clinic.come_back(success="true", error=None, error_description=None)
    assert clinic.attempt.status == expected
    assert "You are connected" not in clinic.page()
    assert "attempt_succeeded" not in heard


def test_reload_case_19_changes_nothing(clinic, heard, django_capture_on_commit_callbacks):
    clinic.started()
    flows.approve(clinic.session)
    with django_capture_on_commit_callbacks(execute=True):
        first = clinic.come_back()
    first_page, before = clinic.page(), everything(clinic.attempt)
    with django_capture_on_commit_callbacks(execute=True):
        again = [clinic.come_back() for _ in range(3)]
    assert {each.headers["Location"] for each in (first, *again)} == {
        clinic.attempt.get_absolute_url()
    }
    after = everything(clinic.attempt)
    assert {name for name in after if after[name] != before[name]} <= {"asked_at"}
    assert clinic.page() == first_page
    assert heard == ["attempt_succeeded"]


def test_disagreement_case_20_claimed_failure_is_active(clinic):
    clinic.started()
    flows.approve(clinic.session)
    clinic.come_back(success="false", error="access_denied", connection_id=None)
    assert (clinic.attempt.status, clinic.attempt.claim_disagrees) == ("succeeded", True)
    assert clinic.attempt.claimed_error == "access_denied"


def test_disagreement_case_20_claimed_success_has_failed(clinic):
    clinic.started()
    flows.fail(clinic.session, "token_exchange_failed")
    clinic.come_back(success="true", error=None, error_description=None)
    attempt = clinic.attempt
    assert (attempt.status, attempt.error) == ("failed", "token_exchange_failed")
    assert (attempt.claimed_success, attempt.claim_disagrees) == (True, True)
    told = {(each.source, each.kind) for each in attempt.events.all()}
    assert {("return", "claimed_success"), ("medblocks", "failed")} <= told


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        pytest.param(flows.approve, "succeeded", id="case-21-approved"),
        pytest.param(flows.cancel, "failed", id="case-21-cancelled"),
        pytest.param(flows.finish, "failed", id="case-21-done"),
        pytest.param(lambda _session: None, "returned", id="case-21-open"),
    ],
)
def test_hosted_page_says_nothing(clinic, end, expected):
    clinic.started()
    end(clinic.session)
    nothing = dict.fromkeys(("success", "connection_id", "error", "error_description"))
    clinic.come_back(**nothing)
    assert clinic.attempt.status == expected


@pytest.mark.parametrize(
    ("success", "then", "words"),
    [
        pytest.param(success, then, words, id=f"case-22-{success}-{name}")
        for success in ("true", "false")
        for name, then, words in (
            ("connected", flows.approve, "You are connected"),
            ("not-connected", flows.cancel, "You are not connected"),
        )
    ],
)
@pytest.mark.parametrize("is_away", [True, False], ids=["away", "open"])
def test_no_answer_yet(clinic, monkeypatch, success, then, words, is_away):
    """Medblocks is away, or the session is still open: confirming, then the one right answer."""
    settle_without_patience(monkeypatch)
    clinic.started()
    if is_away:
        clinic.medblocks.replace("GET", SESSION, b"", 503)
    clinic.come_back(success=success, error="user_denied", error_description=None)
    for _ in range(2):
        assert "Checking your connection" in clinic.page()
    then(clinic.session)
    clinic.medblocks.mend()
    assert words in clinic.page()
    assert words in clinic.page()


def test_claimed_failure_case_22_is_shown_in_the_end(clinic, monkeypatch):
    """A page that waits for ever helps nobody: after a while it says what the claim says."""
    settle_without_patience(monkeypatch)
    clinic.started()
    clinic.come_back(success="false", error="user_denied", connection_id=None)
    assert "Checking your connection" in clinic.page()
    PatientConnectionAttempt.objects.update(returned_at=timezone.now() - MAX_WAIT)
    assert "You are not connected" in clinic.page()
    assert clinic.attempt.unconfirmed


@pytest.mark.django_db(transaction=True)
def test_claimed_failure_case_22_is_no_signal(clinic, heard):
    clinic.started()
    clinic.come_back(success="false", error="user_denied", connection_id=None)
    assert heard == ["attempt_started"]
    flows.approve(clinic.session)
    clinic.come_back()
    assert heard == ["attempt_started", "attempt_succeeded"]


def test_still_open_case_22_asks_politely(clinic):
    clinic.started()
    clinic.come_back(success="true", connection_id=RIVERSIDE)
    before = clinic.medblocks.count("GET", SESSION)
    for _ in range(5):
        clinic.page()
    assert clinic.medblocks.count("GET", SESSION) == before


def sign_out(clinic, user):
    """The same browser, whose session at the site has ended meanwhile."""
    clinic.client.logout()
    return clinic.client, lambda: clinic.client.force_login(user)


def use_app(clinic, user):
    """A browser inside another app, which knows nothing of the one that the patient began in."""
    inside = Client(headers={"User-Agent": "Instagram 300.0 (in-app)"})
    return inside, lambda: inside.force_login(user)


def keep_cookie(clinic, _user):
    """``SameSite=Strict``: no cookie comes with the portal's redirect, but with the login page."""
    browser = Client(headers={"Sec-Fetch-Site": "cross-site"})

    def come_from_own_site():
        browser.cookies = clinic.client.cookies

    return browser, come_from_own_site


@pytest.mark.parametrize(
    "leave",
    [
        pytest.param(sign_out, id="case-23-signed-out"),
        pytest.param(use_app, id="case-23-in-app-browser"),
        pytest.param(keep_cookie, id="case-23-same-site-strict"),
    ],
)
def test_unknown_browser_signs_in_first(clinic, user, leave):
    attempt = clinic.started()
    flows.approve(clinic.session)
    before = everything(attempt)
    browser, sign_in = leave(clinic, user)
    answered = clinic.come_back(browser)
    login = urlsplit(answered.headers["Location"])
    (onward,) = parse_qs(login.query)["next"]
    assert (answered.status_code, login.netloc, login.path) == (302, "", "/accounts/login/")
    assert "patient_id" not in onward
    assert b"Riverside" not in answered.content
    assert everything(attempt) == before
    sign_in()
    outcome = browser.get(onward, follow=True)
    assert "You are connected" in outcome.content.decode()


@pytest.mark.parametrize("letter", ["a", "\u00e9 ", "\U0001f3e5"], ids=["plain", "accent", "emoji"])
def test_signed_out_case_24_with_a_long_description(clinic, user, letter):
    """No server, and not Django itself, refuses the way through the login."""
    clinic.started()
    flows.cancel(clinic.session)
    stranger = Client()
    said = quote(letter * 2000)
    answered = clinic.come_back(stranger, success="false", error="x", error_description=said)
    address = answered.headers["Location"]
    assert answered.status_code == 302
    assert len(address) < 4000
    stranger.force_login(user)
    (onward,) = parse_qs(urlsplit(address).query)["next"]
    assert "You are not connected" in stranger.get(onward, follow=True).content.decode()


LONG = "a" * 1_000_000
DESCRIPTIONS = [
    pytest.param("<script>alert(1)</script>", "<script>alert(1)</script>", id="case-24-script"),
    pytest.param("Zq\u202eXv\u2066Kw", "ZqXvKw", id="case-24-right-to-left"),
    pytest.param("Zq\x00Xv", "ZqXv", id="case-24-nul"),
    pytest.param("a\r\nSet-Cookie: b", "a Set-Cookie: b", id="case-24-line-break"),
    pytest.param(LONG, LONG[:1999] + "\u2026", id="case-24-1-mb"),
    pytest.param("\U0001f3e5 \u00e9", "\U0001f3e5 \u00e9", id="case-24-emoji"),
]


@pytest.mark.parametrize(("text", "stored"), DESCRIPTIONS)
def test_description_is_stored_alike_and_not_shown(clinic, text, stored):
    clinic.started()
    answered = clinic.come_back(
        success="false", error="access_denied", error_description=quote(text), connection_id=None
    )
    assert answered.status_code == 303
    attempt = clinic.attempt
    assert attempt.claimed_error_description == attempt.error_description == stored
    assert set(attempt.events.values_list("error_description", flat=True)) == {"", stored}
    assert not [words for words in (text[:20], stored[:20]) if words in clinic.page()]


@pytest.mark.parametrize(
    "written", [pytest.param("%ED%A0%80", id="case-24-lone-surrogate"), "%FF", "%C3%28"]
)
def test_description_that_is_no_text(clinic, written):
    clinic.started()
    clinic.come_back(success="false", error="x", error_description=written, connection_id=None)
    assert clinic.attempt.status == "failed"


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(
            "patient_session_id={0}&success=true&success=false", id="case-25-success-twice"
        ),
        pytest.param("patient_session_id={0}&patient_session_id={0}", id="case-25-session-twice"),
        pytest.param("patient_session_id={0}&patient_session_id=", id="case-25-session-and-empty"),
        pytest.param("patient_session_id=&success=true", id="case-25-empty"),
        pytest.param("success=true", id="case-25-missing"),
        pytest.param("", id="case-25-nothing"),
        pytest.param("patient_session_id=" + "p" * 10_000, id="case-25-10-kb"),
        pytest.param("patient_session_id={0}%00", id="case-25-nul"),
        pytest.param("patient_session_id={0}%FF", id="case-25-no-utf-8"),
        pytest.param("patient_session_id={0}&success=TRUE", id="case-25-other-word"),
        pytest.param("patient_session_id={0}&success=", id="case-25-empty-word"),
        pytest.param(
            "patient_session_id={0}&error=a&error=b&success=false", id="case-25-error-twice"
        ),
    ],
)
def test_malformed(clinic, query):
    attempt = clinic.started()
    before = everything(attempt)
    answered = clinic.client.get(f"{RETURN}?{query.format(attempt.patient_session_id)}")
    assert answered.status_code == 400
    assert attempt.patient_session_id not in answered.content.decode()
    assert everything(attempt) == before


def test_page_case_26_is_private(clinic, user):
    clinic.started()
    flows.approve(clinic.session)
    back = clinic.come_back()
    address = back.headers["Location"]
    page = clinic.client.get(address)
    attempt = clinic.attempt
    assert not [each for each in (attempt.patient_session_id, "?", "ps_") if each in address]
    for answered in (back, page):
        assert "no-store" in answered.headers["Cache-Control"]
        assert answered.headers["Referrer-Policy"] == "no-referrer"
    loaded = re.findall(r'(?:src|href|action)="([^"]*)"', page.content.decode())
    assert loaded
    assert all(each.startswith("/") and not each.startswith("//") for each in loaded)


LOOKING = [
    pytest.param({"Purpose": "prefetch"}, id="case-27-purpose"),
    pytest.param({"Sec-Purpose": "prefetch;prerender"}, id="case-27-sec-purpose"),
    pytest.param({"X-Moz": "prefetch"}, id="case-27-mozilla"),
    pytest.param({"Purpose": "Prefetch"}, id="case-27-capital"),
    pytest.param({"X-Purpose": "preview"}, id="case-27-preview"),
]


@pytest.mark.parametrize("headers", LOOKING)
def test_prefetch_changes_nothing(clinic, headers):
    attempt = clinic.started()
    before, calls = everything(attempt), len(clinic.medblocks.calls)
    looking = Client(headers=headers)
    looking.cookies = clinic.client.cookies
    assert clinic.come_back(looking, success="false").status_code == 204
    assert (everything(attempt), len(clinic.medblocks.calls)) == (before, calls)


def test_head_case_27_changes_nothing(clinic):
    attempt = clinic.started()
    before, calls = everything(attempt), len(clinic.medblocks.calls)
    query = {"patient_session_id": attempt.patient_session_id, "success": "false"}
    assert clinic.client.head(RETURN, query).status_code == 204
    assert clinic.client.head(attempt.get_absolute_url()).status_code == 200
    assert (everything(attempt), len(clinic.medblocks.calls)) == (before, calls)


def test_link_scanner_case_27_changes_nothing(clinic):
    attempt = clinic.started()
    before = everything(attempt)
    assert clinic.come_back(Client(headers={"User-Agent": "LinkScan/1.0"})).status_code == 302
    assert everything(attempt) == before


def connections(*given: tuple[str, str, str | None]):
    """Return what makes a session have these connections: facility, status, id."""

    def change(session):
        found = [
            {"connection_id": facility, "status": status, "id": link, "failure_at": None}
            for facility, status, link in given
        ]
        return {**session, "status": "complete", "connections": found}

    return change


@pytest.mark.parametrize(
    "expires_at",
    [
        pytest.param(lambda: hours_from_now(1), id="case-28-in-time"),
        pytest.param(lambda: hours_from_now(-1), id="case-28-past-its-end"),
    ],
)
def test_status_never_seen_before(clinic, expires_at):
    """Kept as it came: no success, and no "never finished", as the patient did finish."""
    clinic.started()
    flows.approve(clinic.session)
    change = connections((RIVERSIDE, "dormant", "conn_1"))
    told = {"expires_at": expires_at()}
    clinic.medblocks.change("GET", SESSION, lambda given: change(given) | told)
    clinic.come_back()
    attempt = clinic.attempt
    assert (attempt.status, attempt.connection_status) == ("returned", "dormant")
    assert attempt.settled_at is None
    assert "Checking your connection" in clinic.page()


LONG_STATUS = "pending_additional_verification_by_the_record_holder_team"
TOO_LONG = [
    pytest.param((RIVERSIDE, LONG_STATUS, "conn_1"), "returned", id="case-28-status-of-57"),
    pytest.param((RIVERSIDE, "active", "conn_" + "x" * 300), "returned", id="case-28-id-of-305"),
]


@pytest.mark.parametrize(("connection", "expected"), TOO_LONG)
def test_longer_than_its_column(clinic, connection, expected):
    """Neither an error nor in the way of whoever comes after it."""
    clinic.started()
    clinic.medblocks.change("GET", SESSION, connections(connection))
    assert clinic.come_back().status_code == 303
    assert clinic.attempt.status == expected
    told = completed(clinic.session)
    told["data"]["object"] = connections(connection)(told["data"]["object"])
    assert clinic.send(told).status_code == 200
    assert clinic.attempt.status == expected
    assert "Checking your connection" in clinic.page()


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        pytest.param("failed", "failed", id="case-28-ours-failed"),
        pytest.param("active", "succeeded", id="case-28-ours-too"),
        pytest.param(None, "failed", id="case-28-ours-is-not-there"),
    ],
)
def test_connection_of_another_facility(clinic, ours, expected):
    clinic.started()
    flows.approve(clinic.session)
    found = [("fhirsrc_elsewhere", "active", "conn_2")]
    if ours:
        found.append((RIVERSIDE, ours, "conn_1"))
    clinic.medblocks.change("GET", SESSION, connections(*found))
    clinic.come_back()
    assert clinic.attempt.status == expected
    assert clinic.attempt.patient_connection_id != "conn_2"


def test_late_return_case_29_was_approved_in_time(clinic):
    clinic.started()
    flows.approve(clinic.session)
    PatientConnectionAttempt.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    clinic.come_back()
    assert clinic.attempt.status == "succeeded"


def test_late_return_case_29_expired(clinic):
    clinic.started()
    flows.let_expire(clinic.session)
    clinic.come_back()
    assert clinic.attempt.status == "expired"
    assert "Try again" in clinic.page()


def hours_from_now(hours: float) -> str:
    return write_moment(timezone.now() + timedelta(hours=hours))


@pytest.mark.parametrize(
    ("expires_at", "expected"),
    [
        pytest.param(
            lambda: hours_from_now(-9 / 60), "started", id="case-46-clocks-9-minutes-apart"
        ),
        pytest.param(
            lambda: hours_from_now(-11 / 60), "expired", id="case-46-clocks-11-minutes-apart"
        ),
        pytest.param(lambda: None, "started", id="case-46-missing"),
        pytest.param(lambda: "yesterday", "started", id="case-46-invalid"),
        pytest.param(lambda: 1e308, "started", id="case-46-number"),
        pytest.param(lambda: "0000-00-00T00:00:00Z", "started", id="case-46-zero"),
        pytest.param(lambda: "9999-12-31T23:59:59-23:59", "started", id="case-46-far"),
        pytest.param(lambda: "1999-01-01T00:00:00", "expired", id="case-46-naive"),
        pytest.param(lambda: "2999-06-30T23:59:60.123456789Z", "started", id="case-46-leap-second"),
    ],
)
def test_times_of_medblocks(clinic, expires_at, expected):
    for start in ("/patient-sessions", SESSION):
        method = "POST" if start == "/patient-sessions" else "GET"
        clinic.medblocks.change(method, start, lambda given: {**given, "expires_at": expires_at()})
    clinic.started()
    PatientConnectionAttempt.objects.update(created_at=timezone.now() - timedelta(minutes=1))
    reconcile_attempts(limit=5)
    assert clinic.attempt.status == expected


@pytest.mark.parametrize(
    "moment", ["never", None, 7, "2026-02-30T00:00:00Z", "2026-11-01T10:00:00"]
)
def test_failure_case_46_odd_moment(clinic, moment):
    clinic.started()
    flows.fail(clinic.session, "oauth_error")

    def change(session):
        session["connections"][0] |= {"failure_at": moment, "created_at": moment}
        return {**session, "created_at": moment}

    clinic.medblocks.change("GET", SESSION, change)
    clinic.come_back()
    assert (clinic.attempt.status, clinic.attempt.error) == ("failed", "oauth_error")
    assert AttemptEvent.objects.filter(kind="failed").count() == 1
