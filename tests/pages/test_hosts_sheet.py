"""What a site says of its own links, buttons and headings bends nothing of ours."""

from __future__ import annotations

import pytest

from tests.pages.scenes import SCENES, act

pytestmark = [pytest.mark.browser, pytest.mark.pages, pytest.mark.django_db(transaction=True)]

# An ordinary theme: one class deep, with a state or an attribute here and there.
HOSTS_SHEET = """
.content a {color: #0b5cad; background: #ffd; text-decoration: none; font-weight: 900}
.content a:hover, .content a:visited {color: #803; border-bottom: 3px dotted}
.content a::after {content: " \\2197"}
.content p {margin: 0 0 2em; color: #666; font-size: 2rem; text-indent: 2em}
.content h1 {font-size: 4rem; color: #803; border-bottom: 4px solid; padding: 1rem}
.content h2 {color: #803; text-transform: uppercase; margin: 4rem 0; text-align: center}
.content ul {list-style: square; padding-left: 3rem}
.content li {margin-left: 2rem; color: #666}
.content li::before {content: "*"}
.content button, .content input[type="search"], .content textarea, .content select {
  background: #eee; color: #0b5cad; text-transform: uppercase; letter-spacing: .1em;
  width: 50%; height: 20px; margin: 1rem; box-shadow: 0 0 9px #000; border-radius: 3rem}
.content button:hover {background: #fff; color: #fff}
.content button:focus, .content a:focus, .content input:focus {outline: none}
.content label {display: inline; color: #803; font-weight: 100}
.content form {background: #ffd; padding: 3rem; border: 1px solid; margin: 2rem}
.content details, .content summary {background: #ffd; padding: 2rem}
.content strong, .content span {color: #803; text-transform: uppercase}
"""
TOLD = """() => [...document.querySelectorAll(".medblocks *")].flatMap((each) =>
  ["", "::before", "::after"].map((part) => {
    const style = getComputedStyle(each, part || null);
    const values = PROPERTIES.map((name) => `${name}: ${style.getPropertyValue(name)}`);
    return `${each.localName}.${each.className}${part} ${values.join("; ")}`;
  }))"""
PROPERTIES = [
    "background-color", "border-bottom-width", "border-top-left-radius", "box-shadow", "color",
    "content", "display", "font-size", "font-weight", "height", "letter-spacing",
    "list-style-type", "margin-bottom", "margin-left", "margin-top", "outline-style",
    "padding-left", "padding-top", "text-align", "text-decoration-line", "text-indent",
    "text-transform", "width",
]  # fmt: skip


def look_at(page):
    return page.evaluate(TOLD.replace("PROPERTIES", str(PROPERTIES)))


def add_hosts_sheet(page):
    """After ours, and not as a style element, which the strict policy would refuse."""
    page.evaluate(
        """(text) => {
          document.body.classList.add("content");
          const sheet = new CSSStyleSheet();
          sheet.replaceSync(text);
          document.adoptedStyleSheets = [sheet];
        }""",
        HOSTS_SHEET,
    )


@pytest.mark.parametrize("scene", SCENES.values(), ids=SCENES)
def test_scene_is_not_bent_by_the_sites_sheet(open_page, stage, scene):
    page = open_page()
    act(page, scene, stage)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    before = look_at(page)
    add_hosts_sheet(page)
    assert look_at(page) == before


@pytest.mark.parametrize("state", ["hover", "focus"])
def test_button_is_not_bent_while_in_use(open_page, stage, state):
    page = open_page()
    act(page, SCENES["disconnect"], stage)
    button = page.locator("button.medblocks-button")
    page.keyboard.press("Tab")
    getattr(button, state)()
    before = look_at(page)
    add_hosts_sheet(page)
    assert look_at(page) == before


def test_sites_sheet_reaches_the_site(open_page, stage):
    page = open_page()
    act(page, SCENES["connected"], stage)
    page.evaluate("document.body.append(document.createElement('button'))")
    add_hosts_sheet(page)
    told = "getComputedStyle(document.body.lastElementChild).textTransform"
    assert page.evaluate(told) == "uppercase"
