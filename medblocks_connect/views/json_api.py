"""The same journey for hosts with their own front end, in JSON.

Every error is ``{"error": {"code", "message"}}`` with a message fit for patients, also for a wrong
method and a missing CSRF token.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.db import Error as AnyDatabaseError
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.debug import sensitive_variables

from medblocks_connect.api import FhirSource, InvalidRequestError, MedblocksError
from medblocks_connect.api.return_url import UNKNOWN_ERROR
from medblocks_connect.attempts.start import StartRefusedError, build_return_url, start_attempt
from medblocks_connect.error_messages import describe_error, describe_limit
from medblocks_connect.facilities.search import FacilitySearch, search_facilities
from medblocks_connect.patients import resolve_patient
from medblocks_connect.url_safety import is_public_https
from medblocks_connect.views.decorators import (
    UNREADABLE,
    View,
    check_csrf,
    exempt_if_safe,
    give_up_reading,
    keep_private,
    says_twice,
    stand_alone,
)
from medblocks_connect.views.forms import StartForm
from medblocks_connect.views.responses import is_signed_in
from medblocks_connect.views.throttling import throttle

logger = logging.getLogger("medblocks_connect.views")

_BODY_MAX_BYTES = 16 * 1024
# Medblocks' codes and ours. Any other text under that name is no code, and may be markup.
_CODE = re.compile(r"[a-z0-9_]{1,100}")


def _refuse_forgery(_request: HttpRequest) -> JsonResponse:
    message = _("This page was open too long. Please load it again.")
    return _error("csrf_failed", message, HTTPStatus.FORBIDDEN)


def _answer_to(*methods: str) -> Callable[[View], View]:
    def wrap(view: View) -> View:
        @wraps(view)
        def answering(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
            if request.method in methods:
                try:
                    return view(request, *args, **kwargs)
                except UNREADABLE as error:
                    return _bad_request(give_up_reading(request, error))
            response = _bad_request(HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed")
            response["Allow"] = ", ".join(methods)  # RFC 9110, section 15.5.6
            return response

        return exempt_if_safe(answering, methods)

    return wrap


@stand_alone
@keep_private
@_answer_to("GET", "HEAD")
@ensure_csrf_cookie
def connections(request: HttpRequest) -> JsonResponse:
    """Answer ``GET ?q=&type=&starting_after=`` with a page of facilities."""
    patient = resolve_patient(request)
    if patient is None:
        return _refuse_stranger(request)
    if seconds := throttle(patient, "search"):
        return _throttled(seconds)
    if says_twice(request.GET, "q", "type", "starting_after"):
        return _error("bad_request", _("Please search again."), HTTPStatus.BAD_REQUEST)
    asked = FacilitySearch.of(
        request.GET.get("q", ""),
        request.GET.get("type", ""),
        request.GET.get("starting_after", ""),
    )
    if not asked.is_long_enough:
        return JsonResponse({"data": [], "has_more": False, "next_cursor": None})
    try:
        page = search_facilities(asked)
    except InvalidRequestError:
        return _error("bad_request", _("Please search again."), HTTPStatus.BAD_REQUEST)
    except MedblocksError:
        message = _("The list of hospitals cannot be reached right now. Please try again soon.")
        return _error("search_unavailable", message, HTTPStatus.SERVICE_UNAVAILABLE)
    return JsonResponse(
        {
            "data": [_as_json(each) for each in page.data],
            "has_more": page.has_more,
            "next_cursor": page.next_cursor or None,
        }
    )


@stand_alone
@sensitive_variables()
@keep_private
@_answer_to("POST")
@check_csrf(_refuse_forgery)
def patient_sessions(request: HttpRequest) -> JsonResponse:
    """Answer ``POST {"connection_id": …}`` with ``{"url": …}``, where the browser is to go."""
    patient = resolve_patient(request)
    if patient is None:
        return _refuse_stranger(request)
    raw = request.read(_BODY_MAX_BYTES + 1)
    if len(raw) > _BODY_MAX_BYTES:
        return _bad_request(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    body = _read(raw)
    if body is None:
        return _bad_request()
    # The server knows who is there: a patient id from outside is never believed.
    if _as_id(body.get("patient_id", patient.patient_id)) != patient.patient_id:
        return _error("forbidden", _("This is not your account."), HTTPStatus.FORBIDDEN)
    connection_id = body.get("connection_id")
    chosen = {"connection_id": connection_id if isinstance(connection_id, str) else ""}
    form = StartForm(chosen, patient_id=patient.patient_id)
    if not form.is_valid():
        return _bad_request()
    if seconds := throttle(patient, "start"):
        return _throttled(seconds)
    try:
        started = start_attempt(
            patient, form.cleaned_data["connection_id"], build_return_url(request)
        )
    except StartRefusedError as refused:
        return _show_refusal(refused)
    except AnyDatabaseError as error:
        # The error's kind and not its text, which may hold the row.
        logger.error("An attempt could not be recorded: %s", type(error).__name__)
        return _failure("internal_error", HTTPStatus.SERVICE_UNAVAILABLE)
    return JsonResponse({"url": started.url})


def _read(body: bytes) -> dict[str, Any] | None:
    try:
        read = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def _as_id(given: object) -> str | None:
    """Return an id of a front end's as ours are: a number there is the same id."""
    is_id = isinstance(given, str | int) and not isinstance(given, bool)
    return str(given) if is_id else None


def _as_json(facility: FhirSource) -> dict[str, str | None]:
    def link(url: str) -> str | None:
        return url if is_public_https(url) else None

    return {
        "id": facility.id,
        "name": facility.name,
        "type": facility.type or None,
        "logo_url": link(facility.logo_url),
        "portal_url": link(facility.portal_url),
    }


def _show_refusal(refused: StartRefusedError) -> JsonResponse:
    code = refused.attempt.error or "no_answer"
    at_start = not refused.attempt.patient_session_id
    return _failure(code, refused.status_code, at_start=at_start)


def _failure(code: str, status: int, *, at_start: bool = True) -> JsonResponse:
    message = describe_error(code, at_start=at_start)
    shown = code if _CODE.fullmatch(code) else UNKNOWN_ERROR
    return _error(shown, f"{message.what_happened} {message.what_to_do}", status)


def _throttled(seconds: int) -> JsonResponse:
    message = describe_limit(seconds)
    told = f"{message.what_happened} {message.what_to_do}"
    response = _error("throttled", told, HTTPStatus.TOO_MANY_REQUESTS)
    response["Retry-After"] = str(seconds)
    return response


def _bad_request(status: int = HTTPStatus.BAD_REQUEST, code: str = "bad_request") -> JsonResponse:
    return _error(code, _("Please choose a hospital or clinic from the list."), status)


def _refuse_stranger(request: HttpRequest) -> JsonResponse:
    if is_signed_in(request):
        message = _("Your account is not linked to a patient.")
        return _error("no_patient", message, HTTPStatus.FORBIDDEN)
    message = _("Please sign in to go on.")
    return _error("not_authenticated", message, HTTPStatus.UNAUTHORIZED)


def _error(code: str, message: str, status: int) -> JsonResponse:
    return JsonResponse({"error": {"code": code, "message": message}}, status=status)
