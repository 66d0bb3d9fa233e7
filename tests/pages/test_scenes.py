"""Every page and state on a narrow screen, under the strictest policy, and as people set theirs."""

from __future__ import annotations

import time

import pytest

from tests.pages import strict
from tests.pages.scenes import SCENES, SEARCH, act

pytestmark = [pytest.mark.browser, pytest.mark.pages, pytest.mark.django_db(transaction=True)]


# What only this state of the page says.
SAID = {
    "suggested": ["You are connected to", "Connect again to a place you used before"],
    "connected-result": ["You are connected"],
    "missing-unnamed": ["There is a problem"],
    "missing-too-long": ["This name is too long."],
    "connections": [
        "Connected",
        "Records last came on",
        "Being checked",
        "Access has ended",
        "Disconnected",
        "A hospital or clinic",
    ],
    "connections-last-known": ["This is what we knew on"],
    "hosted": ["You can also look for it on the page of Medblocks"],
    "notes": ["Please do not write about your health here."],
    "waiting": ["This mostly takes a few seconds."],
    "waiting-long": ["This takes longer than usual."],
    "failed-twice": ["Contact us"],
    "failed-twice-no-contact": ["You can also ask the people who care for you."],
    "not-started": ["We could not reach the portal"],
    "refused": ["The hospital's system did not work as it should."],
    "refused-start": ["We could not open the portal"],
    "open-too-long": ["This page was open too long"],
    "patient-changed": ["This page was opened for somebody else"],
    "in-a-site": ["The clinic's menu"],
    "embedded": ["Where else were you treated?"],
}


@pytest.fixture(autouse=True)
def _no_reports_yet():
    strict.reports.clear()


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_scene_fits_a_narrow_screen_and_breaks_no_policy(open_page, stage, live_server, scene):
    page = open_page(viewport={"width": 320, "height": 640})
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    act(page, scene, stage)
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert [url for url in asked if not url.startswith(live_server.url)] == []
    assert page.evaluate("breaches") == []
    assert strict.reports == []


@pytest.mark.parametrize("scene", SAID)
def test_scene_is_the_one_that_is_meant(open_page, stage, scene):
    page = open_page()
    act(page, SCENES[scene], stage)
    shown = [page.get_by_text(words).first.is_visible() for words in SAID[scene]]
    assert all(shown)


def test_broken_policy_is_reported(open_page, stage):
    page = open_page()
    page.goto(SEARCH)
    page.evaluate("document.body.append(Object.assign(new Image(), {src: 'https://a.invalid/'}))")
    give_up = time.monotonic() + 5
    while not strict.reports and time.monotonic() < give_up:
        page.wait_for_timeout(50)
    assert page.evaluate("breaches") == ["https://a.invalid/"]
    assert b"a.invalid" in strict.reports[0]


@pytest.mark.parametrize("scene", ["results", "connections", "failed-twice"])
@pytest.mark.parametrize(
    "options",
    [{"forced_colors": "active"}, {"reduced_motion": "reduce"}, {"device_scale_factor": 2}],
    ids=["high-contrast", "reduced-motion", "zoom-200"],
)
def test_scene_works_for_every_patient(open_page, stage, scene, options):
    narrow = {"width": 640, "height": 400}  # 1280 px at 200 %
    page = open_page(viewport=narrow, **options)
    act(page, SCENES[scene], stage)
    assert page.evaluate("document.documentElement.scrollWidth") <= 640
    moving = page.evaluate("document.getAnimations().length")
    assert moving == 0
    for box in page.locator(".medblocks-button:visible").all():
        assert box.evaluate("each => getComputedStyle(each).borderTopWidth") == "2px"


@pytest.mark.parametrize("scene", ["results", "connections", "failed-twice"])
def test_scene_reads_from_right_to_left(open_page, stage, scene):
    page = open_page(viewport={"width": 320, "height": 640})
    act(page, SCENES[scene], stage)
    page.evaluate("document.querySelector('.medblocks').dir = 'rtl'")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    edge = page.locator(".medblocks h1").evaluate("each => getComputedStyle(each).textAlign")
    assert edge in {"start", "right"}


def test_printed_outcome_has_no_buttons(open_page, stage):
    page = open_page()
    act(page, SCENES["failed"], stage)
    page.emulate_media(media="print")
    assert not page.get_by_role("button", name="Try again").is_visible()
    assert page.get_by_text("Riverside General").is_visible()
