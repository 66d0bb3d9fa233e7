"""The same journey for hosts with their own front end, in JSON."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any, Final

from django.db import Error as AnyDatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _

from medblocks_connect.api import FhirSource, InvalidRequestError, MedblocksError
from medblocks_connect.api.return_url import UNKNOWN_ERROR
from medblocks_connect.attempts.start import StartRefusedError, start_attempt
from medblocks_connect.error_messages import ERROR_MESSAGES, describe_error
from medblocks_connect.facilities.search import find_facilities
from medblocks_connect.url_safety import is_public_https
from medblocks_connect.views.base import PatientJsonView
from medblocks_connect.views.decorators import set_csrf_cookie
from medblocks_connect.views.forms import StartForm
from medblocks_connect.views.requests import (
    BodyRefusedError,
    build_return_url,
    read_body,
    read_search,
)
from medblocks_connect.views.responses import (
    error_json,
    error_json_for_database,
    report_unavailable,
)
from medblocks_connect.views.search_results import find_connected

_BODY_MAX_BYTES: Final = 16 * 1024
# Medblocks' codes and ours. Any other text under that name is no code, and may be markup.
_CODE: Final = re.compile(r"[a-z0-9_]{1,100}")


@method_decorator(set_csrf_cookie, name="dispatch")
class ConnectionsJsonView(PatientJsonView):
    """Answer ``GET ?q=&type=&starting_after=`` with a page of facilities.

    Every answer sets the CSRF cookie that a start needs.
    """

    throttled_action = "search"

    def get(self, request: HttpRequest) -> HttpResponseBase:
        """Search."""
        search = read_search(request)
        if search is None:
            return _ask_for_another_search()
        if not search.is_long_enough:
            return JsonResponse({"data": [], "has_more": False, "next_cursor": None})
        try:
            page = find_facilities(search, self.patient.patient_id).page
        except InvalidRequestError:
            return _ask_for_another_search()
        except MedblocksError as error:
            message = _("The list of hospitals cannot be reached right now. Please try again soon.")
            answer = error_json("search_unavailable", message, HTTPStatus.SERVICE_UNAVAILABLE)
            return report_unavailable(answer, "A search had no answer", type(error).__name__)
        connected = find_connected(self.patient, page.data)
        return JsonResponse(
            {
                "data": [
                    {**_describe_facility(facility), "is_connected": facility.id in connected}
                    for facility in page.data
                ],
                "has_more": page.has_more,
                "next_cursor": page.next_cursor or None,
            }
        )


class PatientSessionsJsonView(PatientJsonView):
    """Answer ``POST {"connection_id": …}`` with ``{"url": …}``, where the browser is to go."""

    throttled_action = "start"

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """Start a patient session for the patient of the request, and for nobody else."""
        try:
            body = _read_object(read_body(request, _BODY_MAX_BYTES))
        except BodyRefusedError as error:
            return self.unreadable(error.status)
        if body is None:
            return self.unreadable(HTTPStatus.BAD_REQUEST)
        # The server knows who is there: a patient id from outside is never believed.
        if _read_id(body.get("patient_id", self.patient.patient_id)) != self.patient.patient_id:
            message = _("This is not your account.")
            return error_json("forbidden", message, HTTPStatus.FORBIDDEN)
        connection_id = body.get("connection_id")
        chosen = {"connection_id": connection_id if isinstance(connection_id, str) else ""}
        form = StartForm(chosen, patient_id=self.patient.patient_id)
        if not form.is_valid():
            return self.unreadable(HTTPStatus.BAD_REQUEST)
        return self._start(form.cleaned_data["connection_id"])

    def _start(self, connection_id: str) -> HttpResponseBase:
        try:
            started = start_attempt(self.patient, connection_id, build_return_url(self.request))
        except StartRefusedError as refused:
            code = refused.attempt.error or "no_answer"
            answer = _describe_failure(code, refused.status_code)
            if answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
                return answer
            # A code that nobody knows is a text from outside.
            why = code if code in ERROR_MESSAGES else "an unknown code"
            return report_unavailable(answer, "A start was refused", why)
        except AnyDatabaseError as error:
            return error_json_for_database("An attempt could not be recorded", error)
        return JsonResponse({"url": started.url})


def _ask_for_another_search() -> HttpResponse:
    return error_json("bad_request", _("Please search again."), HTTPStatus.BAD_REQUEST)


def _read_object(body: bytes) -> dict[str, Any] | None:
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return parsed if isinstance(parsed, dict) else None


def _read_id(value: object) -> str | None:
    """Return an id of a front end's as ours are: a number there is the same id."""
    is_id = isinstance(value, str | int) and not isinstance(value, bool)
    return str(value) if is_id else None


def _describe_facility(facility: FhirSource) -> dict[str, Any]:
    def show_link(url: str) -> str | None:
        return url if is_public_https(url) else None

    return {
        "id": facility.id,
        "name": facility.name,
        "type": facility.type or None,
        "logo_url": show_link(facility.logo_url),
        "portal_url": show_link(facility.portal_url),
    }


def _describe_failure(code: str, status: int) -> JsonResponse:
    message = describe_error(code, at_start=True)
    shown = code if _CODE.fullmatch(code) else UNKNOWN_ERROR
    return error_json(shown, message.text, status)
