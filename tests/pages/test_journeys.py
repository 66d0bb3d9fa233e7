"""Whole ways through the pages: without scripts, two people at once, sessions that break."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from medblocks_connect.models import PatientConnectionAttempt
from tests.pages.scenes import SCENES, SEARCH

pytestmark = [pytest.mark.browser, pytest.mark.pages, pytest.mark.django_db(transaction=True)]


def test_journey_without_scripts_ends_connected(open_page, stage):
    page = open_page(java_script_enabled=False)
    page.goto(SEARCH)
    page.get_by_role("searchbox").fill("riverside")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("button", name="Riverside General").click()
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Sign in and approve").click()
    page.get_by_role("heading", name="You are connected").wait_for()
    page.get_by_role("link", name="See your connections").click()
    page.get_by_role("button", name="Disconnect").click()
    page.get_by_role("button", name="Yes, disconnect").click()
    page.get_by_text("You are disconnected from Riverside General.").wait_for()
    page.locator(".medblocks-notice:focus").wait_for()
    page.get_by_role("button", name="Connect again").click()
    page.get_by_role("heading", name="Sign in").wait_for()


def test_waiting_page_finds_the_answer_without_scripts(open_page, stage):
    scene = SCENES["waiting"]
    page = open_page(java_script_enabled=False)
    page.goto(scene.prepare(stage))
    page.get_by_role("heading", name="Checking your connection").wait_for()
    PatientConnectionAttempt.objects.update(status="succeeded")
    page.get_by_role("heading", name="You are connected").wait_for()


def test_two_patients_see_each_their_own(open_page, stage, user, other_user):
    path = SCENES["connections"].prepare(stage)
    mine, theirs = open_page(user), open_page(other_user)
    mine.goto(path)
    theirs.goto(path)
    assert mine.get_by_text("Riverside General").count() > 0
    assert theirs.get_by_text("You have not connected a hospital yet.").is_visible()
    attempt = stage.attempt()
    assert theirs.goto(attempt.get_absolute_url()).status == 404
    assert mine.goto(attempt.get_absolute_url()).status == 200


def test_disconnect_page_by_keyboard_alone_can_be_left(open_page, stage):
    page = open_page()
    page.goto(SCENES["disconnect"].prepare(stage))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Yes, disconnect"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "No, stay connected"
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Your connections").wait_for()


# Somebody else, between the page and the press.


@pytest.fixture
def change_patient(stage):
    """Let the clinic's desk choose another patient, as staff do in another tab."""

    def change():
        stage.change_settings(PATIENT_RESOLVER="tests.resolvers.somebody_else")

    return change


def press_and_read_why(page):
    page.get_by_role("button", name="Riverside General").click()
    page.get_by_role("heading", name="This page was opened for somebody else").wait_for()
    assert not PatientConnectionAttempt.objects.exists()


@pytest.mark.parametrize("has_scripts", [True, False])
def test_button_case_52_pressed_for_somebody_else_starts_nothing(
    open_page, change_patient, has_scripts
):
    page = open_page(java_script_enabled=has_scripts)
    page.goto(f"{SEARCH}?q=riverside")
    change_patient()
    press_and_read_why(page)
    page.get_by_role("link", name="Back to the search").click()
    page.get_by_role("searchbox").fill("riverside")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("button", name="Riverside General").click()
    page.get_by_role("heading", name="Sign in").wait_for()
    assert PatientConnectionAttempt.objects.get().patient_id == "somebody-else"


def test_results_case_52_that_came_for_somebody_else_start_nothing(open_page, change_patient):
    page = open_page()
    page.goto(SEARCH)
    change_patient()
    page.get_by_role("searchbox").press_sequentially("riverside")
    press_and_read_why(page)


# Sessions that break.


def go_to_portal(page):
    page.goto(f"{SEARCH}?q=riverside")
    page.get_by_role("button", name="Riverside General").click()
    page.get_by_role("button", name="Continue").click()


def test_patient_signed_out_meanwhile_signs_in_and_lands_right(open_page, stage):
    page = open_page()
    go_to_portal(page)
    session = next(each for each in page.context.cookies() if each["name"] == "sessionid")
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Sign in and approve").click()
    page.wait_for_url(re.compile(r"/accounts/login/\?next="))
    assert "patient_id" not in page.url
    back = parse_qs(urlsplit(page.url).query)["next"][0]
    page.context.add_cookies([session])  # as signing in would
    page.goto(back)
    page.get_by_role("heading", name="You are connected").wait_for()


def sign_in(page, name="pat"):
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(name)
    page.get_by_role("button", name="Log in").click()


@pytest.fixture
def portal_elsewhere(stage, live_server):
    """Put the portal on another site than ours: "localhost" and "127.0.0.1" are two."""
    elsewhere = live_server.url.replace("localhost", "127.0.0.1")
    stage.change_settings(BASE_URL=f"{elsewhere}/medblocks-sandbox")


def test_patient_with_a_strict_cookie_lands_without_a_second_sign_in(
    open_page, settings, portal_elsewhere
):
    settings.SESSION_COOKIE_SAMESITE = "Strict"
    page = open_page(who=None)
    page.goto(f"{SEARCH}?q=riverside")
    sign_in(page)
    assert page.context.cookies()[-1]["sameSite"] == "Strict"
    page.get_by_role("button", name="Riverside General").click()
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Sign in and approve").click()
    page.get_by_role("heading", name="You are connected").wait_for()
    assert page.url.endswith(PatientConnectionAttempt.objects.get().get_absolute_url())


def test_patient_signed_in_anew_elsewhere_is_led_back_to_the_search(open_page, stage):
    page = open_page(who=None)
    page.goto(f"{SEARCH}?q=riverside")
    sign_in(page)
    page.get_by_role("button", name="Riverside General").wait_for()
    other = page.context.new_page()
    other.goto("/accounts/login/")
    sign_in(other)
    other.wait_for_load_state()
    page.get_by_role("button", name="Riverside General").click()
    page.get_by_role("heading", name="This page was open too long").wait_for()
    assert not PatientConnectionAttempt.objects.exists()
    page.get_by_role("link", name="Go back and choose again").click()
    page.get_by_role("button", name="Riverside General").click()
    page.get_by_role("heading", name="Sign in").wait_for()


def test_patient_signed_out_while_choosing_comes_back_to_the_search(open_page, stage):
    page = open_page()
    page.goto(f"{SEARCH}?q=riverside")
    page.context.clear_cookies(name="sessionid")
    page.get_by_role("button", name="Riverside General").click()
    page.wait_for_url(re.compile(r"/accounts/login/"))
    sign_in(page)
    page.get_by_role("button", name="Riverside General").wait_for()
    assert page.get_by_role("searchbox").input_value() == "riverside"


def test_somebody_else_who_signs_in_on_return_sees_nothing(open_page, stage, user, other_user):
    mine, theirs = open_page(user), open_page(other_user)
    go_to_portal(mine)
    with mine.expect_request("**/records/return/*") as returning:
        mine.get_by_role("button", name="Sign in and approve").click()
    assert theirs.goto(returning.value.url).status == 404
