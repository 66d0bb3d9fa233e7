"""Who is let in, and what every answer of the API carries: the key, the version, the envelope."""

import hmac
import re
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from medblocks_connect.sandbox import conf
from medblocks_connect.sandbox.api_faults import error_of, take_fault
from medblocks_connect.sandbox.error_envelope import ApiError
from medblocks_connect.sandbox.models import new_id

API_VERSION = "2026-04-25"
LARGEST_BODY = 100_000  # bytes

Answer = Callable[..., dict[str, Any]]
View = Callable[..., HttpResponseBase]


def endpoint(method: str, operation: str, *, needs_key: bool = True) -> Callable[[Answer], View]:
    """Make a view of a function that returns the JSON of a 200 or raises ``ApiError``."""

    def make_view(answer: Answer) -> View:
        @wraps(answer)
        def view(request: HttpRequest, **parts: str) -> HttpResponse:
            stay_in_development()
            request_id = new_id("req")
            try:
                if method:
                    _check_method(request, method)
                if needs_key:
                    _check_key(request.headers.get("Authorization", ""))
                    _check_version(request.headers.get("Version"))
                _check_size(request)
                response = JsonResponse(_answer_or_fail(operation, answer, request, parts))
            except ApiError as error:
                response = JsonResponse(
                    error.envelope(request_id), status=error.status, headers=error.headers
                )
            response["X-Request-Id"] = request_id
            response["Cache-Control"] = "no-store"
            return response

        return open_to_everybody(view)

    return make_view


def open_to_everybody(view: View) -> View:
    """Free ``view`` from the host's forgery and login middleware and its ``ATOMIC_REQUESTS``."""
    return login_not_required(csrf_exempt(transaction.non_atomic_requests(view)))


def stay_in_development() -> None:
    """Raise ``Http404`` unless the site runs with ``DEBUG``."""
    if not settings.DEBUG:
        raise Http404


def _answer_or_fail(
    operation: str, answer: Answer, request: HttpRequest, parts: dict[str, str]
) -> dict[str, Any]:
    fault = take_fault(operation) if operation else None
    if fault and not fault.after_the_work:
        raise error_of(fault)
    content = answer(request, **parts)
    if fault:
        raise error_of(fault)
    return content


def _check_method(request: HttpRequest, method: str) -> None:
    if request.method != method:
        raise ApiError(
            "bad_request",
            f"This address answers {method} only.",
            status=405,
            headers={"Allow": method},
        )


def _check_key(header: str) -> None:
    scheme, _, key = header.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise ApiError("missing_api_key", "Send Authorization: Bearer mb_sk_….")
    key = key.strip()
    allowed = conf.api_keys()
    if allowed:
        known = any(hmac.compare_digest(key.encode(), one.encode()) for one in allowed)
    else:
        known = re.fullmatch(r"mb_sk_(?:sbx|live)_\S+", key) is not None
    if not known:
        raise ApiError("invalid_api_key", "This API key is not known.")


def _check_version(version: str | None) -> None:
    if version is not None and version != API_VERSION:
        raise ApiError(
            "unsupported_api_version", f"This API speaks {API_VERSION}.", param="Version"
        )


def _check_size(request: HttpRequest) -> None:
    length = request.headers.get("Content-Length", "")
    if length.isascii() and length.isdigit() and int(length) > LARGEST_BODY:
        raise ApiError("payload_too_large", f"A body has at most {LARGEST_BODY} bytes.")
