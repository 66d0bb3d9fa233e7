"""The search is light enough for a slow phone; docs/pages.md gives the figures."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

import medblocks_connect

STATIC = Path(medblocks_connect.__file__).parent / "static" / "medblocks_connect"
DOCS = Path(__file__).parents[2] / "docs" / "pages.md"
FULL = "/records/search/?q=hospital"  # a full page of results

pytestmark = pytest.mark.django_db(transaction=True)


def weigh(*parts: bytes) -> int:
    """Return the bytes that cross the wire, each part compressed by itself."""
    return sum(len(gzip.compress(part)) for part in parts)


def read(name):
    return (STATIC / name).read_bytes()


def test_scripts_weigh_under_6_kilobytes():
    assert weigh(read("search.js"), read("start.js")) < 6_000


def test_search_page_weighs_under_30_kilobytes(site):
    page = site.get(FULL).content
    assert page.count(b'name="connection_id"') == 20
    assert weigh(page, read("medblocks.css"), read("search.js"), read("start.js")) < 30_000


@pytest.mark.parametrize("language", ["en", "es"])
def test_search_answer_weighs_under_10_kilobytes_as_it_is_and_2_compressed(
    site, settings, language
):
    settings.LANGUAGE_CODE = language
    answer = site.get(FULL, headers={"X-Medblocks-Fragment": "results"}).content
    assert answer.count(b'name="connection_id"') == 20
    assert answer.count(b"<small>") == 20  # what comes next, in each of them
    assert len(answer) < 10_000
    assert weigh(answer) < 2_000


def test_docs_give_the_weights(site):
    typing = {"X-Medblocks-Fragment": "results"}
    page, answer = site.get(FULL).content, site.get(FULL, headers=typing).content
    style, scripts = [read("medblocks.css")], [read("search.js"), read("start.js")]
    measured = [
        (sum(map(len, parts)), weigh(*parts))
        for parts in ([page], style, scripts, [page, *style, *scripts], [answer])
    ]
    rows = re.findall(r"\| ([\d,]+) \| ([\d,]+) \|$", DOCS.read_text("utf-8"), re.MULTILINE)
    written = [tuple(int(each.replace(",", "")) for each in row) for row in rows]
    assert written == [pytest.approx(each, rel=0.1) for each in measured]


def test_style_sheet_touches_nothing_of_the_hosts():
    style = read("medblocks.css").decode()
    selectors = [line.strip() for line in style.splitlines() if line.rstrip().endswith((",", "{"))]
    ours = (".medblocks", ":where(.medblocks", "@media", "@supports")
    assert [each for each in selectors if not each.startswith(ours)] == []


def test_nothing_comes_from_elsewhere():
    for name in ("medblocks.css", "search.js", "start.js"):
        assert b"://" not in read(name)
        assert b"@import" not in read(name)
