"""Cases 18 to 23, 26, 27 and 29: a return is a claim, and Medblocks has the last word."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django.utils import timezone

from medblocks_connect.attempts import verification
from medblocks_connect.attempts.waiting import MAX_WAIT
from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.sandbox import flows
from tests.faults.clinic import RETURN, RIVERSIDE, SESSION, everything


def verify_without_interval(monkeypatch):
    monkeypatch.setattr(verification, "VERIFICATION_INTERVAL", timedelta(0))


@pytest.mark.parametrize(
    "session_id",
    [pytest.param(None, id="case-18-somebody-else"), pytest.param("ps_x", id="case-18-invented")],
)
def test_return_with_another_session_is_404(clinic, other_user, session_id):
    """Staff read that another patient came back with it; all else stays."""
    theirs = clinic.started()
    before = everything(theirs)
    clinic.client.force_login(other_user)
    changed = {"patient_session_id": session_id} if session_id else {}
    answered = clinic.come_back(success="true", **changed)
    assert answered.status_code == 404
    assert clinic.client.get(theirs.get_absolute_url()).status_code == 404
    theirs.events.filter(kind="another_patient").delete()
    noted = {"revision", "another_patient_at"}
    kept = {name: value for name, value in everything(theirs).items() if name not in noted}
    assert kept == {name: value for name, value in before.items() if name not in noted}


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        pytest.param(lambda _session: None, "returned", id="case-18-still-open"),
        pytest.param(flows.finish, "failed", id="case-18-never-connected"),
        pytest.param(flows.cancel, "failed", id="case-18-cancelled"),
        pytest.param(flows.let_expire, "expired", id="case-18-expired"),
    ],
)
def test_claimed_success_that_medblocks_denies_is_not_connected(clinic, end, expected, heard):
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
    events = {(each.source, each.kind) for each in attempt.events.all()}
    assert {("return", "claimed_success"), ("medblocks", "failed")} <= events


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        pytest.param(flows.approve, "succeeded", id="case-21-approved"),
        pytest.param(flows.cancel, "failed", id="case-21-cancelled"),
        pytest.param(flows.finish, "failed", id="case-21-done"),
        pytest.param(lambda _session: None, "returned", id="case-21-open"),
    ],
)
def test_return_without_a_claim_ends_as_medblocks_says(clinic, end, expected):
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
def test_return_before_medblocks_answers_is_checked_then_decided(
    clinic, monkeypatch, success, then, words, is_away
):
    """Medblocks is away, or the session is still open: confirming, then the one right answer."""
    verify_without_interval(monkeypatch)
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


def test_claimed_failure_case_22_is_shown_after_the_wait(clinic, monkeypatch):
    """A page that waits for ever helps nobody: after a while it says what the claim says."""
    verify_without_interval(monkeypatch)
    clinic.started()
    clinic.come_back(success="false", error="user_denied", connection_id=None)
    assert "Checking your connection" in clinic.page()
    PatientConnectionAttempt.objects.update(returned_at=timezone.now() - MAX_WAIT)
    assert "You are not connected" in clinic.page()
    assert clinic.attempt.unconfirmed


@pytest.mark.django_db(transaction=True)
def test_claimed_failure_case_22_sends_no_signal(clinic, heard, monkeypatch):
    verify_without_interval(monkeypatch)
    clinic.started()
    clinic.come_back(success="false", error="user_denied", connection_id=None)
    assert heard == ["attempt_started"]
    flows.approve(clinic.session)
    clinic.come_back()
    assert heard == ["attempt_started", "attempt_succeeded"]


def test_reload_case_22_within_the_interval_asks_nothing(clinic):
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


@pytest.mark.parametrize(
    "leave",
    [
        pytest.param(sign_out, id="case-23-signed-out"),
        pytest.param(use_app, id="case-23-in-app-browser"),
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


def test_return_case_23_with_a_strict_cookie_is_loaded_once_more(clinic):
    """No cookie comes with the way back from the portal, but with a page of ours."""
    attempt = clinic.started()
    flows.approve(clinic.session)
    before = everything(attempt)
    answered = clinic.come_back(Client(headers={"Sec-Fetch-Site": "cross-site"}))
    onward = answered.headers["Refresh"].removeprefix("0; url=")
    assert "patient_id" not in onward
    assert b"Riverside" not in answered.content
    assert everything(attempt) == before
    outcome = clinic.client.get(onward, headers={"Sec-Fetch-Site": "same-origin"}, follow=True)
    assert "You are connected" in outcome.content.decode()


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


def test_late_return_case_29_approved_in_time_is_connected(clinic):
    clinic.started()
    flows.approve(clinic.session)
    PatientConnectionAttempt.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    clinic.come_back()
    assert clinic.attempt.status == "succeeded"


def test_late_return_case_29_of_an_expired_session_is_expired(clinic):
    clinic.started()
    flows.let_expire(clinic.session)
    clinic.come_back()
    assert clinic.attempt.status == "expired"
    assert "Try again" in clinic.page()
