"""A patient tells that their hospital is missing, and is thanked."""

from __future__ import annotations

import logging
from http import HTTPStatus

from django.contrib.auth.views import redirect_to_login
from django.db import Error as AnyDatabaseError
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_POST, require_safe

from medblocks_connect.conf import conf
from medblocks_connect.facilities.missing import request_facility
from medblocks_connect.forms import MissingFacilityForm
from medblocks_connect.guards import keep_private, stand_alone
from medblocks_connect.pages import render_page, render_throttled, render_trouble
from medblocks_connect.patients import resolve_patient
from medblocks_connect.redirects import SeeOther
from medblocks_connect.throttles import throttle

logger = logging.getLogger("medblocks_connect.views")


@stand_alone
@sensitive_variables()
@sensitive_post_parameters()
@require_POST
@keep_private
@csrf_protect
def tell_missing(request: HttpRequest) -> HttpResponse:
    """Keep what a patient did not find, and lead them to the thanks."""
    patient = resolve_patient(request)
    if patient is None:
        return redirect_to_login(reverse("medblocks_connect:search"))
    if seconds := throttle(patient, "start"):
        return render_throttled(request, seconds)
    form = MissingFacilityForm(request.POST)
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
@require_safe
@keep_private
def thank(request: HttpRequest) -> HttpResponse:
    """Thank for what was told, and offer the other way where the host wants it."""
    if resolve_patient(request) is None:
        return redirect_to_login(request.path)
    return render_page(request, "thanks", {"hosted_fallback": conf.hosted_fallback})
