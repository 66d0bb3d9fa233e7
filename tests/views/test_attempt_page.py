"""The return from the portal and the attempt's page: what they change, and what they say."""

from __future__ import annotations

from datetime import timedelta

import pytest
import requests
from django.db import OperationalError, connection
from django.utils import timezone

from medblocks_connect.models import PatientConnectionAttempt
from tests.attempts.conftest import (
    BASE_URL,
    FACILITY,
    connection_json,
    session_json,
)

pytestmark = pytest.mark.django_db

SEARCH = "/records/search/"
START = "/records/start/"
RETURN = "/records/return/"
JSON_CONNECTIONS = "/records/api/connections/"
JSON_SESSIONS = "/records/api/patient-sessions/"


def snapshot(attempt):
    """Return what a return may not change; that another patient came is noted beside it."""
    attempt.refresh_from_db()
    events = attempt.events.exclude(kind="another_patient").count()
    return attempt.status, attempt.error, attempt.unconfirmed, events


def test_return_without_a_patient_leaves_the_patient_id_out_of_the_address(client):
    response = client.get(f"{RETURN}?patient_id=p-77&patient_session_id=ps_1&success=true")
    assert "ps_1" in response["Location"]
    assert "p-77" not in response["Location"]


@pytest.mark.parametrize("public_id", ["theirs", "nobodys"])
def test_attempt_of_somebody_else_is_404_like_one_that_is_not(browser, other_user, public_id):
    theirs = PatientConnectionAttempt.objects.create(
        patient_id=str(other_user.pk), connection_id=FACILITY
    )
    name = theirs.public_id if public_id == "theirs" else "A" * 32
    response = browser.get(f"/records/attempts/{name}/")
    assert response.status_code == 404
    assert theirs.public_id.encode() not in response.content or public_id == "theirs"


@pytest.mark.parametrize("who", ["nobody", "somebody else"])
def test_return_case_18_forged_success_changes_nothing(client, attempt, other_user, who):
    if who == "somebody else":
        client.force_login(other_user)
    before = snapshot(attempt)
    response = client.get(
        f"{RETURN}?patient_id={attempt.patient_id}&patient_session_id=ps_1&success=true"
    )
    assert response.status_code == (302 if who == "nobody" else 404)
    assert snapshot(attempt) == before


def test_return_case_18_forged_success_connects_nobody(browser, attempt, answer):
    answer(status="open")
    page = browser.get(f"{RETURN}?patient_session_id=ps_1&success=true", follow=True)
    assert "Checking your connection" in page.text
    assert snapshot(attempt)[0] == "returned"


@pytest.mark.parametrize("settled", ["failed", "expired", "succeeded"])
def test_return_forged_success_leaves_an_outcome_alone(browser, attempt, answer, settled):
    PatientConnectionAttempt.objects.update(status=settled)
    answer(status="open")
    browser.get(f"{RETURN}?patient_session_id=ps_1&success=true")
    assert snapshot(attempt)[0] == settled


def test_return_somebody_elses_failure_claim_changes_nothing(client, attempt, other_user):
    client.force_login(other_user)
    before = snapshot(attempt)
    client.get(f"{RETURN}?patient_session_id=ps_1&success=false&error=user_denied")
    assert snapshot(attempt) == before


def test_return_claimed_failure_is_told_at_once_where_medblocks_says_no_more(
    browser, attempt, answer
):
    answer(status="expired")
    url = f"{RETURN}?patient_session_id=ps_1&success=false&error=user_denied"
    page = browser.get(f"{url}&error_description=They+said+no", follow=True)
    assert "You stopped before you were connected" in page.text
    assert "They said no" not in page.text
    assert snapshot(attempt)[:3] == ("failed", "user_denied", True)


def test_return_case_22_claimed_failure_waits_for_medblocks(browser, attempt, medblocks):
    medblocks.get(f"{BASE_URL}/patient-sessions/ps_1", body=requests.ConnectTimeout())
    page = browser.get(f"{RETURN}?patient_session_id=ps_1&success=false&error=x", follow=True)
    assert "Checking your connection" in page.text
    assert snapshot(attempt)[:3] == ("failed", "x", True)


