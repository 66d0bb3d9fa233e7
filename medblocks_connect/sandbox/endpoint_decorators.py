"""Decorators for the API's endpoints: check the key and version, add the envelope and headers."""

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
from medblocks_connect.sandbox.api_faults import build_error, consume_fault
from medblocks_connect.sandbox.error_envelope import ApiError
from medblocks_connect.sandbox.models import new_id

API_VERSION = "2026-04-25"
MAX_REQUEST_BYTES = 100_000  # bytes

EndpointFunction = Callable[..., dict[str, Any]]
SandboxView = Callable[..., HttpResponseBase]


def endpoint(
    method: str, operation: str, *, needs_key: bool = True
) -> Callable[[EndpointFunction], SandboxView]:
    """Make a view of a function that returns the JSON of a 200 or raises ``ApiError``.

    An empty ``method`` or ``operation`` stands for any method, or for no faults.
    """

    def make_view(function: EndpointFunction) -> SandboxView:
        @wraps(function)
        def view(request: HttpRequest, **arguments: str) -> HttpResponse:
            require_debug()
            request_id = new_id("req")
            try:
                if method:
                    _check_method(request, method)
                if needs_key:
                    _check_key(request.headers.get("Authorization", ""))
                    _check_version(request.headers.get("Version"))
                _check_size(request)
                response = JsonResponse(_call_with_faults(operation, function, request, arguments))
            except ApiError as error:
                response = JsonResponse(
                    error.envelope(request_id), status=error.status, headers=error.headers
                )
            response["X-Request-Id"] = request_id
            response["Cache-Control"] = "no-store"
            return response

        return exempt_from_host_middleware(view)

    return make_view


def by_method(**views: SandboxView) -> SandboxView:
    """Make a view of several endpoints with one address, such as ``GET=..., DELETE=...``."""

    @endpoint("", "", needs_key=False)
    def refuse_method(_request: HttpRequest, **_arguments: str) -> dict[str, Any]:
        raise _wrong_method(", ".join(views))

    def dispatch(request: HttpRequest, **arguments: str) -> HttpResponseBase:
        return views.get(request.method or "", refuse_method)(request, **arguments)

    return exempt_from_host_middleware(dispatch)


def exempt_from_host_middleware(view: SandboxView) -> SandboxView:
    """Exempt ``view`` from the host's CSRF and login middleware and its ``ATOMIC_REQUESTS``."""
    return login_not_required(csrf_exempt(transaction.non_atomic_requests(view)))


def require_debug() -> None:
    """Raise ``Http404`` unless the site runs with ``DEBUG``."""
    if not settings.DEBUG:
        raise Http404


def _call_with_faults(
    operation: str, function: EndpointFunction, request: HttpRequest, arguments: dict[str, str]
) -> dict[str, Any]:
    fault = consume_fault(operation) if operation else None
    if fault and not fault.after_the_work:
        raise build_error(fault)
    content = function(request, **arguments)
    if fault:
        raise build_error(fault)
    return content


def _check_method(request: HttpRequest, method: str) -> None:
    if request.method != method:
        raise _wrong_method(method)


def _wrong_method(allowed: str) -> ApiError:
    return ApiError(
        "bad_request",
        f"This address answers {allowed} only.",
        status=405,
        headers={"Allow": allowed},
    )


def _check_key(header: str) -> None:
    scheme, _, key = header.partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise ApiError("missing_api_key", "Send Authorization: Bearer mb_sk_….")
    key = key.strip()
    api_keys = conf.api_keys()
    if api_keys:
        accepted = any(hmac.compare_digest(key.encode(), allowed.encode()) for allowed in api_keys)
    else:
        accepted = re.fullmatch(r"mb_sk_(?:sbx|live)_\S+", key) is not None
    if not accepted:
        raise ApiError("invalid_api_key", "This API key is not known.")


def _check_version(version: str | None) -> None:
    if version is not None and version != API_VERSION:
        raise ApiError(
            "unsupported_api_version", f"This API speaks {API_VERSION}.", param="Version"
        )


def _check_size(request: HttpRequest) -> None:
    length = request.headers.get("Content-Length", "")
    if length.isascii() and length.isdigit() and int(length) > MAX_REQUEST_BYTES:
        raise ApiError("payload_too_large", f"A body has at most {MAX_REQUEST_BYTES} bytes.")
