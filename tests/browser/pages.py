"""What people do on the clinic's pages and at the sandbox's portal, by what they see."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

PASSWORD = "riverbend"
FACILITY = "Riverside General"
OUTCOME = re.compile(r"/records/attempts/[\w-]{32}/$")


def sign_in(page: Page, username: str) -> None:
    page.goto("/sign-in/")
    page.get_by_label("User name").fill(username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Hello")).to_be_visible()


def find_by_typing(page: Page, facility: str = FACILITY) -> None:
    """Type part of the name, letter by letter, and never press Search."""
    page.goto("/account/")
    page.get_by_role("link", name="Connect your hospital").click()
    page.get_by_role("searchbox").press_sequentially(facility[:9].lower(), delay=30)
    expect(page.get_by_role("button", name=facility)).to_be_visible()


def go_to_portal(page: Page, facility: str = FACILITY) -> None:
    find_by_typing(page, facility)
    page.get_by_role("button", name=facility).click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def decide(page: Page, choice: str) -> None:
    """From the portal's sign-in page to the clinic's page of what came of it."""
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name=choice, exact=True).click()
    page.wait_for_url(OUTCOME)
