"""The whole flow as a patient lives it, in a real browser.

Each test has a place of its own: where a patient is connected, there is no start button.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.pages import FACILITY, OUTCOME, decide, find_by_typing, go_to_portal


@pytest.fixture
def patient_page(open_page):
    return open_page("sam")


def test_patient_who_approves_is_connected(patient_page):
    go_to_portal(patient_page)
    decide(patient_page, "Sign in and approve")
    expect(patient_page.get_by_role("heading", name="You are connected")).to_be_visible()
    expect(patient_page).to_have_title(re.compile("^You are connected . Riverbend Clinic$"))
    expect(patient_page).to_have_url(OUTCOME)


def test_patient_who_is_connected_may_connect_again(patient_page):
    go_to_portal(patient_page, "Meadowlark Hospital")
    decide(patient_page, "Sign in and approve")
    patient_page.goto("/records/search/?q=meadowlark")
    place = patient_page.get_by_role("listitem").filter(has_text="Meadowlark Hospital")
    expect(place).to_contain_text("You are connected")
    expect(place.get_by_role("button")).to_have_count(0)
    place.get_by_text("Connect again?").click()
    place.get_by_role("button", name="Connect again").click()
    decide(patient_page, "Cancel")
    expect(patient_page.get_by_role("main")).to_contain_text("Nothing has changed")


def test_patient_who_cancels_is_told_so(patient_page):
    go_to_portal(patient_page, "Whitewillow Hospital")
    decide(patient_page, "Cancel")
    stopped = patient_page.get_by_role("heading", name="You stopped before you were connected")
    expect(stopped).to_be_visible()
    shown = patient_page.content()
    assert "user_denied" not in shown
    assert "The user denied" not in shown


def test_patient_who_tries_again_after_cancelling_is_connected(patient_page):
    go_to_portal(patient_page, "Stonecrop Medical Center")
    decide(patient_page, "Cancel")
    patient_page.get_by_role("button", name="Try again").click()
    expect(patient_page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(patient_page.get_by_text("Stonecrop Medical Center").first).to_be_visible()
    decide(patient_page, "Sign in and approve")
    expect(patient_page.get_by_role("heading", name="You are connected")).to_be_visible()


def test_patient_who_connected_sees_it_in_the_account(patient_page):
    go_to_portal(patient_page, "Kestrel Health Northport")
    decide(patient_page, "Sign in and approve")
    patient_page.goto("/account/")
    latest = patient_page.get_by_role("listitem").first
    expect(latest).to_contain_text("Kestrel Health Northport")
    expect(latest).to_contain_text("Connected")


def test_patient_who_presses_twice_starts_one_session(patient_page):
    starts = []
    patient_page.on(
        "request", lambda request: starts.append(request) if "/start/" in request.url else None
    )
    find_by_typing(patient_page, "Foxglove Hospital")
    patient_page.get_by_role("button", name="Foxglove Hospital").dblclick()
    expect(patient_page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert len(starts) == 1


def test_patient_with_the_back_button_can_choose_again(patient_page):
    go_to_portal(patient_page, "Foxglove Hospital")
    patient_page.go_back()
    patient_page.get_by_role("button", name="Foxglove Hospital").click()
    expect(patient_page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_patient_who_shows_more_keeps_what_was_shown(patient_page):
    patient_page.goto("/records/search/")
    patient_page.get_by_role("searchbox").fill("clinic")
    more = patient_page.get_by_role("link", name="Show more")
    expect(more).to_be_visible()
    places = patient_page.locator("[data-medblocks-list] > li")
    expect(places).to_have_count(20)
    more.click()
    expect(places.nth(20)).to_be_visible()
    expect(places.nth(20).get_by_role("button")).to_be_focused()


def test_patient_who_mistypes_finds_the_place(patient_page):
    patient_page.goto("/records/search/")
    patient_page.get_by_role("searchbox").press_sequentially("rivrside genral", delay=20)
    first = patient_page.locator("[data-medblocks-list] > li").first
    expect(first).to_contain_text(FACILITY)


def test_patient_who_finds_nothing_is_told_so(patient_page):
    patient_page.goto("/records/search/")
    patient_page.get_by_role("searchbox").fill("qqqq")
    expect(patient_page.get_by_text("We found nothing for “qqqq”.").first).to_be_visible()


def test_patient_who_is_not_signed_in_logs_in_first(open_page):
    page = open_page()
    page.goto("/")
    page.get_by_role("link", name="Connect your hospital").click()
    page.get_by_label("User name").fill("sam")
    page.get_by_label("Password").fill("riverbend")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("searchbox")).to_be_visible()


def test_patient_without_scripts_is_connected(open_page):
    page = open_page("sam", java_script_enabled=False)
    page.goto("/records/search/")
    page.get_by_role("searchbox").fill("redfern")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("button", name="Redfern Regional Hospital").click()
    decide(page, "Sign in and approve")
    expect(page.get_by_role("heading", name="You are connected")).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/account/", "/records/search/?q=consortium"])
def test_patient_on_a_narrow_phone_scrolls_nothing_sideways(open_page, path):
    page = open_page("sam", viewport={"width": 320, "height": 640})
    page.goto(path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
