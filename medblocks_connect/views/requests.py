"""Reading a request: what cannot be read, what is said twice, and whether somebody is there."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final, Protocol

from django.core.exceptions import (
    BadRequest,
    ImproperlyConfigured,
    RequestDataTooBig,
    TooManyFieldsSent,
    TooManyFilesSent,
)
from django.http import HttpRequest, QueryDict, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
from django.urls import reverse

from medblocks_connect.conf import conf
from medblocks_connect.facilities.search import FacilitySearch
from medblocks_connect.url_safety import is_safe_base_url

UNREADABLE: Final = (
    BadRequest,  # a form in a character set that forms do not have
    MultiPartParserError,
    RequestDataTooBig,
    TooManyFieldsSent,  # in a form, or in an address
    TooManyFilesSent,
    UnreadablePostError,  # the browser went away in the middle of it
)
"""What Django raises for a query or a form that cannot be read, once a view looks into it."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


_PREFETCH_HEADERS: Final = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz")


class BodyRefusedError(Exception):
    """A body that is not read, or not as it was sent: ``status`` and the text say why."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


def read_body(request: HttpRequest, most: int) -> bytes:
    """Return the body of ``request``, of ``most`` bytes, byte for byte as it was sent.

    Raises :class:`BodyRefusedError`, also where there is none. Django reads as much as a
    ``Content-Length`` names, so nothing of a chunked body (RFC 9112, section 7.1): that is read to
    its end where the server says that it ends (``wsgi.input_terminated``, as gunicorn does).
    """
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise BodyRefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body is compressed.")
    try:
        body = _find_stream(request).read(most + 1)
    except (UnreadablePostError, OSError):  # who sent it went away in the middle
        raise BodyRefusedError(HTTPStatus.BAD_REQUEST, "The body did not arrive.") from None
    if len(body) > most:
        raise BodyRefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large.")
    if not body:
        raise BodyRefusedError(HTTPStatus.BAD_REQUEST, "There is no body.")
    return bytes(body)


def _find_stream(request: HttpRequest) -> _Readable:
    """Return what the body is read from; it stands at its beginning."""
    environ = getattr(request, "environ", {})  # an ASGI server has read the body itself
    is_chunked = "chunked" in request.headers.get("Transfer-Encoding", "").lower()
    if environ and is_chunked and not environ.get("CONTENT_LENGTH"):
        if not environ.get("wsgi.input_terminated"):
            raise BodyRefusedError(HTTPStatus.LENGTH_REQUIRED, "Send the body's length.")
        stream: _Readable = environ["wsgi.input"]
        return stream
    if getattr(request, "_read_started", False) and not hasattr(request, "_body"):
        raise BodyRefusedError(HTTPStatus.BAD_REQUEST, "A middleware of this site read the body.")
    return request


def discard_unreadable(request: HttpRequest, error: Exception) -> HTTPStatus:
    """Empty the query and the form of ``request``; return the status for one of :data:`UNREADABLE`.

    Nobody reads them again: Django would raise anew.
    """
    request.GET = request.POST = QueryDict()
    is_large = isinstance(error, RequestDataTooBig)
    return HTTPStatus.REQUEST_ENTITY_TOO_LARGE if is_large else HTTPStatus.BAD_REQUEST


def has_repeated_parameter(parameters: QueryDict, *names: str) -> bool:
    """Return whether one of ``names`` is repeated: two readers could read it differently."""
    return any(len(parameters.getlist(name)) > 1 for name in names)


def read_search(request: HttpRequest) -> FacilitySearch | None:
    """Return what the address of ``request`` searches for; None where it says two things."""
    names = ("q", "type", "starting_after")
    if has_repeated_parameter(request.GET, *names):
        return None
    return FacilitySearch.of(*(request.GET.get(name, "") for name in names))


def is_prefetch_or_head(request: HttpRequest) -> bool:
    """Return whether nobody is there to read the answer: a HEAD request or a browser's prefetch."""
    if request.method == "HEAD":
        return True
    announced = " ".join(request.headers.get(name, "") for name in _PREFETCH_HEADERS).lower()
    return "prefetch" in announced or "preview" in announced


def is_signed_in(request: HttpRequest) -> bool:
    """Return whether the host knows who sent ``request``, be it a patient or not."""
    user = getattr(request, "user", None)
    return user is not None and bool(user.is_authenticated)


def build_return_url(request: HttpRequest) -> str:
    """Return where the portal sends the patient back to: the setting, else this request's host.

    The host is one of ``ALLOWED_HOSTS`` (Django refuses any other before this is reached). Raises
    ``ImproperlyConfigured`` for a URL of a callable's that would lead a patient over plain http.
    """
    return_url = conf.return_url
    if return_url and not is_safe_base_url(return_url):
        raise ImproperlyConfigured(
            "MEDBLOCKS_CONNECT['RETURN_URL'] must be an absolute https URL without query."
        )
    return return_url or request.build_absolute_uri(reverse("medblocks_connect:return"))
