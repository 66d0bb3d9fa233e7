"""The search page, and the results alone for the script that asks while a patient types."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Final

from django.db import Error as AnyDatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.cache import patch_vary_headers

from medblocks_connect.conf import conf
from medblocks_connect.facilities.missing_facilities import count_search
from medblocks_connect.facilities.search import FacilitySearch
from medblocks_connect.views.base import PatientView
from medblocks_connect.views.requests import is_prefetch_or_head, read_search
from medblocks_connect.views.responses import render_page
from medblocks_connect.views.search_results import describe_search_page, show_results

logger = logging.getLogger("medblocks_connect.views")

FRAGMENT_HEADER: Final = "X-Medblocks-Fragment"
"""Sent by our script: answer with the results alone."""

_TYPING: Final = "results"  # may be followed by another letter
_SETTLED: Final = "settled"  # the patient has finished typing


class SearchView(PatientView):
    """The search box, and the facilities that match what was typed."""

    # Django checks the Referer of a form over https, and this page holds the one that starts.
    referrer_policy = ""

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        """Tell caches that the script's answer is another one."""
        response = super().dispatch(request, *args, **kwargs)
        patch_vary_headers(response, [FRAGMENT_HEADER])
        return response

    @property
    def _fragment(self) -> str:
        return self.request.headers.get(FRAGMENT_HEADER, "")

    @property
    def _wants_results_alone(self) -> bool:
        return self._fragment in {_TYPING, _SETTLED}

    def get_throttled_action(self) -> str:
        """Count what is looked for, and not a look at the empty box."""
        return "search" if "q" in self.request.GET else ""

    def get_login_next(self) -> str:
        """Return to the same search."""
        return self.request.get_full_path()

    def patient_required(self) -> HttpResponseBase:
        """Answer the script by 401: it loads the page anew, which leads to the login."""
        if self._wants_results_alone:
            return HttpResponse(status=HTTPStatus.UNAUTHORIZED)
        return super().patient_required()

    def get(self, request: HttpRequest) -> HttpResponseBase:
        """Search, and show the page or the results alone."""
        search = read_search(request)
        if search is None:
            return self.unreadable(HTTPStatus.BAD_REQUEST)
        results = show_results(search, self.patient)
        if results.is_missed and self._fragment != _TYPING and not is_prefetch_or_head(request):
            _count_missed(search)
        context = {"search": search, "results": results, "show_logos": conf.logos}
        if self._wants_results_alone:
            return render_page(request, "results", context)
        return render_page(request, "search", {**context, **describe_search_page()})


def _count_missed(search: FacilitySearch) -> None:
    # One record system's lack, and a later page's, say nothing of what Medblocks lacks.
    if search.type or search.starting_after:
        return
    try:
        count_search(search.q)
    except AnyDatabaseError as error:  # the patient's answer is worth more than the count
        logger.error("A search could not be counted: %s", type(error).__name__)
