"""axe-core finds no barrier: in every page and state, both languages, light and dark."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pages.scenes import SCENES, SEARCH, act

pytestmark = [pytest.mark.browser, pytest.mark.pages, pytest.mark.django_db(transaction=True)]

AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
STANDARDS = [
    "wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice",
]  # fmt: skip
RUN_AXE = """async (tags) => {
  const found = await axe.run(document, {runOnly: {type: "tag", values: tags}});
  return found.violations.map(each =>
    `${each.id}: ${each.help} — ${each.nodes.map(node => node.html).join(" | ")}`);
}"""

needs_axe = pytest.mark.skipif(
    not AXE.is_file(), reason="axe-core is not installed: npm ci --prefix tests/pages"
)


def find_barriers(page):
    """Return what axe-core finds on ``page`` as it is now."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    return page.evaluate(RUN_AXE, STANDARDS)


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
        found[scheme] = find_barriers(page)
    assert found == {"light": [], "dark": []}


@needs_axe
def test_axe_finds_a_barrier(open_page, stage):
    page = open_page()
    page.goto(SEARCH)
    page.evaluate("document.querySelector('label').remove()")
    assert any("label" in each for each in find_barriers(page))
