"""The make-believe portal: its pages, its choices and faults, and the return to the site.

The browser is only ever sent to the portal's own pages or to the ``return_url`` of its session.
Every page, refusals included, says that it is make-believe.
"""

from collections.abc import Callable
from dataclasses import dataclass
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
    SandboxView,
    exempt_from_host_middleware,
    require_debug,
)
from medblocks_connect.sandbox.fictional_catalog import (
    FictionalFacility,
    find_facility,
    search_catalog,
)
from medblocks_connect.sandbox.models import ConnectionStatus, SandboxSession, SessionStatus

MAX_SHOWN_FACILITIES = 10


@dataclass(frozen=True)
class PortalChoice:
    """One way to decide at a facility: a button of the consent page, and what follows it.

    ``name`` is what the form sends, ``note`` what the page says under the button. With an
    ``error`` the connection fails by this code; where the session is for this facility, the
    browser is sent back with it and with ``description``, the hospital's words for it. Without one
    the patient approves, unless the session ``expires``.
    """

    name: str
    label: str
    note: str = ""
    error: str = ""
    description: str = ""
    expires: bool = False
    stays_at_portal: bool = False

    def carry_out(self, session: SandboxSession, facility_id: str) -> None:
        """Decide so in ``session``. Raises ``SessionClosed``."""
        if self.error:
            flows.fail(session, self.error, facility_id)
        elif self.expires:
            flows.let_expire(session)
        else:
            flows.approve(session, facility_id)


APPROVE = PortalChoice("approve", "Sign in and approve")
CANCEL = PortalChoice(
    "cancel",
    "Cancel",
    error="user_denied",
    description="The user denied the authorization request.",
)
# Everything that can go wrong at the portal: a new fault is one more entry here. The descriptions
# are texts of the kind that hospitals' systems send.
FAULTS = (
    PortalChoice(
        "portal_error",
        "Portal error",
        "Fails with oauth_error.",
        error="oauth_error",
        description="server_error: The authorization server encountered an unexpected condition.",
    ),
    PortalChoice(
        "token_exchange_failed",
        "Token exchange failure",
        "Fails with token_exchange_failed.",
        error="token_exchange_failed",
        description="Token endpoint responded with status 400: invalid_grant",
    ),
    PortalChoice(
        "access_denied",
        "Access denied by the hospital",
        "Fails with access_denied.",
        error="access_denied",
        description="The resource owner or authorization server denied the request.",
    ),
    PortalChoice(
        "stay_away",
        "Approve, but never come back",
        "Connected, but the browser stays here.",
        stays_at_portal=True,
    ),
    PortalChoice(
        "expire",
        "Let it expire",
        "The link stops working now; nobody is sent back.",
        expires=True,
    ),
)
CHOICES = {choice.name: choice for choice in (APPROVE, CANCEL, *FAULTS)}
_DESCRIPTIONS = {choice.error: choice.description for choice in CHOICES.values()}


class _PortalCsrfCheck(CsrfViewMiddleware):
    """Django's own check, answered with a page of the portal."""

    def _reject(self, request: HttpRequest, _reason: str) -> HttpResponse:
        return _render_problem(request, "This page was open too long", 403)


_protect_from_csrf = decorator_from_middleware(_PortalCsrfCheck)


def portal_page(page: Callable[..., HttpResponse]) -> SandboxView:
    """Make a view of a page: in development only, for everybody, never cached."""

    # Inside, so that a site without DEBUG answers 404 and not "forbidden".
    protected = _protect_from_csrf(never_cache(page))

    @wraps(page)
    def view(request: HttpRequest, **arguments: str) -> HttpResponseBase:
        require_debug()
        response = _call_page(request, protected, arguments)
        # Not no-referrer: Django's CSRF check over https needs the site's own Referer.
        response["Referrer-Policy"] = "same-origin"
        return response

    return exempt_from_host_middleware(view)


def _call_page(
    request: HttpRequest, page: Callable[..., HttpResponseBase], arguments: dict[str, str]
) -> HttpResponseBase:
    try:
        response = page(request, **arguments)
    except Http404:
        return _render_problem(request, "No such link", 404)
    if isinstance(response, HttpResponseNotAllowed):
        problem = _render_problem(request, "Nothing is shown here", 405)
        problem["Allow"] = response["Allow"]
        return problem
    return response


def _render_problem(request: HttpRequest, problem: str, status: int) -> HttpResponse:
    return render(request, "medblocks_sandbox/problem.html", {"problem": problem}, status=status)


@portal_page
@require_safe
def show_portal(request: HttpRequest, token: str) -> HttpResponse:
    """Show the facility's sign-in, or the choice of a facility where the session names none."""
    session = _get_session(token)
    if _is_closed(session):
        return _render_closed_session(request, session)
    facility = _get_facility(session, request.GET.get("facility", ""))
    if facility is None:
        return _choose_facility(request, session)
    return _render(request, "sign_in", session, {"facility": facility})


@portal_page
@require_POST
def sign_in(request: HttpRequest, token: str) -> HttpResponse:
    """Take any user and any password, keep neither, and go on to the consent page."""
    session = _get_session(token)
    facility = _get_facility(session, request.POST.get("facility", ""))
    if facility is None:
        return _render_problem(request, "No such facility", 400)
    consent_url = reverse("medblocks_sandbox:consent", args=[token])
    if session.is_hosted:
        consent_url += "?" + urlencode({"facility": facility.id})
    return HttpResponseRedirect(consent_url, status=303)


