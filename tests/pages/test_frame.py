"""The host's look: our pages stand in the site's base template where it has room for them."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from django.template.loader import render_to_string

TEMPLATES = Path(__file__).parent / "templates"
SEARCH = "/records/search/"
MENU = "The clinic's menu"

pytestmark = pytest.mark.django_db


@pytest.fixture
def with_templates(settings):
    """Add directories of templates to the host's."""

    def add(*directories):
        engines = copy.deepcopy(settings.TEMPLATES)
        engines[0]["DIRS"] = list(directories)
        settings.TEMPLATES = engines

    add(TEMPLATES)
    return add


def use(settings, **changes):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, **changes}


def test_site_without_a_base_gets_our_frame(browser):
    page = browser.get(SEARCH).text
    assert page.startswith("<!doctype html>")
    assert 'class="medblocks-page"' in page


@pytest.mark.parametrize("base", ["hosts/plain.html", "hosts/child.html"])
def test_named_base_holds_our_page(browser, settings, with_templates, base):
    use(settings, BASE_TEMPLATE=base)
    page = browser.get(SEARCH).text
    head, _, body = page.partition("</head>")
    assert MENU in body
    assert "<title>Find your hospital or clinic</title>" in head
    assert "medblocks_connect/medblocks.css" in head
    assert "/mark.svg" in head  # the host's own head stays
    assert 'class="medblocks-page"' not in page


def test_base_html_is_used_unasked(browser, with_templates, tmp_path):
    (tmp_path / "base.html").write_text("<p>Mine</p>{% block content %}{% endblock %}")
    with_templates(tmp_path)
    page = browser.get(SEARCH).text
    assert page.startswith("<p>Mine</p>")
    assert "medblocks_connect/medblocks.css" in page


def test_base_html_without_the_block_is_not_used(browser, with_templates, tmp_path):
    (tmp_path / "base.html").write_text("<p>Mine</p>{% block body %}{% endblock %}")
    with_templates(tmp_path)
    page = browser.get(SEARCH).text
    assert "<p>Mine</p>" not in page
    assert "Find your hospital or clinic" in page


def test_named_block_is_filled_without_a_head_block(browser, settings, with_templates):
    use(settings, BASE_TEMPLATE="hosts/bare.html", BASE_BLOCK="main")
    page = browser.get(SEARCH).text
    assert MENU in page
    assert page.count("medblocks_connect/medblocks.css") == 1


def test_own_medblocks_base_is_used_before_the_setting(browser, settings, with_templates, tmp_path):
    (tmp_path / "medblocks_connect").mkdir()
    own = "<p>Own frame</p>{% block medblocks_content %}{% endblock %}"
    (tmp_path / "medblocks_connect" / "base.html").write_text(own)
    with_templates(tmp_path, TEMPLATES)
    use(settings, BASE_TEMPLATE="hosts/plain.html")
    page = browser.get(SEARCH).text
    assert page.startswith("<p>Own frame</p>")
    assert MENU not in page


def test_element_can_be_replaced_alone(browser, with_templates, tmp_path, make):
    (tmp_path / "medblocks_connect" / "elements").mkdir(parents=True)
    element = tmp_path / "medblocks_connect" / "elements" / "connected.html"
    element.write_text("<h1>Well done</h1>")
    with_templates(tmp_path)
    page = browser.get(make().get_absolute_url()).text
    assert "<h1>Well done</h1>" in page


def test_page_rendered_by_somebody_else_has_our_frame():
    assert 'class="medblocks-page"' in render_to_string("medblocks_connect/bad_request.html")
