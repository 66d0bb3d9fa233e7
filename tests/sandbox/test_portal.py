"""The portal's pages, as a browser without JavaScript sees them."""

import re

import pytest
from django.test import Client

from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.models import SandboxConnection, SandboxEvent, SandboxSession
from medblocks_connect.sandbox.portal import (
    APPROVE,
    CANCEL,
    CHOICES,
    FAULTS,
    return_url_with_outcome,
)
from tests.sandbox.conftest import BASE, LANTERN, RETURN_URL, RIVERSIDE

pytestmark = pytest.mark.django_db

KESTREL = "fhirsrc_kestrel_health_northport"
BANNER = "This is a make-believe patient portal for testing."


def portal(session, page=""):
    return f"{BASE}/c/{session.token}{page}"


def decide(client, session, choice, facility=RIVERSIDE):
    form = {"choice": choice, "facility": facility}
    return client.post(portal(session, "/decision"), form)


def stored(session):
    return SandboxSession.objects.get(pk=session.pk)


def test_index_states_limits_first(client):
    text = client.get(f"{BASE}/").content.decode()
    assert text.index("What it does not do") < text.index("What it does</h2>")
    assert "http://testserver/make-believe</code>" in text


def test_sign_in_page_names_facility(client, session):
    response = client.get(session.url)
    text = response.content.decode()
    assert response.status_code == 200
    assert "Riverside General" in text
    assert 'value="pat.example"' in text


def test_sign_in_leads_to_consent(client, session):
    response = client.post(portal(session, "/sign-in"), {"username": "a", "password": "b"})
    assert response.status_code == 303
    assert response.url == portal(session, "/consent")


def test_sign_in_keeps_no_password(client, session):
    response = client.post(
        portal(session, "/sign-in"), {"username": "secret-user", "password": "secret-word"}
    )
    assert "secret" not in response.url
    assert "secret" not in client.get(response.url).content.decode()


def test_consent_page_offers_every_choice(client, session):
    text = client.get(portal(session, "/consent")).content.decode()
    assert "<strong>clinic.example</strong> wants to read your records" in text
    assert re.findall(r'name="choice" value="(\w+)"', text) == [
        "approve", "cancel", "portal_error", "token_exchange_failed", "access_denied",
        "stay_away", "expire",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("choice", "status", "code", "query"),
    [
        ("approve", "active", "", f"&success=true&connection_id={RIVERSIDE}"),
        ("cancel", "failed", "user_denied", "&success=false&error=user_denied&"),
        ("portal_error", "failed", "oauth_error", "&success=false&error=oauth_error&"),
        ("access_denied", "failed", "access_denied", "&success=false&error=access_denied&"),
        (
            "token_exchange_failed",
            "failed",
            "token_exchange_failed",
            "&success=false&error=token_exchange_failed&",
        ),
    ],
)
def test_choice_sends_back_with_outcome(client, session, choice, status, code, query):
    response = decide(client, session, choice)
    connection = SandboxConnection.objects.get()
    assert response.status_code == 302
    assert response.url.startswith(f"{RETURN_URL}?patient_id=pat-1&patient_session_id=ps_")
    assert query in response.url
    assert (connection.status, connection.failure_code) == (status, code)


def test_choice_stay_away_approves_and_stays(client, session):
    response = decide(client, session, "stay_away")
    assert response.status_code == 200
    assert "You may close this tab" in response.content.decode()
    assert SandboxConnection.objects.get().status == "active"


def test_choice_expire_shows_expired_link(client, session):
    response = decide(client, session, "expire")
    assert response.status_code == 410
    assert "This link has expired" in response.content.decode()
    assert stored(session).completed_at is None


@pytest.mark.parametrize("choice", ["", "approved", "__class__"])
def test_choice_unknown_is_refused(client, session, choice):
    response = decide(client, session, choice)
    assert response.status_code == 400
    assert BANNER in response.content.decode()
    assert stored(session).completed_at is None


def test_second_click_leads_where_first_did(client, session):
    first = decide(client, session, "cancel")
    second = decide(client, session, "approve")
    assert (second.status_code, second.url) == (302, first.url)
    assert SandboxConnection.objects.get().status == "failed"


def test_second_click_on_stay_away_stays(client, session):
    decide(client, session, "stay_away")
    assert decide(client, session, "stay_away").status_code == 410


def test_click_after_expiry_changes_nothing(client, session):
    flows.let_expire(session)
    for response in (decide(client, session, "approve"), client.post(portal(session, "/done"))):
        assert response.status_code == 410
    assert not SandboxConnection.objects.exists()


@pytest.mark.parametrize("page", ["", "/consent"])
@pytest.mark.parametrize(
    ("action", "text"),
    [(flows.approve, "This link has been used"), (flows.let_expire, "This link has expired")],
)
def test_page_of_closed_session_says_so(client, session, page, action, text):
    action(session)
    response = client.get(portal(session, page))
    assert response.status_code == 410
    assert text in response.content.decode()


