"""Cases 24, 25, 28 and 46: returns and sessions with odd texts, columns, statuses and times."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from django.test import Client
from django.utils import timezone

from medblocks_connect.attempts.reconcile import reconcile_attempts
from medblocks_connect.models import AttemptEvent, PatientConnectionAttempt
from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.serializers import serialize_datetime
from tests.faults.clinic import RETURN, RIVERSIDE, SESSION, everything
from tests.faults.events import completed


@pytest.mark.parametrize("letter", ["a", "\u00e9 ", "\U0001f3e5"], ids=["plain", "accent", "emoji"])
def test_long_description_case_24_passes_through_the_login(clinic, user, letter):
    """No server, and not Django itself, refuses the way through the login."""
    clinic.started()
    flows.cancel(clinic.session)
    stranger = Client()
    description = quote(letter * 2000)
    answered = clinic.come_back(stranger, success="false", error="x", error_description=description)
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
def test_description_that_is_no_text_is_a_failure(clinic, written):
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
def test_malformed_return_is_400_and_changes_nothing(clinic, query):
    attempt = clinic.started()
    before = everything(attempt)
    answered = clinic.client.get(f"{RETURN}?{query.format(attempt.patient_session_id)}")
    assert answered.status_code == 400
    assert attempt.patient_session_id not in answered.content.decode()
    assert everything(attempt) == before


def connections(*rows: tuple[str, str, str | None]):
    """Return what makes a session have these connections: facility, status, id."""

    def change(session):
        listed = [
            {"connection_id": facility, "status": status, "id": connection_id, "failure_at": None}
            for facility, status, connection_id in rows
        ]
        return {**session, "status": "complete", "connections": listed}

    return change


@pytest.mark.parametrize(
    "expires_at",
    [
        pytest.param(lambda: hours_from_now(1), id="case-28-in-time"),
        pytest.param(lambda: hours_from_now(-1), id="case-28-past-its-end"),
    ],
)
def test_unknown_status_is_kept_and_checked(clinic, expires_at):
    """Kept as it came: no success, and no "never finished", as the patient did finish."""
    clinic.started()
    flows.approve(clinic.session)
    change = connections((RIVERSIDE, "dormant", "conn_1"))
    ends = {"expires_at": expires_at()}
    clinic.medblocks.change("GET", SESSION, lambda session: change(session) | ends)
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
def test_value_longer_than_its_column_is_answered_and_checked(clinic, connection, expected):
    """Neither an error nor in the way of whoever comes after it."""
    clinic.started()
    clinic.medblocks.change("GET", SESSION, connections(connection))
    assert clinic.come_back().status_code == 303
    assert clinic.attempt.status == expected
    payload = completed(clinic.session)
    payload["data"]["object"] = connections(connection)(payload["data"]["object"])
    assert clinic.send(payload).status_code == 200
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
def test_connection_of_another_facility_decides_nothing(clinic, ours, expected):
    clinic.started()
    flows.approve(clinic.session)
    listed = [("fhirsrc_elsewhere", "active", "conn_2")]
    if ours:
        listed.append((RIVERSIDE, ours, "conn_1"))
    clinic.medblocks.change("GET", SESSION, connections(*listed))
    clinic.come_back()
    assert clinic.attempt.status == expected
    assert clinic.attempt.patient_connection_id != "conn_2"


def hours_from_now(hours: float) -> str:
    return serialize_datetime(timezone.now() + timedelta(hours=hours))


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
def test_session_expires_at_decides_the_status(clinic, expires_at, expected):
    for start in ("/patient-sessions", SESSION):
        method = "POST" if start == "/patient-sessions" else "GET"
        clinic.medblocks.change(
            method, start, lambda session: {**session, "expires_at": expires_at()}
        )
    clinic.started()
    PatientConnectionAttempt.objects.update(created_at=timezone.now() - timedelta(minutes=1))
    reconcile_attempts(limit=5)
    assert clinic.attempt.status == expected


@pytest.mark.parametrize(
    "moment", ["never", None, 7, "2026-02-30T00:00:00Z", "2026-11-01T10:00:00"]
)
def test_failure_case_46_at_an_odd_time_is_a_failure(clinic, moment):
    clinic.started()
    flows.fail(clinic.session, "oauth_error")

    def change(session):
        session["connections"][0] |= {"failure_at": moment, "created_at": moment}
        return {**session, "created_at": moment}

    clinic.medblocks.change("GET", SESSION, change)
    clinic.come_back()
    assert (clinic.attempt.status, clinic.attempt.error) == ("failed", "oauth_error")
    assert AttemptEvent.objects.filter(kind="failed").count() == 1
