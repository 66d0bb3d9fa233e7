"""The search while somebody types: by keyboard alone, read aloud, and without a shift."""

from __future__ import annotations

import re

import pytest
from django.core.management import call_command

from medblocks_connect.models import MissingFacility
from tests.pages.scenes import SEARCH

pytestmark = [pytest.mark.browser, pytest.mark.pages, pytest.mark.django_db(transaction=True)]

# A shift within half a second of a key is one that the patient brought about (Layout Instability).
COLLECT_SHIFTS = """window.shifts = [];
new PerformanceObserver((list) => {
  for (const entry of list.getEntries())
    if (!entry.hadRecentInput)
      shifts.push(`${entry.value} ${entry.sources.map(each => each.node?.className).join(" ")}`);
}).observe({type: "layout-shift", buffered: true});"""
COLLECT_ANNOUNCEMENTS = """window.announced = [];
document.addEventListener("DOMContentLoaded", () => {
  for (const region of document.querySelectorAll("[role=status], [aria-live]"))
    new MutationObserver(() => {
      if (region.textContent.trim()) announced.push(region.textContent.trim());
    }).observe(region, {childList: true, characterData: true, subtree: true});
});"""


@pytest.mark.parametrize("width", [390, 1280])
def test_first_results_shift_nothing(open_page, stage, width):
    page = open_page(viewport={"width": width, "height": 800})
    page.add_init_script(COLLECT_SHIFTS)
    page.goto(SEARCH)
    page.get_by_role("searchbox").press_sequentially("riverside", delay=60)
    page.get_by_role("button", name="Riverside General").wait_for()
    page.wait_for_timeout(1000)
    assert page.evaluate("shifts") == []


PHONE = {"width": 390, "height": 664}
IS_IN_VIEW = """each => {
  const box = each.getBoundingClientRect();
  return box.top >= 0 && box.bottom <= window.innerHeight;
}"""


@pytest.mark.parametrize("press", [None, "Enter", "Search"])
def test_first_result_is_in_view_on_a_phone(open_page, stage, press):
    page = open_page(viewport=PHONE)
    page.goto(SEARCH)
    page.get_by_role("searchbox").press_sequentially("riverside", delay=30)
    if press == "Search":
        page.get_by_role("button", name="Search").click()
    elif press:
        page.keyboard.press(press)
    first = page.locator("[name=connection_id]").first
    first.wait_for()
    assert first.evaluate(IS_IN_VIEW)


def test_search_pressed_below_the_results_brings_the_count_into_view(open_page, stage):
    page = open_page(viewport=PHONE)
    page.goto(f"{SEARCH}?q=hospital")
    page.get_by_text("Show one record system only").click()
    page.get_by_label("Record system").select_option("epic")
    page.wait_for_url("**type=epic**")
    assert page.locator("[data-medblocks-count]").evaluate(IS_IN_VIEW)
    assert page.locator("[name=connection_id]").first.evaluate(IS_IN_VIEW)


def test_journey_makes_room_and_comes_back(open_page, stage):
    page = open_page()
    page.goto(SEARCH)
    steps = page.get_by_text("Find the hospital or clinic where you were treated.")
    assert steps.is_visible()
    page.keyboard.press("Tab")
    page.get_by_role("searchbox").press_sequentially("r")
    assert not steps.is_visible()
    page.get_by_text("How it works and who sees what").click()
    page.get_by_role("searchbox").press_sequentially("iver")
    assert steps.is_visible()  # the patient's own choice stays
    page.get_by_text("How it works and who sees what").click()
    page.get_by_role("searchbox").fill("")
    assert steps.is_visible()


FOCUSED = "document.activeElement.name + ' ' + document.activeElement.value"


@pytest.fixture
def found(open_page, stage):
    """A search page whose results were typed for."""
    page = open_page()
    page.goto(SEARCH)
    page.get_by_role("searchbox").press_sequentially("river", delay=30)
    page.locator("[name=connection_id]").first.wait_for()
    return page


def test_search_by_arrow_keys_walks_the_places(found):
    places = found.locator("[name=connection_id]").evaluate_all("all => all.map(one => one.value)")
    walked = []
    for key in ("ArrowDown", "ArrowDown", "ArrowUp", "ArrowUp"):
        found.keyboard.press(key)
        walked.append(found.evaluate(FOCUSED))
    first, second = (f"connection_id {place}" for place in places[:2])
    assert walked == [first, second, first, "q river"]