def test_return_case_20_denied_yet_active_is_connected(browser, attempt, answer):
    answer(status="complete", connections=[connection_json()])
    url = f"{RETURN}?patient_session_id=ps_1&success=false&error=user_denied"
    assert "You are connected" in browser.get(url, follow=True).text
    attempt.refresh_from_db()
    assert attempt.claim_disagrees


def test_return_case_20_success_yet_failed_is_failed(browser, attempt, answer):
    failed = connection_json("failed", failure_code="oauth_error")
    answer(status="complete", connections=[failed])
    page = browser.get(f"{RETURN}?patient_session_id=ps_1&success=true", follow=True)
    assert "portal had a problem" in page.text
    assert snapshot(attempt)[:3] == ("failed", "oauth_error", False)


def test_return_case_21_hosted_page_is_settled_by_medblocks_alone(browser, attempt, answer):
    answer(status="complete", connections=[connection_json()])
    page = browser.get(f"{RETURN}?patient_id={attempt.patient_id}&patient_session_id=ps_1")
    assert page.status_code == 303
    assert snapshot(attempt)[0] == "succeeded"


def test_return_of_another_patients_session_settles_nothing(browser, attempt, medblocks):
    medblocks.get(
        f"{BASE_URL}/patient-sessions/ps_1",
        json=session_json(patient_id="other", connections=[connection_json()]),
    )
    browser.get(f"{RETURN}?patient_session_id=ps_1&success=true")
    assert snapshot(attempt)[0] == "returned"


@pytest.mark.parametrize(
    "query",
    [
        "patient_session_id=ps_1&success=true&success=false",
        "patient_session_id=ps_1&patient_session_id=ps_1",
        "patient_session_id=",
        "",
        "patient_session_id=" + "x" * 10_000,
        "patient_session_id=ps_1&success=maybe",
        "patient_session_id=ps_%001&success=true",
    ],
    ids=["success-twice", "session-twice", "empty", "none", "10-KB", "maybe", "nul"],
)
def test_return_case_25_malformed_is_400(browser, query):
    assert browser.get(f"{RETURN}?{query}").status_code == 400


@pytest.mark.parametrize(
    "extra",
    [
        {"REQUEST_METHOD": "HEAD"},
        {"HTTP_SEC_PURPOSE": "prefetch;prerender"},
        {"HTTP_PURPOSE": "prefetch"},
        {"HTTP_X_PURPOSE": "preview"},
    ],
    ids=["head", "sec-purpose", "purpose", "preview"],
)
def test_return_case_27_prefetch_or_head_changes_nothing(browser, attempt, extra):
    before = snapshot(attempt)
    response = browser.get(f"{RETURN}?patient_session_id=ps_1&success=true", **extra)
    assert response.status_code == 204
    assert snapshot(attempt) == before


@pytest.mark.parametrize(
    "url", [RETURN + "?patient_session_id=ps_1", RETURN + "?patient_session_id="]
)
def test_return_is_kept_private(browser, attempt, answer, url):
    answer(status="open")
    response = browser.get(url)
    assert response["Referrer-Policy"] == "no-referrer"
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"status": "succeeded"}, "You are connected"),
        ({"status": "succeeded", "lost_at": timezone.now()}, "The connection has ended"),
        ({"status": "expired"}, "The time to sign in ran out"),
        ({"status": "created", "patient_session_id": None}, "We could not reach the portal"),
        ({"status": "failed", "error": "brand_new"}, "It did not work this time"),
    ],
    ids=["connected", "lost", "expired", "not-started", "unknown-code"],
)
def test_attempt_page_by_outcome_says_it(browser, attempt, columns, words):
    PatientConnectionAttempt.objects.update(**columns)
    page = browser.get(attempt.get_absolute_url())
    assert words in page.text
    offers_retry = words not in {"You are connected", "The connection has ended"}
    assert ("Try again" in page.text) == offers_retry


