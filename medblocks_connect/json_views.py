"""The same journey for hosts with their own front end, in JSON.

Errors are ``{"error": {"code", "message"}}`` with a message fit for patients.
"""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any

from django.db import Error as AnyDatabaseError
from django.http import HttpRequest, JsonResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_GET, require_POST

from medblocks_connect.api import FhirSource, MedblocksError
from medblocks_connect.attempts.start import StartRefusedError, build_return_url, start_attempt
from medblocks_connect.facilities import FacilitySearch, search_facilities
from medblocks_connect.forms import StartForm
from medblocks_connect.guards import keep_private, stand_alone
from medblocks_connect.messages import describe_error
from medblocks_connect.patients import resolve_patient
from medblocks_connect.results import is_public_https
from medblocks_connect.throttles import throttle

logger = logging.getLogger("medblocks_connect.views")

_BODY_MAX_BYTES = 16 * 1024


@stand_alone
@require_GET
@keep_private
def connections(request: HttpRequest) -> JsonResponse:
    """Answer ``GET ?q=&type=&starting_after=`` with a page of facilities."""
    patient = resolve_patient(request)
    if patient is None:
        return _not_signed_in()
    if seconds := throttle(patient, "search"):
        return _throttled(seconds)
    asked = FacilitySearch.of(
        request.GET.get("q", ""),
        request.GET.get("type", ""),
        request.GET.get("starting_after", ""),
    )
    if not asked.is_long_enough:
        return JsonResponse({"data": [], "has_more": False, "next_cursor": None})
    try:
        page = search_facilities(asked)
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
@require_POST
@keep_private
@csrf_protect
def patient_sessions(request: HttpRequest) -> JsonResponse:
    """Answer ``POST {"connection_id": …}`` with ``{"url": …}``, where the browser is to go."""
    patient = resolve_patient(request)
    if patient is None:
        return _not_signed_in()
    raw = request.read(_BODY_MAX_BYTES + 1)
    if len(raw) > _BODY_MAX_BYTES:
        return _bad_request(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    body = _read(raw)
    if body is None:
        return _bad_request()
    # The server knows who is there: a patient id from outside is never believed.
    if body.get("patient_id", patient.patient_id) != patient.patient_id:
        return _error("forbidden", _("This is not your account."), HTTPStatus.FORBIDDEN)
    connection_id = body.get("connection_id")
    form = StartForm({"connection_id": connection_id if isinstance(connection_id, str) else ""})
    if not form.is_valid():
        return _bad_request()
    if seconds := throttle(patient, "start"):
        return _throttled(seconds)
    try:
        started = start_attempt(
            patient, form.cleaned_data["connection_id"], build_return_url(request)
        )
    except StartRefusedError as refused:
        code = refused.attempt.error or "no_answer"
        return _failure(code, refused.status_code)
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


def _failure(code: str, status: int) -> JsonResponse:
    message = describe_error(code)
    return _error(code, f"{message.what_happened} {message.what_to_do}", status)


def _throttled(seconds: int) -> JsonResponse:
    response = _failure("throttled", HTTPStatus.TOO_MANY_REQUESTS)
    response["Retry-After"] = str(seconds)
    return response


def _bad_request(status: int = HTTPStatus.BAD_REQUEST) -> JsonResponse:
    message = _("Please choose a hospital or clinic from the list.")
    return _error("bad_request", message, status)


def _not_signed_in() -> JsonResponse:
    message = _("Please sign in to go on.")
    return _error("not_authenticated", message, HTTPStatus.UNAUTHORIZED)


def _error(code: str, message: str, status: int) -> JsonResponse:
    return JsonResponse({"error": {"code": code, "message": message}}, status=status)
