"""A patient tells that their hospital is missing, and is thanked."""

from __future__ import annotations

import logging
from http import HTTPStatus

from django.db import Error as AnyDatabaseError
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables

from medblocks_connect.conf import conf
from medblocks_connect.facilities.missing_facilities import request_facility
from medblocks_connect.layout import (
    render_bad_request,
    render_page,
    render_throttled,
    render_trouble,
)
from medblocks_connect.patients import resolve_patient
from medblocks_connect.views.decorators import check_csrf, keep_private, says_twice, stand_alone
from medblocks_connect.views.forms import MissingFacilityForm
from medblocks_connect.views.next_url import find_way_back
from medblocks_connect.views.redirects import SeeOther
from medblocks_connect.views.responses import answer_to, refuse_forgery, refuse_stranger
from medblocks_connect.views.throttling import throttle

logger = logging.getLogger("medblocks_connect.views")


@stand_alone
@sensitive_variables()
@sensitive_post_parameters()
@keep_private
@answer_to("POST")
@check_csrf(refuse_forgery)
def tell_missing(request: HttpRequest) -> HttpResponseBase:
    """Keep what a patient did not find, and lead them to the thanks."""
    patient = resolve_patient(request)
    if patient is None:
        return refuse_stranger(request, find_way_back(request))
    if seconds := throttle(patient, "start"):
        return render_throttled(request, seconds)
    form = MissingFacilityForm(request.POST)
    if says_twice(request.POST, *form.fields):
        return render_bad_request(request)
    if not form.is_valid():
        context = {"form": form, "request_notes": conf.request_notes}
        return render_page(request, "missing", context, HTTPStatus.BAD_REQUEST)
    try:
        request_facility(patient, form.cleaned_data["text"], form.cleaned_data["note"])
    except AnyDatabaseError as error:
        logger.error("A request could not be kept: %s", type(error).__name__)
        return render_trouble(request, "internal_error", HTTPStatus.SERVICE_UNAVAILABLE)
    return SeeOther(reverse("medblocks_connect:not-found-thanks"))


@stand_alone
@keep_private
@answer_to("GET", "HEAD")
def thank(request: HttpRequest) -> HttpResponseBase:
    """Thank for what was told, and offer the other way where the host wants it."""
    if resolve_patient(request) is None:
        return refuse_stranger(request, request.path)
    return render_page(request, "thanks", {"hosted_fallback": conf.hosted_fallback})
