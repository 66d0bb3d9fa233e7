"""A clerk's questions, answered within a minute in the admin of the running demo."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import decide, go_to_portal

ATTEMPTS = "/admin/medblocks_connect/patientconnectionattempt/"
STORY = ".medblocks-story"
LEFT_TO_SCROLL = """[...document.querySelectorAll(".results, .medblocks-scroll")]
    .filter((each) => each.checkVisibility() && each.scrollWidth > each.clientWidth)
    .map((each) => each.innerText)"""


@pytest.fixture
def clerk(open_page) -> Page:
    page = open_page("staff")
    page.goto("/admin/medblocks_connect/")
    return page


def _tab(page: Page, name: str) -> None:
    link = page.get_by_role("navigation", name="Medblocks connections").get_by_role(
        "link", name=name
    )
    link.click()
    expect(link).to_have_attribute("aria-current", "page")
    page.wait_for_load_state()


def test_clerk_finds_a_patients_last_failure_and_its_reason(clerk):
    _tab(clerk, "Patients")
    clerk.get_by_role("textbox", name="Search").fill("RB-0004")
    clerk.get_by_role("button", name="Search").click()
    clerk.get_by_role("link", name="RB-0004").click()
    history = clerk.get_by_role("region", name="Every attempt")
    failed = history.get_by_role("row").filter(has_text="Failed").first
    expect(failed).to_contain_text("access_denied")
    failed.get_by_role("link").first.click()
    story = clerk.locator(STORY)
    expect(story).to_contain_text("Refused by the portal of Kestrel Health Northport")
    expect(story).to_contain_text("Ask whether they pressed “deny”")


def test_clerk_finds_what_failed_today_at_one_facility(open_page, clerk):
    patient = open_page("pat")
    go_to_portal(patient, "Kestrel Health Northport")
    decide(patient, "Cancel")
    _tab(clerk, "Attempts")
    clerk.get_by_role("textbox", name="Search").fill("kestrel")
    clerk.get_by_role("button", name="Search").click()
    filters = clerk.locator("#changelist-filter")
    filters.get_by_role("link", name="Failed", exact=True).click()
    rows = clerk.locator("#result_list tbody tr")
    expect(rows).to_have_count(3)
    filters.get_by_role("link", name="Today").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("user_denied")
    expect(rows).to_contain_text("Kestrel Health Northport")


def test_clerk_chooses_the_days_by_hand(clerk):
    clerk.goto(ATTEMPTS)
    clerk.get_by_label("until").fill("2001-01-01")
    clerk.get_by_role("button", name="Show").click()
    expect(clerk.locator("#result_list tbody tr")).to_have_count(0)
    expect(clerk.get_by_label("until")).to_have_value("2001-01-01")


def test_clerk_sees_why_a_claim_was_not_believed(clerk):
    clerk.goto(ATTEMPTS)
    clerk.locator("#changelist-filter").get_by_role("link", name="Claim and fact disagree").click()
    clerk.locator("#result_list tbody th a").first.click()
    story = clerk.locator(STORY)
    expect(story).to_contain_text("Connected to Granite Pass Medical Center")
    expect(story).to_contain_text("the return URL said that it failed, but Medblocks is believed")
    rows = clerk.get_by_role("region", name="Timeline").get_by_role("row")
    claim = rows.filter(has_text="Return URL")
    expect(claim).to_contain_text("said to have failed")
    expect(claim).to_contain_text("oauth_callback_failed")
    fact = rows.filter(has_text="Medblocks, asked").filter(has_text="Connected")
    expect(fact).to_have_count(1)


def test_clerk_sees_that_a_claim_waits_for_medblocks(clerk):
    clerk.goto(ATTEMPTS)
    clerk.locator("#changelist-filter").get_by_role("link", name="Claimed, not confirmed").click()
    clerk.locator("#result_list tbody th a").first.click()
    story = clerk.locator(STORY)
    expect(story).to_contain_text("not confirmed yet")
    expect(story).to_contain_text("Medblocks: it has yet to say what came of it")
    timeline = clerk.get_by_role("region", name="Timeline")
    expect(timeline).to_contain_text("Patient came back: said to be connected")


def test_clerk_sees_which_facility_fails(clerk):
    _tab(clerk, "Overview")
    expect(clerk.get_by_role("img", name=re.compile("Attempts per day"))).to_be_visible()
    failing = clerk.get_by_role("region", name="The facilities that fail most")
    expect(failing.get_by_role("row").nth(1)).to_contain_text("Kestrel Health Northport")


def test_clerk_finds_who_should_connect_again(clerk):
    _tab(clerk, "Reconnect queue")
    row = clerk.locator("#result_list tbody tr").filter(has_text="Foxglove Hospital")
    expect(row).to_contain_text("The portal no longer renews the access.")
    expect(row).to_contain_text("/records/attempts/")


def test_clerk_copies_a_request_id(clerk):
    clerk.context.grant_permissions(["clipboard-read", "clipboard-write"])
    clerk.goto(ATTEMPTS)
    button = clerk.locator("#result_list").get_by_role("button", name="Copy").first
    wanted = button.get_attribute("data-medblocks-copy")
    button.click()
    expect(clerk.locator("#result_list").get_by_role("button", name="Copied")).to_be_visible()
    assert clerk.evaluate("navigator.clipboard.readText()") == wanted


@pytest.mark.parametrize("width", [320, 390, 768, 1024, 1280])
def test_no_list_scrolls_sideways(clerk, width):
    # The staff of the demo have every permission: each button is there.
    clerk.set_viewport_size({"width": width, "height": 844})
    for tab in ("Attempts", "Patients", "Reconnect queue", "Overview", "Webhook deliveries"):
        _tab(clerk, tab)
        assert clerk.evaluate("document.documentElement.scrollWidth") <= width, tab
        assert clerk.evaluate(LEFT_TO_SCROLL) == [], tab


def test_the_export_leaves_the_list_its_room(clerk):
    clerk.set_viewport_size({"width": 1280, "height": 844})
    _tab(clerk, "Attempts")
    button = clerk.get_by_role("button", name="Export this list").bounding_box()
    results = clerk.locator("#changelist").bounding_box()
    assert button["y"] + button["height"] <= results["y"]
