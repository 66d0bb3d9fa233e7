"""The make-believe portal's pages: thin views over the deeds in ``flows``.

The browser is only ever sent to the portal's own pages or to the ``return_url`` of its session.
Whatever it asks for, the answer is plainly make-believe.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.middleware.csrf import CsrfViewMiddleware
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import decorator_from_middleware
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.endpoint_decorators import (
    API_VERSION,
    View,
    open_to_everybody,
    stay_in_development,
)
from medblocks_connect.sandbox.fictional_catalog import (
    Facility,
    all_facilities,
    find_facility,
    search_facilities,
)
from medblocks_connect.sandbox.models import SandboxSession, SessionStatus

SHOWN_FACILITIES = 10

Deed = Callable[[SandboxSession, str], object]

_DEEDS: dict[str, Deed] = {
    "approve": flows.approve,
    "cancel": flows.cancel,
    "portal_error": lambda session, facility: flows.fail(session, "oauth_error", facility),
    "access_denied": lambda session, facility: flows.fail(session, "access_denied", facility),
    "token_exchange_failed": lambda session, facility: flows.fail(
        session, "token_exchange_failed", facility
    ),
    "stay_away": flows.approve_and_stay_away,
    "expire": lambda session, _facility: flows.let_expire(session),
}

# What the form sends, what the button says, what comes of it.
_FAULTS = (
    ("portal_error", "Portal error", "Sent back with oauth_error."),
    ("token_exchange_failed", "Token exchange failure", "Sent back with token_exchange_failed."),
    ("access_denied", "Access denied by the hospital", "Sent back with access_denied."),
    ("stay_away", "Approve, but never come back", "Connected, but the browser stays here."),
    ("expire", "Let it expire", "The link stops working now; nobody is sent back."),
)


class _ForgeryCheck(CsrfViewMiddleware):
    """Django's own check, with a page of ours for its answer."""

    def _reject(self, request: HttpRequest, _reason: str) -> HttpResponse:
        return _refuse(request, "This page was open too long", 403)


_check_forgery = decorator_from_middleware(_ForgeryCheck)


def portal_page(page: Callable[..., HttpResponse]) -> View:
    """Make a view of a page: in development only, for everybody, never cached."""

    # Inside, so that a site without DEBUG answers 404 and not "forbidden".
    protected = _check_forgery(never_cache(page))

    @wraps(page)
    def view(request: HttpRequest, **parts: str) -> HttpResponseBase:
        stay_in_development()
        response = _answer(request, protected, parts)
        # Not no-referrer: Django's forgery check over https needs the site's own Referer.
        response["Referrer-Policy"] = "same-origin"
        return response

    return open_to_everybody(view)


def _answer(
    request: HttpRequest, page: Callable[..., HttpResponseBase], parts: dict[str, str]
) -> HttpResponseBase:
    try:
        response = page(request, **parts)
    except Http404:
        return _refuse(request, "No such link", 404)
    if isinstance(response, HttpResponseNotAllowed):
        refused = _refuse(request, "Nothing is shown here", 405)
        refused["Allow"] = response["Allow"]
        return refused
    return response


def _refuse(request: HttpRequest, problem: str, status: int) -> HttpResponse:
    return render(request, "medblocks_sandbox/wrong.html", {"problem": problem}, status=status)


@portal_page
@require_safe
def show_first_page(request: HttpRequest) -> HttpResponse:
    """Say what the sandbox is, what it is not, and where its API is."""
    address = request.build_absolute_uri(reverse("medblocks_sandbox:index")).rstrip("/")
    return render(
        request,
        "medblocks_sandbox/index.html",
        {"base_url": address, "api_version": API_VERSION, "facilities": len(all_facilities())},
    )


@portal_page
@require_safe
def show_portal(request: HttpRequest, token: str) -> HttpResponse:
    """Show the facility's sign-in, or the choice of a facility where the session names none."""
    session = _session(token)
    if _is_over(session):
        return _say_over(request, session)
    facility = _facility(session, request.GET.get("facility", ""))
    if facility is None:
        return _choose_facility(request, session)
    return _render(request, "sign_in", session, {"facility": facility})


