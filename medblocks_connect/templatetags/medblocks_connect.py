"""Template tags for a host's own templates: a search box, and the field of a form that we take."""

from __future__ import annotations

import secrets

from django import template
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from medblocks_connect.patients import FORM_FIELD, find_form_patient, sign_form_patient

register = template.Library()


@register.inclusion_tag("medblocks_connect/elements/search_box.html")
def medblocks_search(label: str = "") -> dict[str, str]:
    """Show a box in which a patient types the name of a hospital; ``label`` stands above it.

    It is a plain form: it needs no script, no view and no context of the host's.
    """
    # Not counted: boxes in a base template, an include and a page share no counter.
    return {"label": label, "box_id": f"medblocks-box-{secrets.token_hex(4)}"}


@register.simple_tag(takes_context=True)
def medblocks_patient_field(context: template.Context) -> SafeString | str:
    """Let a form that is posted to a view of ours say whom it was made for, beside its CSRF token.

    It needs the request that the page answers, and is nothing where there is none, or no patient.
    """
    # What render() makes has it, also without the context processor that names it.
    request: HttpRequest | None = getattr(context, "request", None) or context.get("request")
    patient = find_form_patient(request) if request is not None else None
    if patient is None:
        return ""
    token = sign_form_patient(patient)
    return format_html('<input type="hidden" name="{}" value="{}">', FORM_FIELD, token)
