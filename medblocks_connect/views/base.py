"""The order of guards before every view of the patients' pages and JSON.

Bypass the host's middleware; allow the methods that the view has; resolve the patient; check the
CSRF token; refuse a form that was made for somebody else; count the request against the patient's
throttle; then call the handler (``get``, ``post``). Every answer is private. Where the database is
away, full or read-only, the answer is 503 at whichever of these it is noticed. A host may subclass
a view and route to it: the guards come with ``as_view()``.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, ClassVar

from django.contrib.auth.views import redirect_to_login
from django.db import Error as AnyDatabaseError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.utils.decorators import classonlymethod
from django.utils.translation import gettext as _
from django.views import View

from medblocks_connect.error_messages import describe_limit
from medblocks_connect.error_reports import View as ViewFunction
from medblocks_connect.patients import (
    FORM_FIELD,
    Patient,
    is_form_of,
    remember_patient,
    resolve_patient,
)
from medblocks_connect.views.database_outage import is_outage
from medblocks_connect.views.decorators import (
    CsrfFailedError,
    bypass_host_middleware,
    check_csrf,
    set_frame_options,
    set_privacy_headers,
)
from medblocks_connect.views.next_url import find_next_url
from medblocks_connect.views.requests import UNREADABLE, discard_unreadable, is_signed_in
from medblocks_connect.views.responses import (
    error_json,
    error_json_for_database,
    render_bad_request,
    render_database_trouble,
    render_page,
    render_throttled,
)
from medblocks_connect.views.throttling import count_request


class HostIndependentView(View):
    """A view that runs outside the host's login and CSRF middleware and its transactions."""

    @classonlymethod
    def as_view(cls, **initkwargs: Any) -> ViewFunction:
        """Return the view function, guarded."""
        return bypass_host_middleware(super().as_view(**initkwargs))


