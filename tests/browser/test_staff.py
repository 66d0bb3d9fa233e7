"""What staff find in the admin after a patient's attempts, under the site's strict policy."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.pages import FACILITY, decide, go_to_portal

ATTEMPTS = "/admin/medblocks_connect/patientconnectionattempt/"


@pytest.fixture
def staff_page(open_page):
    """The list of attempts, as staff see it."""
    page = open_page("staff")
    page.goto(ATTEMPTS)
    return page


def test_staff_see_what_just_happened(open_page):
    patient = open_page("pat")
    for choice in ("Cancel", "Sign in and approve"):
        go_to_portal(patient)
        decide(patient, choice)
    staff = open_page("staff")
    staff.goto(ATTEMPTS)
    rows = staff.locator("#result_list tbody tr").filter(has_text=FACILITY)
    expect(rows.nth(0)).to_contain_text("Connected")
    expect(rows.nth(1)).to_contain_text("user_denied")
    expect(rows.nth(1)).to_contain_text("The user denied the authorization request.")


def test_staff_open_an_attempt(staff_page):
    row = staff_page.locator("#result_list tbody tr").filter(has_text="user_denied").first
    row.get_by_role("link").first.click()
    page = staff_page.locator("#content")
    expect(page).to_contain_text("user_denied")
    expect(page).to_contain_text("The user denied the authorization request.")


def test_staff_without_rights_see_nothing(open_page):
    page = open_page("sam")
    page.goto(ATTEMPTS)
    expect(page.locator("#result_list")).to_have_count(0)