@portal_page
@require_POST
def sign_in(request: HttpRequest, token: str) -> HttpResponse:
    """Take any user and any password, keep neither, and go on to the consent page."""
    session = _session(token)
    facility = _facility(session, request.POST.get("facility", ""))
    if facility is None:
        return _refuse(request, "No such facility", 400)
    address = reverse("medblocks_sandbox:consent", args=[token])
    if not session.connection_id:
        address += "?" + urlencode({"facility": facility.id})
    response = HttpResponseRedirect(address)
    response.status_code = 303
    return response


@portal_page
@require_safe
def show_consent(request: HttpRequest, token: str) -> HttpResponse:
    """Ask whether the site may read, with every way in which that can end."""
    session = _session(token)
    if _is_over(session):
        return _say_over(request, session)
    facility = _facility(session, request.GET.get("facility", ""))
    if facility is None:
        return HttpResponseRedirect(reverse("medblocks_sandbox:portal", args=[token]))
    return _render(request, "consent", session, {"facility": facility, "faults": _FAULTS})


@portal_page
@require_POST
def decide(request: HttpRequest, token: str) -> HttpResponse:
    """Do what the patient chose, and send the browser back unless the choice keeps it here."""
    session = _session(token)
    choice = request.POST.get("choice", "")
    deed = _DEEDS.get(choice)
    facility = _facility(session, request.POST.get("facility", ""))
    if deed is None or facility is None:
        return _refuse(request, "No such choice", 400)
    try:
        deed(session, facility.id)
    except flows.SessionOver:
        if choice == "stay_away":
            session.refresh_from_db()
            return _say_over(request, session)
        return _follow_first_click(request, session)
    if choice == "expire":
        return _say_over(request, session)
    if choice == "stay_away":
        return _render(request, "stay", session, {"facility": facility})
    return HttpResponseRedirect(flows.return_address(session))


@portal_page
@require_POST
def leave(request: HttpRequest, token: str) -> HttpResponse:
    """Go back from the choice of a facility without having picked one."""
    session = _session(token)
    try:
        flows.finish(session)
    except flows.SessionOver:
        return _follow_first_click(request, session)
    return HttpResponseRedirect(flows.return_address(session))


def _session(token: str) -> SandboxSession:
    session: SandboxSession | None = SandboxSession.objects.filter(token=token).first()
    if session is None:
        raise Http404("No such session.")
    return session


def _is_over(session: SandboxSession) -> bool:
    return session.status_at(timezone.now()) != SessionStatus.OPEN


def _facility(session: SandboxSession, picked: str) -> Facility | None:
    return find_facility(session.connection_id or picked)


def _choose_facility(request: HttpRequest, session: SandboxSession) -> HttpResponse:
    text = request.GET.get("q", "").strip()
    recommended = [
        facility
        for identifier in session.recommended_connection_ids
        if not text and (facility := find_facility(identifier)) is not None
    ]
    others = [
        facility
        for facility in search_facilities(text)
        if not facility.refuses and facility not in recommended
    ]
    context = {
        "q": text,
        "recommended": recommended,
        "facilities": others[:SHOWN_FACILITIES],
        "more": len(others) > SHOWN_FACILITIES,
    }
    return _render(request, "choose", session, context)


def _follow_first_click(request: HttpRequest, session: SandboxSession) -> HttpResponse:
    # A browser shows the answer to the last click, so that one must lead where the first one did.
    session.refresh_from_db()
    if session.completed_at is None:
        return _say_over(request, session)
    return HttpResponseRedirect(flows.return_address(session))


def _say_over(request: HttpRequest, session: SandboxSession) -> HttpResponse:
    context = {"complete": session.completed_at is not None}
    return _render(request, "over", session, context, status=410)


def _render(
    request: HttpRequest,
    page: str,
    session: SandboxSession,
    context: dict[str, Any],
    *,
    status: int = 200,
) -> HttpResponse:
    common = {"session": session, "site": urlsplit(session.return_url).hostname}
    return render(request, f"medblocks_sandbox/{page}.html", common | context, status=status)