def test_search_escape_leads_back_to_the_box(found):
    found.keyboard.press("ArrowDown")
    found.keyboard.press("Escape")
    assert found.evaluate(FOCUSED) == "q river"


def test_search_enter_chooses_the_place(found):
    found.keyboard.press("ArrowDown")
    found.keyboard.press("Enter")
    found.get_by_role("heading", name="Sign in").wait_for()


def test_search_is_read_in_order(found):
    tree = found.locator(".medblocks").aria_snapshot()
    order = [
        'heading "Find your hospital or clinic"',
        'searchbox "Name of the hospital or clinic"',
        "status",
        'button "R',
    ]
    places = [tree.index(part) for part in order]
    assert places == sorted(places)


def test_search_for_one_letter_marks_the_box(open_page, stage):
    page = open_page()
    page.goto(SEARCH)
    box = page.get_by_role("searchbox")
    box.press_sequentially("r")
    page.get_by_text("Please type at least 2 letters.").wait_for()
    assert box.get_attribute("aria-invalid") is None  # still being typed
    box.press("Enter")
    page.locator("[name=q][aria-invalid=true]").wait_for()
    assert "Please type at least 2 letters." in box.evaluate(
        """each => each.getAttribute("aria-describedby").split(" ")
          .map(id => document.getElementById(id)?.textContent).join(" ")"""
    )
    box.press_sequentially("iver")
    page.locator("[name=connection_id]").first.wait_for()
    assert box.get_attribute("aria-invalid") is None


@pytest.mark.parametrize("is_found_first", [False, True])
@pytest.mark.parametrize("end", ["Enter", "Search", "elsewhere"])
def test_missed_search_is_counted_once_however_typing_ends(open_page, stage, end, is_found_first):
    page = open_page()
    page.goto(SEARCH)
    page.get_by_role("searchbox").press_sequentially("zzqqxx", delay=20)
    nothing = page.locator("[data-medblocks-missed]")
    if is_found_first:
        nothing.wait_for()
    if end == "Enter":
        page.keyboard.press("Enter")
    elif end == "Search":
        page.get_by_role("button", name="Search").click()
    else:
        page.get_by_role("heading", level=1).click()
    nothing.wait_for()
    page.wait_for_timeout(1000)  # for a second count, which must not come
    assert list(MissingFacility.objects.values_list("text", "searches")) == [("zzqqxx", 1)]


def test_places_only_alike_are_told_once_and_open_the_form(open_page, stage):
    call_command("medblocks_sync_facilities", pause=0, verbosity=0)
    page = open_page()
    page.add_init_script(COLLECT_ANNOUNCEMENTS)
    page.goto(SEARCH)
    page.get_by_role("searchbox").fill("riverton general")
    page.get_by_role("button", name="Tell us").wait_for()
    page.wait_for_timeout(1500)
    announced = page.evaluate("announced")
    assert len(announced) == 1
    assert announced[0].startswith("No place has exactly this name.")
    assert re.search(r"\d+ places? found$", announced[0])
    page.get_by_role("searchbox").fill("riverside general")
    page.locator("[data-medblocks-count]:not([data-medblocks-missed])").wait_for()
    assert not page.get_by_role("button", name="Tell us").is_visible()


def test_too_many_searches_at_once_are_called_so(open_page, stage):
    stage.change_settings(THROTTLES={"search": "1/h"})
    page = open_page()
    page.goto(f"{SEARCH}?q=ri")
    page.get_by_role("searchbox").fill("river")
    page.get_by_text("That was a lot at once. Please wait a minute.").first.wait_for()
    assert not page.get_by_text("The list of hospitals cannot be reached").is_visible()


def test_search_announces_the_count_once_and_no_place(open_page, stage):
    page = open_page()
    page.add_init_script(COLLECT_ANNOUNCEMENTS)
    page.goto(SEARCH)
    page.get_by_role("searchbox").press_sequentially("riverside", delay=30)
    page.locator("[name=connection_id]").first.wait_for()
    page.wait_for_timeout(1500)
    announced = page.evaluate("announced")
    assert len(announced) == 1
    assert "place" in announced[0]
    assert "Riverside" not in announced[0]