def test_choices_have_names_of_their_own():
    assert list(CHOICES) == [choice.name for choice in (APPROVE, CANCEL, *FAULTS)]


def test_choices_have_error_codes_of_their_own():
    codes = [choice.error for choice in CHOICES.values() if choice.error]
    assert len(codes) == len(set(codes))


def test_return_url_after_approval(session):
    flows.approve(session)
    assert return_url_with_outcome(session) == (
        f"{RETURN_URL}?patient_id=pat-1&patient_session_id={session.session_id}"
        f"&success=true&connection_id={RIVERSIDE}"
    )


def test_return_url_after_failure_carries_code_and_description(session):
    flows.fail(session, "token_exchange_failed")
    assert return_url_with_outcome(session) == (
        f"{RETURN_URL}?patient_id=pat-1&patient_session_id={session.session_id}&success=false"
        "&error=token_exchange_failed"
        "&error_description=Token+endpoint+responded+with+status+400%3A+invalid_grant"
    )


def test_return_url_after_unknown_failure_code_has_description(session):
    flows.fail(session, "moon_phase")
    assert "error=moon_phase&error_description=" in return_url_with_outcome(session)


def test_return_url_with_query_keeps_it(caller):
    session = caller.start(return_url="https://clinic.example/return/?tab=1#top")
    flows.approve(session)
    url = return_url_with_outcome(session)
    assert url.startswith("https://clinic.example/return/?tab=1&patient_id=pat-1&")
    assert url.endswith("#top")


@pytest.mark.parametrize(
    ("return_url", "begins"),
    [
        ("clinic://return", "clinic://return?patient_id="),
        ("org.clinic.app:/return?a=b", "org.clinic.app:/return?a=b&patient_id="),
    ],
)
def test_choice_sends_back_to_an_apps_own_scheme(client, caller, return_url, begins):
    response = decide(client, caller.start(return_url=return_url), "approve")
    assert response.status_code == 302
    assert response.url.startswith(begins)


def test_return_url_with_fragment_keeps_it_at_the_end(caller):
    url = return_url_with_outcome(caller.start(return_url="https://clinic.example/#/records"))
    assert url.startswith("https://clinic.example/?patient_id=")
    assert url.endswith("#/records")


def test_return_url_of_hosted_session_carries_only_two_ids(hosted):
    flows.approve(hosted, RIVERSIDE)
    assert return_url_with_outcome(hosted) == (
        f"{RETURN_URL}?patient_id=pat-1&patient_session_id={hosted.session_id}"
    )


def test_foreign_facility_is_ignored_for_session_with_one(client, session):
    decide(client, session, "approve", "fhirsrc_lantern_hill_clinic")
    assert SandboxConnection.objects.get().connection_id == RIVERSIDE


def test_foreign_return_url_is_ignored(client, session):
    form = {"choice": "approve", "return_url": "https://evil.example/", "next": "//evil.example"}
    response = client.post(portal(session, "/decision?next=//evil.example"), form)
    assert response.url.startswith(RETURN_URL)


@pytest.mark.parametrize("path", [f"/c/{'0' * 32}", f"/c/{'0' * 32}/done"])
def test_unknown_link_says_make_believe(client, path):
    response = client.get(BASE + path)
    assert response.status_code in {404, 405}
    assert BANNER in response.content.decode()
    assert response["Referrer-Policy"] == "same-origin"


@pytest.mark.parametrize("page", ["/sign-in", "/decision", "/done"])
def test_post_without_csrf_token_is_refused(session, page):
    client = Client(enforce_csrf_checks=True)
    form = {"choice": "approve", "facility": RIVERSIDE}
    response = client.post(portal(session, page), form)
    assert response.status_code == 403
    assert BANNER in response.content.decode()
    assert stored(session).completed_at is None


@pytest.mark.parametrize("page", ["/sign-in", "/decision", "/done"])
def test_get_changes_nothing(client, session, page):
    response = client.get(portal(session, page), {"choice": "approve"})
    assert (response.status_code, response["Allow"]) == (405, "POST")
    assert BANNER in response.content.decode()
    assert stored(session).completed_at is None


def test_hosted_page_lists_recommended_first(client, caller):
    session = caller.start_hosted(recommended_connection_ids=[RIVERSIDE])
    text = client.get(session.url).content.decode()
    assert text.index("Recommended") < text.index("Riverside General") < text.index("All others")
    assert text.count("Riverside General") == 1


def test_hosted_page_with_query_searches(client, hosted):
    text = client.get(hosted.url, {"q": "señora"}).content.decode()
    assert "Clínica Nuestra Señora del Río" in text
    assert text.count("<li>") == 1


def test_hosted_page_with_unknown_query_finds_nothing(client, hosted):
    text = client.get(hosted.url, {"q": "<b>"}).content.decode()
    assert "Nothing is called “&lt;b&gt;”" in text


