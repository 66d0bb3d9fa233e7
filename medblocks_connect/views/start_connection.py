"""Starting a connection: from a press on a facility to its patient portal."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from django.db import Error as AnyDatabaseError
from django.http import Http404, HttpRequest, HttpResponseBase

from medblocks_connect.attempts.start import StartRefusedError, start_attempt
from medblocks_connect.conf import conf
from medblocks_connect.facilities.lookup import list_recommendable
from medblocks_connect.views.base import PatientView
from medblocks_connect.views.forms import StartForm
from medblocks_connect.views.requests import build_return_url, has_repeated_parameter
from medblocks_connect.views.responses import SeeOther, render_database_trouble, render_page
from medblocks_connect.views.search_results import describe_place


class _StartingView(PatientView):
    throttled_action = "start"

    def lead_to_portal(
        self, connection_id: str, recommended: Sequence[str] = ()
    ) -> HttpResponseBase:
        """Start a session and send the browser to it; where it is refused, to the attempt's page.

        Also then by a redirect: a page that is loaded again, or a phone that restores a tab, would
        send a form anew.
        """
        return_url = build_return_url(self.request)
        try:
            started = start_attempt(
                self.patient, connection_id, return_url, recommended=recommended
            )
        except StartRefusedError as refused:
            return SeeOther(refused.attempt.get_absolute_url())
        except AnyDatabaseError as error:
            return render_database_trouble(self.request, "An attempt could not be recorded", error)
        return SeeOther(started.url)


class StartView(_StartingView):
    """Start a patient session at the chosen facility and send the browser to its portal."""

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """Start, or ask first where the host wants that."""
        form = StartForm(request.POST, patient_id=self.patient.patient_id)
        if has_repeated_parameter(request.POST, *form.fields) or not form.is_valid():
            return self.unreadable(HTTPStatus.BAD_REQUEST)
        connection_id = form.cleaned_data["connection_id"]
        if conf.confirm_before_portal and not form.cleaned_data["confirmed"]:
            return render_page(request, "confirm", {"place": describe_place(connection_id)})
        return self.lead_to_portal(connection_id)


class StartHostedView(_StartingView):
    """Start a session without a facility: the patient chooses at Medblocks' own page."""

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """Start, recommending the facilities that the patient was shown."""
        if not conf.hosted_fallback:
            raise Http404
        return self.lead_to_portal("", list_recommendable(request.POST.getlist("shown")))
