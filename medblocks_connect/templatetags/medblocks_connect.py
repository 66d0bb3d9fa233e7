"""Template tags for a host's own templates: a search box that leads to the search page."""

from __future__ import annotations

import secrets

from django import template

register = template.Library()


@register.inclusion_tag("medblocks_connect/elements/search_box.html")
def medblocks_search(label: str = "") -> dict[str, str]:
    """Show a box in which a patient types the name of a hospital; ``label`` stands above it.

    It is a plain form: it needs no script, no view and no context of the host's.
    """
    # Not counted: boxes in a base template, an include and a page share no counter.
    return {"label": label, "box_id": f"medblocks-box-{secrets.token_hex(4)}"}
