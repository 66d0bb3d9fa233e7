"""Every page and state in a real browser: for everybody, under the strictest policy."""

from __future__ import annotations

import re
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client

from medblocks_connect.models import PatientConnectionAttempt
from tests.pages import strict
from tests.pages.scenes import SCENES, SEARCH, Stage

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
STANDARDS = [
    "wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice",
]  # fmt: skip
COLLECT_BREACHES = """window.breaches = [];
document.addEventListener("securitypolicyviolation", (event) => breaches.push(event.blockedURI));"""
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
RUN_AXE = """async (tags) => {
  const found = await axe.run(document, {runOnly: {type: "tag", values: tags}});
  return found.violations.map(each =>
    `${each.id}: ${each.help} — ${each.nodes.map(node => node.html).join(" | ")}`);
}"""

needs_axe = pytest.mark.skipif(
    not AXE.is_file(), reason="axe-core is not installed: npm ci --prefix tests/pages"
)


@pytest.fixture(autouse=True)
def _no_reports_yet():
    strict.reports.clear()


@pytest.fixture
def stage(settings, user, live_server):
    def change(**changes):
        settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, **changes}

    change(BASE_URL=f"{live_server.url}/medblocks-sandbox")
    return Stage(str(user.pk), change)


@pytest.fixture
def open_page(chromium, live_server, user):
    """Open a page of a fresh browser in which somebody is signed in."""
    contexts = []

    def open_one(who=user, **options):
        context = chromium.new_context(base_url=live_server.url, **options)
        context.set_default_timeout(10_000)
        context.add_init_script(COLLECT_BREACHES)
        contexts.append(context)
        if who is not None:
            client = Client()
            client.force_login(who)
            session_id = client.cookies["sessionid"].value
            context.add_cookies(
                [{"name": "sessionid", "value": session_id, "url": live_server.url}]
            )
        return context.new_page()

    yield open_one
    for context in contexts:
        context.close()


def act(page, scene, stage):
    page.goto(scene.prepare(stage))
    if scene.press:
        scene.press(page)
    page.wait_for_load_state("load")


@needs_axe
@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_scene_has_no_barrier(open_page, stage, settings, scene, language):
    settings.LANGUAGE_CODE = language
    page = open_page(color_scheme="light")
    act(page, scene, stage)
    found = {}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.evaluate(AXE.read_text(encoding="utf-8"))
        found[scheme] = page.evaluate(RUN_AXE, STANDARDS)
    assert found == {"light": [], "dark": []}


@needs_axe
def test_axe_finds_a_barrier(open_page, stage):
    page = open_page()
    page.goto(SEARCH)
    page.evaluate("document.querySelector('label').remove()")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    assert any("label" in each for each in page.evaluate(RUN_AXE, STANDARDS))


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


def test_broken_policy_is_reported(open_page, stage):
    page = open_page()
    page.goto(SEARCH)
    page.evaluate("document.body.append(Object.assign(new Image(), {src: 'https://a.invalid/'}))")
    give_up = time.monotonic() + 5
    while not strict.reports and time.monotonic() < give_up:
        page.wait_for_timeout(50)
    assert page.evaluate("breaches") == ["https://a.invalid/"]
    assert b"a.invalid" in strict.reports[0]


# Without scripts, and two people at once.


def test_journey_without_scripts(open_page, stage):
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
    page.get_by_text("You are disconnected.").wait_for()
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


def test_connections_page_by_keyboard_alone(open_page, stage):
    page = open_page()
    page.goto(SCENES["disconnect"].prepare(stage))
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Yes, disconnect"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "No, stay connected"
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Your connections").wait_for()


# While typing.


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


def test_patient_with_a_strict_cookie_signs_in_and_lands_right(open_page, stage, live_server):
    page = open_page(who=None)
    session = open_page().context.cookies()[0]
    page.context.add_cookies([{**session, "sameSite": "Strict"}])
    attempt = stage.attempt()
    # Another site than the server's own: "localhost" and "127.0.0.1" are two.
    elsewhere = live_server.url.replace("localhost", "127.0.0.1")
    page.goto(f"{elsewhere}/accounts/login/")
    page.evaluate("url => location.assign(url)", live_server.url + attempt.get_absolute_url())
    page.wait_for_url(re.compile(r"/accounts/login/\?next="))
    assert page.get_by_text("Riverside General").count() == 0
    page.goto(live_server.url + parse_qs(urlsplit(page.url).query)["next"][0])
    page.get_by_role("heading", name="You are connected").wait_for()


def test_somebody_else_who_signs_in_on_return_sees_nothing(open_page, stage, user, other_user):
    mine, theirs = open_page(user), open_page(other_user)
    go_to_portal(mine)
    with mine.expect_request("**/records/return/*") as returning:
        mine.get_by_role("button", name="Sign in and approve").click()
    assert theirs.goto(returning.value.url).status == 404


# Other ways to look.


@pytest.mark.parametrize("scene", ["results", "connections", "failed-twice"])
@pytest.mark.parametrize(
    "options",
    [{"forced_colors": "active"}, {"reduced_motion": "reduce"}, {"device_scale_factor": 2}],
    ids=["high-contrast", "reduced-motion", "zoom-200"],
)
def test_scene_works_for(open_page, stage, scene, options):
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
