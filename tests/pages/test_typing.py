"""The search while somebody types: by keyboard alone, read aloud, and without a shift."""

from __future__ import annotations

import pytest

from tests.pages.scenes import SEARCH

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

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


FOCUSED = "document.activeElement.name + ' ' + document.activeElement.value"


@pytest.fixture
def found(open_page, stage):
    """A search page whose results were typed for."""
    page = open_page()
    page.goto(SEARCH)
    page.get_by_role("searchbox").press_sequentially("river", delay=30)
    page.locator("[name=connection_id]").first.wait_for()
    return page


def test_search_by_arrow_keys(found):
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