class PatientView(HostIndependentView):
    """A page for the patient of the request, who is in ``self.patient`` once a handler is called.

    Override a method to change what is answered; call ``super()`` to keep it.
    """

    http_method_names = ["get", "head", "post"]
    throttled_action: ClassVar[str] = ""
    """The key of the setting ``THROTTLES`` that each request counts for; "" for none."""
    referrer_policy: ClassVar[str] = "no-referrer"
    """The ``Referrer-Policy`` of each answer; "" for the host's own."""
    frame_options: ClassVar[str | None] = None
    """The ``X-Frame-Options`` of each answer; None for the host's setting, "" for none."""

    patient: Patient

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Let the guards answer, then the handler; make the answer private."""
        try:
            response = self._pass_guards(request, *args, **kwargs)
        except AnyDatabaseError as error:
            if not is_outage(error):
                raise
            response = self.database_unavailable(error)
        set_privacy_headers(response, self.referrer_policy)
        set_frame_options(response, self.frame_options)
        return response

    def _pass_guards(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if (request.method or "").lower() not in self._list_methods():
            return self.http_method_not_allowed(request, *args, **kwargs)
        try:
            response = self.answer_anybody()
            if response is not None:
                return response
            patient = self.get_patient()
            if patient is None:
                return self.patient_required()
            self.patient = patient
            remember_patient(request, patient)
            return self._answer_patient(request, *args, **kwargs)
        except CsrfFailedError:
            return self.csrf_failed()
        except Http404:
            return self.not_found()
        except UNREADABLE as error:
            return self.unreadable(discard_unreadable(request, error))

    @check_csrf
    def _answer_patient(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        named = self.list_named_patients()
        if len(named) > 1:
            return self.unreadable(HTTPStatus.BAD_REQUEST)
        if named and not is_form_of(self.patient, named[0]):
            return self.patient_changed()
        action = self.get_throttled_action()
        if action and (seconds := count_request(self.patient, action)):
            return self.throttled(seconds)
        handler = getattr(self, (request.method or "").lower())
        response: HttpResponseBase = handler(request, *args, **kwargs)
        return response

    def _list_methods(self) -> list[str]:
        return [name for name in self.http_method_names if hasattr(self, name)]

    def answer_anybody(self) -> HttpResponseBase | None:
        """Return the answer that is the same for everybody; None where the patient matters."""
        return None

    def get_patient(self) -> Patient | None:
        """Return whose page this is, by the setting ``PATIENT_RESOLVER``; None for nobody's."""
        return resolve_patient(self.request)

    def list_named_patients(self) -> list[str]:
        """Return whom the form of the request says it was made for; a form may say nothing."""
        return self.request.POST.getlist(FORM_FIELD)

    def get_throttled_action(self) -> str:
        """Return the key of the setting ``THROTTLES`` that this request counts for; "" for none."""
        return self.throttled_action

    def get_login_next(self) -> str:
        """Return the path that a visitor comes back to after they logged in."""
        return find_next_url(self.request) if self.request.method == "POST" else self.request.path

    def patient_required(self) -> HttpResponseBase:
        """Answer a request without a patient: log in and come back, or nobody's account.

        Who is signed in already would be sent back here by the login page, for ever.
        """
        if is_signed_in(self.request):
            return render_page(self.request, "no_patient", {}, HTTPStatus.FORBIDDEN)
        return redirect_to_login(self.get_login_next())

    def csrf_failed(self) -> HttpResponseBase:
        """Answer a form without a valid CSRF token: mostly its page is older than the login."""
        context = {"next_url": find_next_url(self.request)}
        return render_page(self.request, "open_too_long", context, HTTPStatus.FORBIDDEN)

    def patient_changed(self) -> HttpResponseBase:
        """Answer a form that was made for somebody else, and say of neither who they are."""
        return render_page(self.request, "patient_changed", {}, HTTPStatus.CONFLICT)

    def throttled(self, seconds: int) -> HttpResponseBase:
        """Answer a patient who is to wait ``seconds``."""
        return render_throttled(self.request, seconds)

    def unreadable(self, status: HTTPStatus) -> HttpResponseBase:
        """Answer a query or a form that cannot be read, or that says two things."""
        return render_bad_request(self.request, status)

    def database_unavailable(self, error: AnyDatabaseError) -> HttpResponseBase:
        """Answer where the database is away, full or read-only; nobody is mailed about it."""
        return render_database_trouble(self.request, self.describe_outage(), error)

    def describe_outage(self) -> str:
        """Return what the log says then: it names no patient."""
        return f"The database did not serve {type(self).__name__}"

    def not_found(self) -> HttpResponseBase:
        """Answer ``Http404``, for what is not there and for what is somebody else's."""
        return render_page(self.request, "not_here", {}, HTTPStatus.NOT_FOUND)

    def http_method_not_allowed(
        self,
        request: HttpRequest,  # noqa: ARG002 - Django's signature
        *args: Any,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> HttpResponse:
        """Answer a method that the view has not, by a page of ours (RFC 9110, section 15.5.6)."""
        response = self.describe_wrong_method()
        response["Allow"] = ", ".join(name.upper() for name in self._list_methods())
        return response

    def describe_wrong_method(self) -> HttpResponse:
        """Return the answer to a method that the view has not, without its ``Allow``."""
        return render_bad_request(self.request, HTTPStatus.METHOD_NOT_ALLOWED)


class PatientJsonView(PatientView):
    """The same guards for a host's own front end: every answer is JSON.

    An error is ``{"error": {"code", "message"}}`` with a message fit for patients.
    """

    def list_named_patients(self) -> list[str]:
        """Return nobody: these bodies are JSON, and may name a patient by their id."""
        return []

    def patient_required(self) -> HttpResponseBase:
        """Answer a request without a patient: 401 for a visitor, 403 for nobody's account."""
        if is_signed_in(self.request):
            message = _("Your account is not linked to a patient.")
            return error_json("no_patient", message, HTTPStatus.FORBIDDEN)
        message = _("Please sign in to go on.")
        return error_json("not_authenticated", message, HTTPStatus.UNAUTHORIZED)

    def csrf_failed(self) -> HttpResponseBase:
        """Answer a request without a valid CSRF token."""
        message = _("This page was open too long. Please load it again.")
        return error_json("csrf_failed", message, HTTPStatus.FORBIDDEN)

    def throttled(self, seconds: int) -> HttpResponseBase:
        """Answer a patient who is to wait ``seconds``."""
        message = describe_limit(seconds).text
        response = error_json("throttled", message, HTTPStatus.TOO_MANY_REQUESTS)
        response["Retry-After"] = str(seconds)
        return response

    def database_unavailable(self, error: AnyDatabaseError) -> HttpResponseBase:
        """Answer where the database is away, full or read-only; nobody is mailed about it."""
        return error_json_for_database(self.describe_outage(), error)

    def unreadable(self, status: HTTPStatus) -> HttpResponseBase:
        """Answer a query or a body that cannot be read."""
        return error_json("bad_request", self.describe_bad_request(), status)

    def not_found(self) -> HttpResponseBase:
        """Answer ``Http404``."""
        message = _("The link may be old. Or you may be signed in as somebody else.")
        return error_json("resource_not_found", message, HTTPStatus.NOT_FOUND)

    def describe_wrong_method(self) -> HttpResponse:
        """Return the answer to a method that the view has not, without its ``Allow``."""
        message = self.describe_bad_request()
        return error_json("method_not_allowed", message, HTTPStatus.METHOD_NOT_ALLOWED)

    def describe_bad_request(self) -> str:
        """Return what a patient is told of a request that cannot be taken."""
        return _("Please choose a hospital or clinic from the list.")
