"""The pages that patients see: search, start, the way back, and what came of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus

from django.db import Error as AnyDatabaseError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.cache import cache_control
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.vary import vary_on_headers

from medblocks_connect.api import parse_return_url, write_return_query
from medblocks_connect.attempts.returns import come_back, find_attempt
from medblocks_connect.attempts.start import StartRefusedError, build_return_url, start_attempt
from medblocks_connect.attempts.verification import confirm_attempt_politely
from medblocks_connect.attempts.waiting import (
    has_failed_twice,
    is_long_wait,
    seconds_until_next_look,
)
from medblocks_connect.conf import conf
from medblocks_connect.error_messages import describe_error
from medblocks_connect.facilities.lookup import list_recommendable
from medblocks_connect.facilities.missing_facilities import count_search
from medblocks_connect.facilities.search import FacilitySearch
from medblocks_connect.layout import (
    render_bad_request,
    render_page,
    render_throttled,
    render_trouble,
)
from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.patients import Patient, resolve_patient
from medblocks_connect.views.decorators import (
    check_csrf,
    is_only_looking,
    keep_private,
    says_twice,
    stand_alone,
)
from medblocks_connect.views.forms import StartForm
from medblocks_connect.views.next_url import find_way_back
from medblocks_connect.views.place_names import find_place_name
from medblocks_connect.views.redirects import SeeOther
from medblocks_connect.views.responses import answer_to, refuse_forgery, refuse_stranger
from medblocks_connect.views.search_results import describe_search_page, name_place, show_results
from medblocks_connect.views.throttling import throttle

logger = logging.getLogger("medblocks_connect.views")

FRAGMENT_HEADER = "X-Medblocks-Fragment"
"""Sent by our script: answer with the results alone."""

_TYPING = "results"  # may be followed by another letter
_SETTLED = "settled"  # the patient has finished typing

_QUERY_THROUGH_LOGIN = 2000  # characters; in the login page's address it is longer again


@stand_alone
@cache_control(private=True, no_store=True)  # it tells where the patient is connected
@vary_on_headers(FRAGMENT_HEADER)
@answer_to("GET", "HEAD")
def search(request: HttpRequest) -> HttpResponseBase:
    """Show the search box, and the facilities found where something was asked for."""
    fragment = request.headers.get(FRAGMENT_HEADER, "")
    only_results = fragment in {_TYPING, _SETTLED}
    patient = resolve_patient(request)
    if patient is None:
        if only_results:  # the script loads the page anew, which leads to the login
            return HttpResponse(status=HTTPStatus.UNAUTHORIZED)
        return refuse_stranger(request, request.get_full_path())
    if "q" in request.GET and (seconds := throttle(patient, "search")):
        return render_throttled(request, seconds)
    if says_twice(request.GET, "q", "type", "starting_after"):
        return render_bad_request(request)
    asked = FacilitySearch.of(
        request.GET.get("q", ""),
        request.GET.get("type", ""),
        request.GET.get("starting_after", ""),
    )
    results = show_results(asked, patient)
    if results.is_missed and fragment != _TYPING and not is_only_looking(request):
        _count_missed(asked)
    context = {"search": asked, "results": results, "show_logos": conf.logos}
    if only_results:
        return render_page(request, "results", context)
    return render_page(request, "search", {**context, **describe_search_page()})


def _count_missed(asked: FacilitySearch) -> None:
    # One record system's lack, and a later page's, say nothing of what Medblocks lacks.
    if asked.type or asked.starting_after:
        return
    try:
        count_search(asked.q)
    except AnyDatabaseError as error:  # the patient's answer is worth more than the count
        logger.error("A search could not be counted: %s", type(error).__name__)


@stand_alone
@sensitive_variables()
@sensitive_post_parameters()
@keep_private
@answer_to("POST")
@check_csrf(refuse_forgery)
def start(request: HttpRequest) -> HttpResponseBase:
    """Start a patient session at the chosen facility and send the browser to its portal."""
    patient = resolve_patient(request)
    if patient is None:
        return refuse_stranger(request, find_way_back(request))
    form = StartForm(request.POST, patient_id=patient.patient_id)
    if says_twice(request.POST, *form.fields) or not form.is_valid():
        return render_bad_request(request)
    if conf.confirm_before_portal and not form.cleaned_data["confirmed"]:
        # To name the place may ask Medblocks: it counts as a start.
        if seconds := throttle(patient, "start"):
            return render_throttled(request, seconds)
        place = name_place(form.cleaned_data["connection_id"])
        return render_page(request, "confirm", {"place": place})
    return _lead_to_portal(request, patient, form.cleaned_data["connection_id"])


@stand_alone
@sensitive_variables()
@sensitive_post_parameters()
@keep_private
@answer_to("POST")
@check_csrf(refuse_forgery)
def start_hosted(request: HttpRequest) -> HttpResponseBase:
    """Start a session without a facility: the patient chooses at Medblocks' own page."""
    patient = resolve_patient(request)
    if patient is None:
        return refuse_stranger(request, find_way_back(request))
    if not conf.hosted_fallback:
        raise Http404
    shown = list_recommendable(request.POST.getlist("shown"))
    return _lead_to_portal(request, patient, "", shown)


