"""The search box that a host puts on a page of its own."""

from __future__ import annotations

import re

import pytest
from django.template import engines


def render(source, **context):
    source = "{% load medblocks_connect %}" + source
    return engines["django"].from_string(source).render(context)


def test_box_leads_to_the_search_page():
    box = render("{% medblocks_search %}")
    assert 'action="/records/search/"' in box
    assert 'name="q"' in box
    assert "<script" not in box


def test_box_has_the_hosts_label_escaped():
    assert "Where &lt;else&gt;?" in render("{% medblocks_search label %}", label="Where <else>?")


def test_two_boxes_share_no_id():
    ids = re.findall(r' id="([^"]+)"', render("{% medblocks_search %}{% medblocks_search %}"))
    assert len(ids) == len(set(ids)) == 4


@pytest.mark.browser
@pytest.mark.pages
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("has_scripts", [True, False])
def test_box_on_a_hosts_page_leads_on_with_what_was_typed(open_page, stage, has_scripts):
    page = open_page(viewport={"width": 320, "height": 640}, java_script_enabled=has_scripts)
    page.goto("/embedded/")
    page.get_by_role("searchbox", name="Where else were you treated?").fill("riverside")
    page.keyboard.press("Enter")
    page.wait_for_url("**/records/search/?q=riverside")
    assert page.get_by_role("searchbox").input_value() == "riverside"
    assert page.get_by_role("button", name="Riverside General").is_visible()
    assert page.get_by_text("How it works and who sees what").is_visible()


@pytest.mark.browser
@pytest.mark.pages
@pytest.mark.django_db(transaction=True)
def test_box_on_a_hosts_page_is_kept_for_whoever_signs_in_first(open_page, stage):
    page = open_page(who=None)
    page.goto("/embedded/")
    page.get_by_role("searchbox").fill("riverside")
    page.get_by_role("button", name="Search").click()
    page.get_by_label("Username").fill("pat")
    page.get_by_label("Password").fill("pat")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Riverside General").wait_for()
