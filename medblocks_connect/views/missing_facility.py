"""A patient tells that their hospital is missing, and is thanked, or told that it is not noted."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from django.db import Error as AnyDatabaseError
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from medblocks_connect.conf import conf
from medblocks_connect.error_messages import PatientMessage
from medblocks_connect.facilities.missing_facilities import request_facility
from medblocks_connect.views.base import PatientView
from medblocks_connect.views.forms import MissingFacilityForm
from medblocks_connect.views.requests import has_repeated_parameter
from medblocks_connect.views.responses import (
    SeeOther,
    render_database_trouble,
    render_page,
    report_unavailable,
)

_UNAVAILABLE: Final = HTTPStatus.SERVICE_UNAVAILABLE

_NOT_NOTED: Final = PatientMessage(
    title=_("We could not note the name"),
    what_happened=_("Our list of missing places is full right now."),
    what_to_do=_("Please tell us in another way, or try again in some days."),
)


class MissingFacilityView(PatientView):
    """Keep what a patient did not find, and lead them to the thanks."""

    throttled_action = "start"

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """Keep the name, or show the form again with what is wrong in it."""
        form = MissingFacilityForm(request.POST)
        if has_repeated_parameter(request.POST, *form.fields):
            return self.unreadable(HTTPStatus.BAD_REQUEST)
        if not form.is_valid():
            context = {"form": form, "request_notes": conf.request_notes}
            return render_page(request, "missing", context, HTTPStatus.BAD_REQUEST)
        text, note = form.cleaned_data["text"], form.cleaned_data["note"]
        try:
            is_kept = request_facility(self.patient, text, note)
        except AnyDatabaseError as error:
            return render_database_trouble(request, "A request could not be kept", error)
        if not is_kept:
            page = render_page(request, "trouble", {"message": _NOT_NOTED}, _UNAVAILABLE)
            why = "the list is full: deal with its rows in the admin, or run medblocks_prune"
            return report_unavailable(page, "The name of a missing place was only counted", why)
        return SeeOther(reverse("medblocks_connect:not-found-thanks"))


class MissingFacilityThanksView(PatientView):
    """Thank the patient, and offer Medblocks' own page where the host wants that."""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        """Show the thanks."""
        return render_page(request, "thanks", {"hosted_fallback": conf.hosted_fallback})
