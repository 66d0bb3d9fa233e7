"""What a patient gets where there is no page for them: a way on, and no word of anybody else."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus

from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponseBase

from medblocks_connect.conf import conf
from medblocks_connect.layout import render_bad_request, render_page
from medblocks_connect.views.decorators import UNREADABLE, View, exempt_if_safe, give_up_reading
from medblocks_connect.views.next_url import find_way_back


def answer_to(*methods: str) -> Callable[[View], View]:
    """Make a page answer ``methods`` alone; what else comes, and ``Http404``, get a page of ours.

    The host's own page for either would come after the headers that keep our answers private.
    """

    def wrap(view: View) -> View:
        @wraps(view)
        def answering(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
            if request.method not in methods:
                response = render_bad_request(request, HTTPStatus.METHOD_NOT_ALLOWED)
                response["Allow"] = ", ".join(methods)  # RFC 9110, section 15.5.6
                return response
            try:
                return view(request, *args, **kwargs)
            except Http404:
                return render_page(request, "not_here", {}, HTTPStatus.NOT_FOUND)
            except UNREADABLE as error:
                return render_bad_request(request, give_up_reading(request, error))

        return exempt_if_safe(answering, methods)

    return wrap


def refuse_stranger(request: HttpRequest, come_back_to: str) -> HttpResponseBase:
    """Answer a request without a patient: log in and come back, or nobody's account.

    Who is signed in already would be sent back here by the login page, for ever.
    """
    if is_signed_in(request):
        context = {"contact_url": conf.contact_url}
        return render_page(request, "no_patient", context, HTTPStatus.FORBIDDEN)
    return redirect_to_login(come_back_to)


def refuse_forgery(request: HttpRequest) -> HttpResponseBase:
    """Answer a form whose CSRF token is not valid: mostly its page is older than the last login."""
    context = {"way_back": find_way_back(request)}
    return render_page(request, "open_too_long", context, HTTPStatus.FORBIDDEN)


def is_signed_in(request: HttpRequest) -> bool:
    """Whether the host knows who sent ``request``, be it a patient or not."""
    user = getattr(request, "user", None)
    return user is not None and bool(user.is_authenticated)