@portal_page
@require_safe
def show_consent(request: HttpRequest, token: str) -> HttpResponse:
    """Ask whether the site may read the records, with a button for every choice."""
    session = _get_session(token)
    if _is_closed(session):
        return _render_closed_session(request, session)
    facility = _get_facility(session, request.GET.get("facility", ""))
    if facility is None:
        return HttpResponseRedirect(reverse("medblocks_sandbox:portal", args=[token]))
    context = {"facility": facility, "approve": APPROVE, "cancel": CANCEL, "faults": FAULTS}
    return _render(request, "consent", session, context)


@portal_page
@require_POST
def decide(request: HttpRequest, token: str) -> HttpResponse:
    """Do as the patient chose, and send the browser back unless it stays here.

    Back is the site; where the session is hosted and still open, it is the page to choose on.
    """
    session = _get_session(token)
    choice = CHOICES.get(request.POST.get("choice", ""))
    facility = _get_facility(session, request.POST.get("facility", ""))
    if choice is None or facility is None:
        return _render_problem(request, "No such choice", 400)
    try:
        choice.carry_out(session, facility.id)
    except flows.SessionClosed:
        session.refresh_from_db()
        if choice.stays_at_portal:
            return _render_closed_session(request, session)
    else:
        if choice.stays_at_portal:
            return _render(request, "access_given", session, {"facility": facility})
        if not _is_closed(session):
            portal_url = reverse("medblocks_sandbox:portal", args=[token])
            return HttpResponseRedirect(portal_url, status=303)
    return _send_back(request, session)


@portal_page
@require_POST
def leave(request: HttpRequest, token: str) -> HttpResponse:
    """Complete the session with the connections that it has, and send the browser back."""
    session = _get_session(token)
    try:
        flows.finish(session)
    except flows.SessionClosed:
        session.refresh_from_db()
    return _send_back(request, session)


def return_url_with_outcome(session: SandboxSession) -> str:
    """Return where the browser goes after ``session``: its ``return_url`` with what happened."""
    query = {"patient_id": session.patient_id, "patient_session_id": session.session_id}
    connection = session.connections.order_by("pk").last()
    if not session.is_hosted and connection is not None:
        if connection.status == ConnectionStatus.FAILED:
            code = connection.failure_code
            query |= {
                "success": "false",
                "error": code,
                "error_description": _DESCRIPTIONS.get(code, "The sign-in did not succeed."),
            }
        else:
            query |= {"success": "true", "connection_id": connection.connection_id}
    address, hash_sign, fragment = session.return_url.partition("#")
    address, _, own_query = address.partition("?")
    query_string = "&".join(part for part in (own_query, urlencode(query)) if part)
    return f"{address}?{query_string}{hash_sign}{fragment}"


def _get_session(token: str) -> SandboxSession:
    session: SandboxSession | None = SandboxSession.objects.filter(token=token).first()
    if session is None:
        raise Http404("No such session.")
    return session


def _is_closed(session: SandboxSession) -> bool:
    return session.status_at(timezone.now()) != SessionStatus.OPEN


def _get_facility(session: SandboxSession, chosen_id: str) -> FictionalFacility | None:
    return find_facility(session.connection_id or chosen_id)


def _choose_facility(request: HttpRequest, session: SandboxSession) -> HttpResponse:
    text = request.GET.get("q", "").strip()
    recommended = [
        facility
        for identifier in session.recommended_connection_ids
        if not text and (facility := find_facility(identifier)) is not None
    ]
    not_recommended = [
        facility
        for facility in search_catalog(text)
        if not facility.refuses and facility not in recommended
    ]
    context = {
        "q": text,
        "so_far": [
            {
                "facility": find_facility(connection.connection_id),
                "works": connection.status == ConnectionStatus.ACTIVE,
            }
            for connection in session.connections.order_by("pk")
        ],
        "recommended": recommended,
        "facilities": not_recommended[:MAX_SHOWN_FACILITIES],
        "more": len(not_recommended) > MAX_SHOWN_FACILITIES,
    }
    return _render(request, "choose", session, context)


def _send_back(request: HttpRequest, session: SandboxSession) -> HttpResponse:
    # A browser shows the answer to the last click, so every click leads where the first one did.
    if session.completed_at is None:
        return _render_closed_session(request, session)
    return _ReturnRedirect(return_url_with_outcome(session))


class _ReturnRedirect(HttpResponseRedirect):
    """A redirect to the ``return_url`` of a session, which may be an app's own scheme."""

    def __init__(self, url: str) -> None:
        self.allowed_schemes = [urlsplit(url).scheme]
        super().__init__(url)


def _render_closed_session(request: HttpRequest, session: SandboxSession) -> HttpResponse:
    context = {"complete": session.completed_at is not None}
    return _render(request, "session_closed", session, context, status=410)


def _render(
    request: HttpRequest,
    page: str,
    session: SandboxSession,
    context: dict[str, Any],
    *,
    status: int = 200,
) -> HttpResponse:
    parts = urlsplit(session.return_url)
    common = {"session": session, "site": parts.hostname or parts.scheme}
    return render(request, f"medblocks_sandbox/{page}.html", common | context, status=status)