def _lead_to_portal(
    request: HttpRequest, patient: Patient, connection_id: str, recommended: Sequence[str] = ()
) -> HttpResponse:
    if seconds := throttle(patient, "start"):
        return render_throttled(request, seconds)
    try:
        started = start_attempt(
            patient, connection_id, build_return_url(request), recommended=recommended
        )
    except StartRefusedError as refused:
        return _show_outcome(request, refused.attempt, refused.status_code)
    except AnyDatabaseError as error:
        # The error's kind and not its text, which may hold the row.
        logger.error("An attempt could not be recorded: %s", type(error).__name__)
        return render_trouble(request, "internal_error", HTTPStatus.SERVICE_UNAVAILABLE)
    return SeeOther(started.url)


@stand_alone
@keep_private
@answer_to("GET", "HEAD")
def return_from_portal(request: HttpRequest) -> HttpResponseBase:
    """Take the patient back from the portal, then lead them to a page with a clean address."""
    if is_only_looking(request):
        return HttpResponse(status=HTTPStatus.NO_CONTENT)
    returned = parse_return_url(dict(request.GET.lists()))
    if returned is None:
        return render_bad_request(request)
    patient = resolve_patient(request)
    if patient is None:
        query = write_return_query(returned, _QUERY_THROUGH_LOGIN)
        return refuse_stranger(request, f"{request.path}?{query}")
    attempt = come_back(patient, returned)
    if attempt is None:
        raise Http404
    return SeeOther(attempt.get_absolute_url())


@stand_alone
@keep_private
@answer_to("GET", "HEAD")
def attempt(request: HttpRequest, public_id: str) -> HttpResponseBase:
    """Show the patient what came of their attempt: connected, why not, or still confirming."""
    patient = resolve_patient(request)
    if patient is None:
        return refuse_stranger(request, request.path)
    found = find_attempt(patient, public_id=public_id)
    if found is None:
        raise Http404
    if found.is_confirming and not is_only_looking(request):
        confirm_attempt_politely(found)
    return _show_outcome(request, found, HTTPStatus.OK)


def _show_outcome(
    request: HttpRequest, found: PatientConnectionAttempt, status: int
) -> HttpResponse:
    is_stopped = "stop" in request.GET
    refresh = seconds_until_next_look(found, stopped=is_stopped)
    context = {
        "attempt": found,
        "message": describe_error(found.error, at_start=not found.patient_session_id),
        "refresh": refresh,
        "is_stopped": is_stopped,
        "is_long_wait": is_long_wait(found),
        "has_failed_twice": has_failed_twice(found),
        "place_name": find_place_name(found),
    }
    response = render_page(request, "attempt", context, status)
    if refresh:
        response["Refresh"] = str(refresh)
    return response
