"""Answers that several views give: our pages in the site's frame, and redirects."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, TypeVar

from django.db import Error as AnyDatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.template.loader import render_to_string

from medblocks_connect.attempts.queries import find_standing, has_failed_twice, has_never_left
from medblocks_connect.attempts.waiting import is_confirming, is_long_wait, seconds_until_reload
from medblocks_connect.conf import conf
from medblocks_connect.error_messages import describe_error, describe_limit
from medblocks_connect.layout import find_frame
from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.views.database_outage import name_database_error
from medblocks_connect.views.search_results import find_place_name

Response = TypeVar("Response", bound=HttpResponse)

logger = logging.getLogger("medblocks_connect.views")


class SeeOther(HttpResponseRedirect):
    """A redirect that is always followed by GET (RFC 9110, section 15.4.4).

    Its ``repr`` names no address: a session's ``url`` is a secret.
    """

    status_code = HTTPStatus.SEE_OTHER

    def __repr__(self) -> str:
        return f"<{type(self).__name__} status_code={self.status_code:d}>"


def render_page(
    request: HttpRequest, name: str, context: Mapping[str, Any], status: int = 200
) -> HttpResponse:
    """Render our page ``name`` in the site's frame; every page can say where the site gives help.

    ``medblocks_connect/base.html`` extends ``medblocks_frame``; a site that replaces that template
    has a frame of its own, and this one is not used.
    """
    page = {"contact_url": conf.contact_url, **context, "medblocks_frame": find_frame()}
    return render(request, f"medblocks_connect/{name}.html", page, status=status)


def render_bad_request(request: HttpRequest, status: int = HTTPStatus.BAD_REQUEST) -> HttpResponse:
    """Return the page for what nobody could read, or that says two things."""
    return render_page(request, "bad_request", {}, status)


def render_database_trouble(
    request: HttpRequest, what: str, error: AnyDatabaseError
) -> HttpResponse:
    """Return the page for a patient of whom nothing could be stored; the log says ``what``."""
    context: dict[str, Any] = {"message": describe_error("internal_error")}
    try:
        page = render_page(request, "trouble", context, HTTPStatus.SERVICE_UNAVAILABLE)
    except AnyDatabaseError:
        # The site's own frame asks the database too, who is signed in for one: our own does not.
        context["contact_url"] = conf.contact_url
        plain = render_to_string("medblocks_connect/trouble.html", context)
        page = HttpResponse(plain, status=HTTPStatus.SERVICE_UNAVAILABLE)
    return report_unavailable(page, what, name_database_error(error), logging.ERROR)


def render_throttled(request: HttpRequest, seconds: int) -> HttpResponse:
    """Return the page for a patient who is to wait ``seconds`` (RFC 9110, ``Retry-After``)."""
    # Nothing failed: the patient is to wait.
    context = {"message": describe_limit(seconds), "notice_tone": "plain"}
    response = render_page(request, "trouble", context, HTTPStatus.TOO_MANY_REQUESTS)
    response["Retry-After"] = str(seconds)
    return response


def render_outcome(request: HttpRequest, attempt: PatientConnectionAttempt) -> HttpResponse:
    """Return the page that tells the patient what came of ``attempt``, or that it is checked."""
    is_stopped = "stop" in request.GET
    refresh = seconds_until_reload(attempt, stopped=is_stopped)
    never_left = has_never_left(attempt)
    context = {
        "attempt": attempt,
        "is_confirming": is_confirming(attempt) and not never_left,
        "is_unfinished": attempt.is_unfinished and not never_left,
        "standing": find_standing(attempt),
        "never_left": never_left,
        "message": describe_error(attempt.error, at_start=never_left),
        "refresh": refresh,
        "is_stopped": is_stopped,
        "is_long_wait": is_long_wait(attempt),
        "has_failed_twice": has_failed_twice(attempt),
        # A start that was refused asked already, and its page may be loaded again and again.
        "place_name": find_place_name(attempt, may_ask=not never_left),
    }
    response = render_page(request, "attempt", context)
    if refresh:
        response["Refresh"] = str(refresh)
    return response


def report_unavailable(
    response: Response, what: str, why: str, level: int = logging.WARNING
) -> Response:
    """Return ``response``, a 5xx that we mean, with one line in the log that names nobody.

    Left to Django it would be an error, mailed to ``ADMINS`` with the request: for each press of
    each patient while Medblocks is away. ``what`` and ``why`` are words of our own.
    """
    logger.log(level, "%s: %s", what, why)
    response._has_been_logged = True  # type: ignore[attr-defined]  # noqa: SLF001 - Django's note
    return response


def error_json(code: str, message: str, status: int) -> JsonResponse:
    """Return an error as hosts' front ends read it; ``message`` is fit for patients."""
    return JsonResponse({"error": {"code": code, "message": message}}, status=status)


def error_json_for_database(what: str, error: AnyDatabaseError) -> JsonResponse:
    """Return the same for a request of which nothing could be stored; the log says ``what``."""
    text = describe_error("internal_error", at_start=True).text
    answer = error_json("internal_error", text, HTTPStatus.SERVICE_UNAVAILABLE)
    return report_unavailable(answer, what, name_database_error(error), logging.ERROR)
