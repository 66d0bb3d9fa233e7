"""The search box that a host puts on a page of its own."""

from __future__ import annotations

import re

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
