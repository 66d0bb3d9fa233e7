"""The Content-Security-Policy of every page: the site's own files only, and nothing inline."""

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponseBase

# No form-action: browsers apply it to a form's redirect too, and the form that starts a
# connection is redirected to a hospital's portal, wherever that is.
POLICY: Final = "default-src 'self'; base-uri 'none'; frame-ancestors 'none'; object-src 'none'"


def content_security_policy(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase]:
    """Add the Content-Security-Policy to every response."""

    def add_policy(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        return response

    return add_policy
