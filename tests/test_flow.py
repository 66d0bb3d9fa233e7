"""The whole journey over real HTTP: our site on one side, the sandbox on the other."""

from __future__ import annotations

import pytest

from medblocks_connect.attempts.webhook_deliveries import receive_delivery
from medblocks_connect.attempts.webhook_events import read_delivery
from medblocks_connect.erasure import erase_patient, repeat_erasures
from medblocks_connect.models import PatientConnectionAttempt, WebhookDelivery
from medblocks_connect.sandbox.models import SandboxEvent, SandboxPatient
from medblocks_connect.sandbox.webhook_sender import event_body

pytestmark = pytest.mark.django_db(transaction=True)

RIVERSIDE = "fhirsrc_riverside_general"


def come_back(site, choice, facility=RIVERSIDE):
    """Start, decide at the portal, and follow the way back to its end."""
    portal = site.start(facility)
    assert portal.status_code == 303
    back = site.decide(portal.headers["Location"], choice)
    return site.get_absolute(back.headers["Location"])


def timeline(attempt):
    return [(event.source, event.kind, event.status) for event in attempt.events.all()]


def test_flow_approve_connects(site, get_attempt):
    outcome = come_back(site, "approve")
    attempt = get_attempt()
    assert (attempt.status, attempt.unconfirmed, attempt.error) == ("succeeded", False, "")
    assert "You are connected" in outcome.text
    assert attempt.request_id


def test_flow_approve_records_every_step(site, get_attempt):
    come_back(site, "approve")
    assert timeline(get_attempt()) == [
        ("site", "created", "created"),
        ("medblocks", "started", "started"),
        ("return", "claimed_success", "returned"),
        ("medblocks", "connected", "succeeded"),
    ]


def test_flow_row_has_the_catalogs_name_and_type(site, get_attempt):
    come_back(site, "approve")
    attempt = get_attempt()
    assert (attempt.connection_name, attempt.connection_type) == ("Riverside General", "epic")


@pytest.mark.parametrize(
    ("choice", "code", "words"),
    [
        ("cancel", "user_denied", "You stopped before you were connected"),
        ("portal_error", "oauth_error", "The portal had a problem"),
        ("token_exchange_failed", "token_exchange_failed", "The last step did not work"),
    ],
)
def test_flow_failure_shows_its_text(site, get_attempt, choice, code, words):
    outcome = come_back(site, choice)
    attempt = get_attempt()
    assert (attempt.status, attempt.error, attempt.unconfirmed) == ("failed", code, False)
    assert attempt.error_description
    assert words.replace("'", "&#x27;") in outcome.text
    assert attempt.error_description not in outcome.text
    assert code not in outcome.text


def test_flow_return_redirects_to_a_clean_address(site, get_attempt):
    outcome = come_back(site, "approve")
    assert outcome.url == f"{site.url}/records/attempts/{get_attempt().public_id}/"
    assert outcome.headers["Referrer-Policy"] == "no-referrer"
    assert "no-store" in outcome.headers["Cache-Control"]
    assert [each.status_code for each in outcome.history] == [303]


def test_flow_reload_of_the_return_records_nothing_twice(site, get_attempt):
    portal = site.start(RIVERSIDE)
    back = site.decide(portal.headers["Location"], "approve").headers["Location"]
    pages = [site.get_absolute(back) for _ in range(3)]
    assert len({page.url for page in pages}) == 1
    assert len(timeline(get_attempt())) == 4


def test_flow_stay_away_is_settled_when_the_patient_looks(site, get_attempt):
    portal = site.start(RIVERSIDE)
    site.decide(portal.headers["Location"], "stay_away")
    page = site.get(get_attempt().get_absolute_url())
    assert "You are connected" in page.text
    assert get_attempt().status == "succeeded"


def test_flow_expired_session_offers_a_retry(site, get_attempt):
    portal = site.start(RIVERSIDE)
    site.decide(portal.headers["Location"], "expire")
    page = site.get(get_attempt().get_absolute_url())
    assert get_attempt().status == "expired"
    assert "The time to sign in ran out" in page.text
    assert f'value="{RIVERSIDE}"' in page.text


@pytest.mark.parametrize(
    ("facility", "code"),
    [
        ("fhirsrc_closed_harbor", "resource_not_found"),
        ("fhirsrc_broken_bridge", "oauth_error"),
        ("fhirsrc_faded_stamp", "token_exchange_failed"),
        ("fhirsrc_crooked_mile", "bad_request"),
        ("fhirsrc_nowhere", "resource_not_found"),
    ],
)
def test_flow_refused_start_keeps_the_row_and_leads_to_its_page(site, get_attempt, facility, code):
    answered = site.start(facility)
    attempt = get_attempt()
    assert answered.status_code == 303
    assert answered.headers["Location"] == attempt.get_absolute_url()
    page = site.get(answered.headers["Location"])
    assert page.status_code == 200
    assert (attempt.status, attempt.error) == ("failed", code)
    assert attempt.request_id
    assert attempt.error_description
    assert attempt.error_description not in page.text
    assert "Choose another place" in page.text


def test_flow_start_with_a_facilitys_own_base_url(site, get_attempt):
    outcome = come_back(
        site, "approve", "https://fhir.riverside-general.example/interconnect/api/FHIR/R4"
    )
    assert get_attempt().status == "succeeded"
    assert "Riverside General" in outcome.text


def test_flow_by_json_searches_and_starts(site):
    page = site.get("/records/api/connections/?q=riverside general").json()
    assert set(page) == {"data", "has_more", "next_cursor"}
    assert set(page["data"][0]) == {
        "id",
        "name",
        "type",
        "logo_url",
        "portal_url",
        "is_connected",
    }
    assert page["data"][0]["name"] == "Riverside General"
    token = site.browser.cookies.get("csrftoken")
    started = site.browser.post(
        f"{site.url}/records/api/patient-sessions/",
        json={"connection_id": page["data"][0]["id"]},
        headers={"X-CSRFToken": token},
        timeout=10,
    )
    assert started.status_code == 200
    assert started.json()["url"].startswith(f"{site.url}/medblocks-sandbox/c/")
    assert PatientConnectionAttempt.objects.get().status == "started"


def test_flow_erased_patient_starts_anew(site, get_attempt, user):
    """Medblocks has them no more, nor have we; what they do afterwards is kept as anybody's."""
    come_back(site, "approve")
    late = event_body(SandboxEvent.objects.get(type="patient_session.completed"))
    erase_patient(str(user.pk))
    assert not SandboxPatient.objects.exists()
    assert not PatientConnectionAttempt.objects.exists()
    receive_delivery(read_delivery(late))()
    assert not WebhookDelivery.objects.exists()
    assert "You are connected" in come_back(site, "approve").text
    assert get_attempt().status == "succeeded"
    assert repeat_erasures().rows == 0
    assert get_attempt().status == "succeeded"
