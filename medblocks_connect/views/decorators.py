"""What holds for every view of ours, whatever the host's middleware: who decides, what is kept.

The patient resolver decides who is there, so the host's login middleware does not. A row that
was written must outlive an error, so no view runs inside ``ATOMIC_REQUESTS``. An error report
(Django's debug page, its mail to ``ADMINS``, or another collector's) says where it broke and
nothing about whom.
"""

from __future__ import annotations

import contextlib
import logging
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from http import HTTPStatus
from typing import Any, Final, TypeAlias

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import (
    BadRequest,
    PermissionDenied,
    RequestDataTooBig,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.core.handlers.asgi import ASGIRequest
from django.db import Error as AnyDatabaseError
from django.db import connections, transaction
from django.http import (
    Http404,
    HttpRequest,
    HttpResponseBase,
    QueryDict,
    UnreadablePostError,
)
from django.http.multipartparser import MultiPartParserError
from django.middleware.csrf import CsrfViewMiddleware
from django.template.response import SimpleTemplateResponse
from django.utils.cache import patch_cache_control
from django.utils.decorators import decorator_from_middleware
from django.views.decorators.csrf import csrf_exempt

logger = logging.getLogger("medblocks_connect.views")

View: TypeAlias = Callable[..., HttpResponseBase]

UNREADABLE: Final = (
    BadRequest,  # a form in a character set that forms do not have
    MultiPartParserError,
    RequestDataTooBig,
    TooManyFieldsSent,  # in a form, or in an address
    TooManyFilesSent,
    UnreadablePostError,  # the browser went away in the middle of it
)
"""What Django raises for a query or a form that cannot be read, once a view looks into it."""

_PREFETCH_HEADERS = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")


# Where servers put the whole address (gunicorn, uWSGI, mod_wsgi), where the patient came from,
# which may be their session at Medblocks, and whom the server signed in.
_TELLING_META = ("QUERY_STRING", "RAW_URI", "REQUEST_URI", "HTTP_REFERER", "REMOTE_USER")


def stand_alone(view: View) -> View:
    """Exempt ``view`` from the host's login middleware and from every database's transaction.

    An error that leaves it is reported without the patient's data.
    """
    guarded = report_discreetly(view)
    for alias in connections:
        guarded = transaction.non_atomic_requests(using=alias)(guarded)
    exempt: View = login_not_required(guarded)
    return exempt


def report_discreetly(view: View) -> View:
    """Keep the patient's data out of the reports of an error in ``view``, or in its template."""

    @wraps(view)
    def discreet_view(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        with _withholding(request):
            response = view(request, *args, **kwargs)
        if isinstance(response, SimpleTemplateResponse) and not response.is_rendered:
            _render_discreetly(response, request)
        return response

    return discreet_view


def _render_discreetly(response: SimpleTemplateResponse, request: HttpRequest) -> None:
    # Django renders it after the last middleware has seen it, out of the view's reach.
    render = response.render

    def render_withholding() -> SimpleTemplateResponse:
        with _withholding(request):
            return render()

    response.render = render_withholding  # type: ignore[method-assign]


@contextlib.contextmanager
def _withholding(request: HttpRequest) -> Iterator[None]:
    try:
        yield
    except (Http404, PermissionDenied):  # answers, not errors
        raise
    except Exception as error:
        _withhold_request(request)
        _withhold_values(error)
        raise


def _withhold_request(request: HttpRequest) -> None:
    """Take out of ``request`` what a report would print of it."""
    # Read first: a report that found the files unread would parse the form anew.
    with contextlib.suppress(Exception):
        _files = request.FILES
    request.GET = request.POST = QueryDict()
    request.user = AnonymousUser()
    query = request.META.get("QUERY_STRING", "")
    for name, value in request.META.items():
        if name in _TELLING_META or (query and isinstance(value, str) and query in value):
            request.META[name] = ""
    if isinstance(request, ASGIRequest):  # its META is a copy of what the server gave
        scope: Any = request.scope
        scope["query_string"] = b""
        scope["headers"] = [each for each in scope["headers"] if each[0] != b"referer"]


def _withhold_values(error: BaseException) -> None:
    """Keep where ``error`` and what led to it happened, and drop the values it happened with."""
    for each in _with_causes(error):
        # Reports print the local variables of every frame: patients, bodies, sessions.
        traceback.clear_frames(each.__traceback__)
        if isinstance(each, AnyDatabaseError):
            # A database quotes the row: "DETAIL: Key (patient_id)=(…) already exists."
            each.args = ("(withheld: a database's message may quote a patient's data)",)
            if each.__cause__ is not None:
                each.__cause__.args = each.args


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__]


def keep_private(view: View) -> View:
    """Let no cache keep the answers of ``view`` and no link tell where the patient was.

    RFC 9111, section 5.2.2.5 (``no-store``); W3C Referrer Policy (``no-referrer``).
    """

    @wraps(view)
    def private_view(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        response = view(request, *args, **kwargs)
        patch_cache_control(response, no_store=True, private=True)
        response["Referrer-Policy"] = "no-referrer"
        return response

    return private_view


def check_csrf(answer: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[View], View]:
    """Make a view refuse a form without a valid CSRF token by ``answer``.

    The check is Django's. Its page says nothing that a patient could do, and the middleware of
    the host, which would show it first, leaves the check to this one.
    """

    class Check(CsrfViewMiddleware):
        def _reject(self, request: HttpRequest, reason: str) -> HttpResponseBase:
            # It may quote where the browser came from, which no log above DEBUG is to keep.
            logger.debug("The CSRF check failed: %s", reason)
            return answer(request)

    check = decorator_from_middleware(Check)

    def wrap(view: View) -> View:
        exempt: View = csrf_exempt(check(view))
        return exempt

    return wrap


def exempt_if_safe(view: View, methods: Sequence[str]) -> View:
    """Exempt ``view`` from the CSRF check of the host where it takes no form.

    That check reads any form before the view can say that it takes none, and fails on one that
    cannot be read.
    """
    return view if "POST" in methods else csrf_exempt(view)


def give_up_reading(request: HttpRequest, error: Exception) -> HTTPStatus:
    """Return the status for one of :data:`UNREADABLE`.

    Nobody reads the query or the form of ``request`` again: Django would raise anew.
    """
    request.GET = request.POST = QueryDict()
    is_large = isinstance(error, RequestDataTooBig)
    return HTTPStatus.REQUEST_ENTITY_TOO_LARGE if is_large else HTTPStatus.BAD_REQUEST


def says_twice(given: QueryDict, *names: str) -> bool:
    """Whether ``given`` repeats one of these: two readers could read it differently."""
    return any(len(given.getlist(name)) > 1 for name in names)


def is_only_looking(request: HttpRequest) -> bool:
    """Whether nobody is there to read the answer: a HEAD request or a browser's prefetch."""
    if request.method == "HEAD":
        return True
    announced = " ".join(request.headers.get(name, "") for name in _PREFETCH_HEADERS).lower()
    return "prefetch" in announced or "preview" in announced