def test_attempt_page_asks_medblocks_at_most_every_few_seconds(
    browser,
    attempt,
    answer,
    medblocks,
):
    answer(status="open")
    for _ in range(3):
        assert "Did you finish at the portal?" in browser.get(attempt.get_absolute_url()).text
    assert len(medblocks.calls) == 1
    PatientConnectionAttempt.objects.update(asked_at=timezone.now() - timedelta(seconds=4))
    browser.get(attempt.get_absolute_url())
    assert len(medblocks.calls) == 2


@pytest.mark.django_db(transaction=True)
def test_attempt_page_with_the_database_locked_is_shown_and_asks_nothing(
    browser, attempt, medblocks
):
    PatientConnectionAttempt.objects.filter(pk=attempt.pk).update(returned_at=timezone.now())

    def refuse_writes(execute, sql, params, many, context):
        if sql.startswith("UPDATE"):
            raise OperationalError("database is locked")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse_writes):
        response = browser.get(attempt.get_absolute_url())
    assert response.status_code == 200
    assert "Checking your connection" in response.content.decode()
    assert len(medblocks.calls) == 0


def test_attempt_page_of_a_settled_attempt_asks_nothing(browser, attempt, medblocks):
    PatientConnectionAttempt.objects.update(status="succeeded")
    browser.get(attempt.get_absolute_url())
    assert len(medblocks.calls) == 0


# Who never left this site.

NOT_STARTED = "We could not reach the portal"


@pytest.mark.parametrize(
    ("columns", "kinds", "words"),
    [
        ({"status": "created", "patient_session_id": None}, ["no_answer"], NOT_STARTED),
        ({"status": "expired", "patient_session_id": None}, ["no_answer"], NOT_STARTED),
        ({"status": "started"}, ["no_answer", "adopted"], NOT_STARTED),
        ({"status": "expired"}, ["no_answer", "adopted"], NOT_STARTED),
        # The session was found again, and somebody was there, however they came.
        (
            {"status": "failed", "error": "oauth_error"},
            ["adopted", "failed"],
            "The portal had a problem",
        ),
        ({"status": "succeeded"}, ["adopted", "connected"], "You are connected"),
        # The answer came late, and with it the way to the portal.
        ({"status": "started"}, ["adopted", "started"], "Did you finish at the portal?"),
        ({"status": "expired"}, ["started"], "The time to sign in ran out"),
    ],
)
def test_attempt_page_fits_who_was_led_away_and_who_was_not(
    browser, attempt, answer, columns, kinds, words
):
    answer(status="open")
    PatientConnectionAttempt.objects.update(**columns)
    for kind in kinds:
        attempt.events.create(source="site", kind=kind, status="created", fingerprint=kind)
    response = browser.get(attempt.get_absolute_url())
    assert words in response.text
    assert "Refresh" not in response
    if words == NOT_STARTED:
        assert "<title>You are not connected</title>" in response.text


def test_attempt_page_of_another_workspace_fits_who_was_never_led_away(browser, attempt):
    PatientConnectionAttempt.objects.update(
        status="created", patient_session_id=None, workspace="another"
    )
    assert NOT_STARTED in browser.get(attempt.get_absolute_url()).text


def test_return_from_another_site_without_a_patient_is_loaded_once_more(client):
    """The browser kept back a cookie with SameSite=Strict: of the next request it does not."""
    url = f"{RETURN}?patient_id=p-77&patient_session_id=ps_1&success=true"
    response = client.get(url, headers={"Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 200
    assert response["Refresh"].startswith(f"0; url={RETURN}?patient_session_id=ps_1&success=true")
    assert "p-77" not in response.text
    assert "no-store" in response["Cache-Control"]


@pytest.mark.parametrize("site", ["same-origin", "same-site", "none"])
def test_return_without_a_patient_that_is_loaded_once_more_leads_to_the_login(client, site):
    response = client.get(f"{RETURN}?patient_session_id=ps_1", headers={"Sec-Fetch-Site": site})
    assert response.status_code == 302
    assert "/login/" in response["Location"]


def test_return_from_another_site_of_a_patient_is_taken_at_once(browser, attempt, answer):
    answer(status="open")
    url = f"{RETURN}?patient_session_id=ps_1&success=true"
    assert browser.get(url, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 303
