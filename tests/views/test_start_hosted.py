"""The way over Medblocks' own page, over real HTTP with the sandbox."""

from __future__ import annotations

from urllib.parse import urlencode

import pytest
from django.core.management import call_command

from medblocks_connect.models import Facility
from medblocks_connect.sandbox.models import SandboxSession

pytestmark = pytest.mark.django_db(transaction=True)

RIVERSIDE = "fhirsrc_riverside_general"


@pytest.fixture
def hosted_site(site, settings):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "HOSTED_FALLBACK": True}
    call_command("medblocks_sync_facilities", pause=0, verbosity=0)
    return site


def start_hosted(site, *shown):
    return site.post("/records/start/elsewhere/", {"shown": list(shown)}, allow_redirects=False)


def test_sync_from_the_sandbox_finds_what_is_misspelt(hosted_site):
    page = hosted_site.get("/records/search/", params={"q": "rivrside genral"}).text
    places = page[page.index("data-medblocks-list") :]
    first = places[: places.index("</li>")]
    assert "<bdi><mark>Riverside</mark> <mark>General</mark>" in first


def test_hosted_page_is_led_to_with_what_was_shown(hosted_site):
    known = list(Facility.objects.values_list("connection_id", flat=True)[:25])
    response = start_hosted(hosted_site, "fhirsrc_invented", "../x", *known)
    assert response.status_code == 303
    session = SandboxSession.objects.get()
    assert session.recommended_connection_ids == known[-20:]
    assert not session.connection_id


def test_facility_connected_there_goes_on_the_row(hosted_site, get_attempt):
    portal = start_hosted(hosted_site, RIVERSIDE).headers["Location"]
    assert "Recommended" in hosted_site.get_absolute(portal).text
    chosen = {"facility": RIVERSIDE}
    hosted_site.get_absolute(f"{portal}?{urlencode(chosen)}")
    hosted_site.post(f"{portal}/sign-in", chosen)
    decided = {**chosen, "choice": "approve"}
    assert "So far" in hosted_site.post(f"{portal}/decision", decided).text
    back = hosted_site.post(f"{portal}/done", {}, allow_redirects=False)
    outcome = hosted_site.get_absolute(back.headers["Location"])
    attempt = get_attempt()
    assert "success" not in back.headers["Location"]
    assert (attempt.status, attempt.connection_id) == ("succeeded", RIVERSIDE)
    assert attempt.connection_name == "Riverside General"
    assert "You are connected" in outcome.text


def test_leaving_the_hosted_page_is_no_connection(hosted_site, get_attempt):
    portal = start_hosted(hosted_site).headers["Location"]
    hosted_site.get_absolute(portal)
    back = hosted_site.post(f"{portal}/done", {}, allow_redirects=False)
    hosted_site.get_absolute(back.headers["Location"])
    attempt = get_attempt()
    assert (attempt.status, attempt.error, attempt.connection_id) == (
        "failed",
        "not_connected",
        "",
    )
