"""Error reports without patients' data: a report says where an error broke, and nothing of whom.

Django's debug page, its mail to ``ADMINS``, and other collectors' are meant alike.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any, TypeAlias

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.core.handlers.asgi import ASGIRequest
from django.db import Error as AnyDatabaseError
from django.http import Http404, HttpRequest, HttpResponseBase, QueryDict
from django.template.response import SimpleTemplateResponse
from django.views.decorators.debug import sensitive_post_parameters

View: TypeAlias = Callable[..., HttpResponseBase]

# Where servers put the whole address (gunicorn, uWSGI, mod_wsgi), where the patient came from,
# which may be their session at Medblocks, and whom the server signed in.
_PRIVATE_META = ("QUERY_STRING", "RAW_URI", "REQUEST_URI", "HTTP_REFERER", "REMOTE_USER")


def report_discreetly(view: View) -> View:
    """Keep the patient's data out of the reports of an error in ``view``, or in its template.

    Its form too, where nothing leaves the view: Django also mails a 5xx that a host's own view
    of ours answers, and an error of the host's middleware after it.
    """
    view = sensitive_post_parameters()(view)

    @wraps(view)
    def reporting_view(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        with _withholding(request):
            response = view(request, *args, **kwargs)
        if isinstance(response, SimpleTemplateResponse) and not response.is_rendered:
            _render_discreetly(response, request)
        return response

    return reporting_view


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
        if name in _PRIVATE_META or (query and isinstance(value, str) and query in value):
            request.META[name] = ""
    if isinstance(request, ASGIRequest):  # its META is a copy of what the server gave
        scope: Any = request.scope
        scope["query_string"] = b""
        scope["headers"] = [header for header in scope["headers"] if header[0] != b"referer"]


def _withhold_values(error: BaseException) -> None:
    """Keep the places where ``error`` and its causes were raised, and drop their values."""
    for cause in _list_causes(error):
        # Reports print the local variables of every frame: patients, bodies, sessions.
        traceback.clear_frames(cause.__traceback__)
        if isinstance(cause, AnyDatabaseError):
            # A database quotes the row: "DETAIL: Key (patient_id)=(…) already exists."
            cause.args = ("(withheld: a database's message may quote a patient's data)",)
            if cause.__cause__ is not None:
                cause.__cause__.args = cause.args


def _list_causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        cause = waiting.pop()
        if cause is not None and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += [cause.__cause__, cause.__context__]