def test_hosted_page_goes_from_facility_to_return(client, hosted):
    text = client.get(hosted.url, {"q": "riverside general"}).content.decode()
    (link,) = re.findall(r'href="([^"]+facility=[^"]+)"', text)
    assert 'name="facility" value="fhirsrc_riverside_general"' in client.get(link).content.decode()
    consent = client.post(portal(hosted, "/sign-in"), {"facility": RIVERSIDE}).url
    assert "Riverside General" in client.get(consent).content.decode()
    response = decide(client, hosted, "approve")
    assert (response.status_code, response.url) == (303, portal(hosted))
    assert SandboxConnection.objects.get().connection_id == RIVERSIDE
    assert stored(hosted).completed_at is None
    response = client.post(portal(hosted, "/done"))
    assert response.url == (f"{RETURN_URL}?patient_id=pat-1&patient_session_id={hosted.session_id}")
    assert stored(hosted).completed_at is not None


def test_hosted_page_takes_facility_after_facility_until_done(client, hosted):
    assert "Go back without connecting" in client.get(hosted.url).content.decode()
    for choice, facility in (("cancel", LANTERN), ("approve", RIVERSIDE), ("approve", KESTREL)):
        assert decide(client, hosted, choice, facility).url == portal(hosted)
    text = " ".join(re.sub(r"<[^>]*>", " ", client.get(hosted.url).content.decode()).split())
    assert (
        "So far Lantern Hill Clinic Not connected Riverside General Connected"
        " Kestrel Health Northport Connected Done Add another"
    ) in text
    client.post(portal(hosted, "/done"))
    assert SandboxEvent.objects.get().type == "patient_session.completed"
    statuses = SandboxConnection.objects.order_by("pk").values_list("connection_id", "status")
    assert list(statuses) == [(LANTERN, "failed"), (RIVERSIDE, "active"), (KESTREL, "active")]


def test_hosted_page_left_open_stays_open(client, hosted):
    assert decide(client, hosted, "stay_away").status_code == 200
    assert stored(hosted).completed_at is None


def test_hosted_page_that_expired_takes_nothing_more(client, hosted):
    decide(client, hosted, "approve")
    assert decide(client, hosted, "expire", LANTERN).status_code == 410
    for response in (decide(client, hosted, "approve"), client.post(portal(hosted, "/done"))):
        assert response.status_code == 410
    assert SandboxConnection.objects.get().connection_id == RIVERSIDE


def test_hosted_page_that_is_done_leads_back_at_every_click(client, hosted):
    decide(client, hosted, "approve")
    back = client.post(portal(hosted, "/done")).url
    for response in (
        decide(client, hosted, "approve", LANTERN),
        client.post(portal(hosted, "/done")),
    ):
        assert response.url == back
    assert SandboxConnection.objects.get().connection_id == RIVERSIDE


def test_hosted_consent_without_facility_goes_back(client, hosted):
    assert client.get(portal(hosted, "/consent")).url == portal(hosted)


@pytest.mark.parametrize("page", ["/sign-in", "/decision"])
def test_hosted_page_with_unknown_facility_is_refused(client, hosted, page):
    form = {"choice": "approve", "facility": "fhirsrc_nowhere"}
    response = client.post(portal(hosted, page), form)
    assert response.status_code == 400
    assert BANNER in response.content.decode()


def test_hosted_page_left_without_facility_completes_session(client, caller):
    session = caller.start_hosted(return_button_label="Back to Riverbend")
    assert "Back to Riverbend" in client.get(session.url).content.decode()
    response = client.post(portal(session, "/done"))
    assert response.url.endswith(f"?patient_id=pat-1&patient_session_id={session.session_id}")
    assert stored(session).completed_at is not None


def test_every_page_is_marked_and_needs_no_script(client, session, hosted, caller):
    over, away, chosen = caller.start(), caller.start(), caller.start_hosted()
    flows.approve(chosen, RIVERSIDE)
    flows.let_expire(over)
    pages = [
        client.get(f"{BASE}/"),
        client.get(session.url),
        client.get(portal(session, "/consent")),
        client.get(hosted.url),
        client.get(over.url),
        decide(client, away, "stay_away"),
        client.get(chosen.url),
    ]
    for response in pages:
        text = response.content.decode()
        assert BANNER in text
        assert '<html lang="en">' in text
        assert text.count("<h1>") == 1
        # What a Content-Security-Policy of default-src 'self' would block.
        assert not re.search(
            r"<script|<style|\sstyle=|\son\w+=|javascript:|(src|href)=\"http", text
        )
        assert "no-store" in response["Cache-Control"]
        assert response["Referrer-Policy"] == "same-origin"


def test_page_escapes_button_label(client, caller):
    session = caller.start_hosted(return_button_label="<b>Back</b>")
    assert "&lt;b&gt;Back&lt;/b&gt;" in client.get(session.url).content.decode()
