"""A slow connection, a second press, and pages that a browser brings back."""

from __future__ import annotations

import pytest

from tests.chromium import CHROMIUM, FLAGS
from tests.pages.scenes import SCENES, SEARCH
from tests.pages.test_typing import COLLECT_ANNOUNCEMENTS, COLLECT_SHIFTS

pytestmark = [pytest.mark.browser, pytest.mark.pages, pytest.mark.django_db(transaction=True)]

SEARCHING = "[data-medblocks-searching]"
COLLECT_SIGNS = """window.signs = [];
document.addEventListener("DOMContentLoaded", () => {
  const sign = document.querySelector("[data-medblocks-searching]");
  new MutationObserver(() => signs.push(sign.hidden)).observe(sign, {attributes: true});
});"""


@pytest.fixture
def hold():
    """Hold back the answers to ``pattern``; call what is returned to let them go."""

    def hold_back(page, pattern):
        held = []

        def keep(route):
            held.append(route)

        page.route(pattern, keep)

        def let_go():
            for route in held:
                route.continue_()

        return let_go

    return hold_back


@pytest.mark.parametrize("width", [390, 1280])
def test_slow_search_says_that_it_searches_and_moves_nothing(open_page, stage, hold, width):
    stage.attempt(lost_at="2026-01-01T00:00:00Z")
    page = open_page(viewport={"width": width, "height": 664})
    page.add_init_script(COLLECT_SHIFTS)
    page.add_init_script(COLLECT_ANNOUNCEMENTS)
    page.goto(SEARCH)
    let_go = hold(page, "**/search/?*")
    page.get_by_role("searchbox").press_sequentially("river", delay=30)
    page.locator(SEARCHING).wait_for()
    assert page.locator(SEARCHING).text_content() == "Searching…"
    assert page.locator("[data-medblocks-results][aria-busy=true]").count() == 1
    page.wait_for_timeout(600)  # longer than a shift is forgiven after a key
    let_go()
    page.get_by_text("places found").first.wait_for()
    assert not page.locator(SEARCHING).is_visible()
    assert page.locator("[aria-busy]").count() == 0
    page.wait_for_timeout(1000)
    assert page.evaluate("shifts") == []
    assert len(page.evaluate("announced")) == 1  # the count, and not the waiting


def test_second_search_waits_in_the_line_of_the_first(open_page, stage, hold):
    page = open_page()
    page.goto(f"{SEARCH}?q=riverside")
    count = page.locator("[data-medblocks-count]")
    line = count.bounding_box()
    hold(page, "**/search/?*")
    page.get_by_role("searchbox").fill("hospital")
    page.locator(SEARCHING).wait_for()
    assert not count.is_visible()
    assert page.locator(SEARCHING).bounding_box()["y"] == pytest.approx(line["y"], abs=1)


def test_quick_search_shows_no_sign_of_waiting(open_page, stage):
    page = open_page()
    page.add_init_script(COLLECT_SIGNS)
    page.goto(SEARCH)
    page.get_by_role("searchbox").fill("riverside")
    page.get_by_role("button", name="Riverside General").wait_for()
    assert False not in page.evaluate("signs")


# After our own listener, on its way out of the document: whether the form is let through. It then
# goes nowhere, as with a connection that never answers, or where the browser's Stop was pressed.
HOLD_FORMS = """window.sent = [];
window.addEventListener("submit", (event) => {
  sent.push(!event.defaultPrevented);
  event.preventDefault();
});"""


@pytest.mark.parametrize(
    ("scene", "button", "words"),
    [
        ("failed", "Try again", "Opening the portal…"),
        ("connections", "Connect again", "Opening the portal…"),
        ("disconnect", "Yes, disconnect", "One moment…"),
        ("results", "Alder Creek Hospital", "Opening the portal…"),
        ("hosted", "Look for it at Medblocks", "One moment…"),
        ("nothing", "Tell us", "One moment…"),
    ],
)
def test_pressed_button_says_what_is_under_way(open_page, stage, scene, button, words):
    page = open_page()
    page.add_init_script(HOLD_FORMS)
    page.goto(SCENES[scene].prepare(stage))
    if scene == "nothing":
        page.get_by_label("Name of the missing hospital or clinic").fill("St. Elsewhere")
    look = "each => getComputedStyle(each).borderTopStyle"
    pressed = page.get_by_role("button", name=button).first
    before = pressed.evaluate(look)
    pressed.click()
    busy = page.locator("button[aria-busy=true]")
    assert words in busy.text_content()
    assert busy.evaluate(look) != before


def test_page_starts_one_thing_at_a_time(open_page, stage):
    page = open_page()
    page.add_init_script(HOLD_FORMS)
    page.goto(f"{SEARCH}?q=hospital")
    for place in (0, 0, 1):
        page.locator("[name=connection_id]").nth(place).click()
    assert page.evaluate("sent") == [True, False, False]


def test_stopped_page_unlocks_after_a_while(open_page, stage):
    page = open_page()
    page.add_init_script(HOLD_FORMS)
    page.clock.install()
    page.goto(SCENES["failed"].prepare(stage))
    again = page.get_by_role("button", name="Try again")
    again.click()
    page.clock.fast_forward(14_000)
    assert page.get_by_role("button", name="Opening the portal…").is_visible()
    page.clock.fast_forward(2_000)
    again.click()
    assert page.evaluate("sent") == [True, True]


def test_page_that_is_shown_again_unlocks(open_page, stage):
    page = open_page()
    page.add_init_script(HOLD_FORMS)
    page.goto(SCENES["failed"].prepare(stage))
    again = page.get_by_role("button", name="Try again")
    again.click()
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")
    again.click()
    assert page.evaluate("sent") == [True, True]


def test_page_that_the_browser_kept_is_loaded_anew(open_page, stage):
    page = open_page()
    page.goto(SEARCH)
    with page.expect_navigation():
        page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', {persisted: true}))")


@pytest.fixture
def keeping_chromium(chromium):
    """A browser that keeps pages for its Back button, which Playwright forbids by default."""
    forbidden = ["--disable-back-forward-cache"]
    browser = chromium.browser_type.launch(
        executable_path=CHROMIUM, args=FLAGS, ignore_default_args=forbidden
    )
    yield browser
    browser.close()


def test_back_after_signing_out_shows_no_place(keeping_chromium, live_server, stage, site):
    stage.attempt()
    context = keeping_chromium.new_context(base_url=live_server.url)
    session_id = site.browser.cookies["sessionid"]
    context.add_cookies([{"name": "sessionid", "value": session_id, "url": live_server.url}])
    page = context.new_page()
    page.goto(SEARCH)
    assert page.get_by_text("Riverside General").count() == 1
    page.goto("/embedded/")
    context.clear_cookies()
    # Not go_back(), which waits for a load that a page which was kept never has.
    page.evaluate("setTimeout(() => history.back(), 50)")
    page.get_by_label("Password").wait_for()
    assert page.get_by_text("Riverside General").count() == 0
