"""Decorators for all views: skip the host's middleware and transactions, check CSRF ourselves.

The patient resolver decides who is there, so the host's login middleware does not. A row that
was written must outlive an error, so no view runs inside ``ATOMIC_REQUESTS``.
"""

from __future__ import annotations

import logging
from typing import NoReturn

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware, get_token
from django.utils.cache import patch_cache_control
from django.utils.decorators import decorator_from_middleware, method_decorator
from django.views.decorators.csrf import csrf_exempt

from medblocks_connect.error_reports import View, report_discreetly

logger = logging.getLogger("medblocks_connect.views")


class CsrfFailedError(Exception):
    """The form of a request has no valid CSRF token."""


class _CsrfCheck(CsrfViewMiddleware):
    """Django's own check, which leaves the answer to the view."""

    def _reject(self, request: HttpRequest, reason: str) -> NoReturn:  # noqa: ARG002
        # It may quote where the browser came from, which no log above DEBUG is to keep.
        logger.debug("The CSRF check failed: %s", reason)
        raise CsrfFailedError


class _CsrfCookie(CsrfViewMiddleware):
    """Django's own cookie, without its check: that reads a form, which may be unreadable."""

    def process_view(self, request: HttpRequest, *args: object) -> None:  # noqa: ARG002
        get_token(request)


check_csrf = method_decorator(decorator_from_middleware(_CsrfCheck))
"""Make a method that takes a request raise :class:`CsrfFailedError` where Django's check fails."""

set_csrf_cookie = decorator_from_middleware(_CsrfCookie)
"""Make a view set the CSRF cookie, also where the host has no such middleware."""


def bypass_host_middleware(view: View) -> View:
    """Exempt ``view`` from the host's login and CSRF middleware and every database's transaction.

    An error that leaves it is reported without the patient's data.
    """
    guarded = report_discreetly(view)
    for alias in connections:
        guarded = transaction.non_atomic_requests(using=alias)(guarded)
    # The host's check would read a form that cannot be read, and show a page of its own.
    exempt: View = login_not_required(csrf_exempt(guarded))
    return exempt


def set_privacy_headers(response: HttpResponseBase, referrer_policy: str) -> None:
    """Let no cache keep ``response`` and no link tell where the patient was.

    ``referrer_policy`` may be ``""`` for the host's own. RFC 9111, section 5.2.2.5
    (``no-store``); W3C Referrer Policy (``no-referrer``).
    """
    patch_cache_control(response, no_store=True, private=True)
    if referrer_policy:
        response["Referrer-Policy"] = referrer_policy


def set_frame_options(response: HttpResponseBase, frame_options: str | None) -> None:
    """Let no other page show ``response`` in a frame, where a press could be stolen (RFC 7034).

    ``frame_options`` is the header's value, ``""`` for none; None stands for the host's setting
    ``X_FRAME_OPTIONS``, whose default is Django's, ``DENY``. Django's own middleware, where the
    host has it, keeps what is set here.
    """
    value = settings.X_FRAME_OPTIONS if frame_options is None else frame_options
    if value:
        response.headers.setdefault("X-Frame-Options", value.upper())
    elif frame_options is not None:
        response.xframe_options_exempt = True  # type: ignore[attr-defined]  # for the middleware
