"""The frame around our pages: the host's base template where it has the block, else our own."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

from django.template import Context, Template, TemplateDoesNotExist, engines
from django.template.backends.django import DjangoTemplates
from django.template.base import FilterExpression, Origin
from django.template.loader_tags import BlockNode, ExtendsNode

from medblocks_connect.conf import conf

_OUR_BASE: Final = "medblocks_connect/base.html"
_TITLE_BLOCKS: Final = ("title", "head_title")
_HEAD_BLOCKS: Final = ("extra_head", "extrahead", "head_extra", "head")


def find_frame() -> Template | None:
    """Return a template that puts our blocks into the host's; None: our own frame is to be used."""
    found = _load_template(conf.base_template)
    if found is None:
        return None
    engine, base = found
    blocks = _list_blocks(base)
    if conf.base_block not in blocks:
        return None
    title = _find_title_block(blocks)
    head = next((name for name in _HEAD_BLOCKS if name in blocks), "")
    return _build_frame(engine, conf.base_template, conf.base_block, title, head)


def lacks_title() -> bool:
    """Return whether the host's base template holds our pages and has no place for their title."""
    found = _load_template(conf.base_template)
    if found is None or _is_our_base_replaced():
        return False
    blocks = _list_blocks(found[1])
    return conf.base_block in blocks and not _find_title_block(blocks)


def _find_title_block(blocks: set[str]) -> str:
    return next((name for name in _TITLE_BLOCKS if name in blocks), "")


def _is_our_base_replaced() -> bool:
    found = _load_template(_OUR_BASE)
    return found is not None and Path(__file__).parent not in Path(found[1].origin.name).parents


def _load_template(name: str) -> tuple[str, Template] | None:
    for alias in engines:
        engine = engines[alias]
        if name and isinstance(engine, DjangoTemplates):
            try:
                return alias, engine.get_template(name).template
            except TemplateDoesNotExist:
                continue
    return None


def _list_blocks(template: Template) -> set[str]:
    """Return the names of the blocks of ``template`` and of what it extends by name."""
    names: set[str] = set()
    for node in template.nodelist.get_nodes_by_type(BlockNode):
        if isinstance(node, BlockNode):
            names.add(node.name)
    for node in template.nodelist.get_nodes_by_type(ExtendsNode):
        if isinstance(node, ExtendsNode) and isinstance(node.parent_name, FilterExpression):
            parent = node.parent_name.resolve(Context())
            found = _load_template(parent) if isinstance(parent, str) else None
            names |= _list_blocks(found[1]) if found else set()
    return names


@lru_cache(maxsize=8)
def _build_frame(alias: str, base: str, block: str, title: str, head: str) -> Template:
    content = "{% block medblocks_content %}{% endblock %}"
    in_head = (
        "{% block medblocks_head %}"
        '{% include "medblocks_connect/elements/head.html" %}'
        "{% endblock %}"
    )
    parts = ['{% extends "' + base + '" %}']
    if title:
        parts.append(_fill_block(title, "{% block medblocks_title %}{% endblock %}"))
    if head:
        parts.append(_fill_block(head, "{{ block.super }}" + in_head))
    else:
        # A stylesheet and a deferred script are as good in the body (HTML, "body-ok").
        content = in_head + content
    parts.append(_fill_block(block, content))
    engine = engines[alias]
    if not isinstance(engine, DjangoTemplates):
        raise TypeError(f"The template engine {alias!r} is not Django's.")
    origin = Origin(f"medblocks_connect frame in {base}")
    return Template("".join(parts), origin=origin, engine=engine.engine)


def _fill_block(name: str, content: str) -> str:
    return "{% block " + name + " %}" + content + "{% endblock %}"
