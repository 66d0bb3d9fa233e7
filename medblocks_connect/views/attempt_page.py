"""One attempt after the portal: the return with its claim, then a page with a clean address."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase

from medblocks_connect.api import Returned, parse_return_url, write_return_query
from medblocks_connect.attempts.queries import find_attempt
from medblocks_connect.attempts.returns import record_return
from medblocks_connect.attempts.verification import verify_if_due
from medblocks_connect.attempts.waiting import is_confirming
from medblocks_connect.views.base import PatientView
from medblocks_connect.views.requests import is_prefetch_or_head
from medblocks_connect.views.responses import SeeOther, render_outcome, render_page

_QUERY_THROUGH_LOGIN: Final = 2000  # characters; in the login page's address it is longer again


class ReturnView(PatientView):
    """Take the patient back from the portal, then lead them to a page with a clean address."""

    returned: Returned

    def answer_anybody(self) -> HttpResponseBase | None:
        """Answer a prefetch, and an address that claims nothing, without asking who is there."""
        if is_prefetch_or_head(self.request):
            return HttpResponse(status=HTTPStatus.NO_CONTENT)
        returned = parse_return_url(dict(self.request.GET.lists()))
        if returned is None:
            return self.unreadable(HTTPStatus.BAD_REQUEST)
        self.returned = returned
        return None

    def get_login_next(self) -> str:
        """Return to the same claim, which names no patient."""
        query = write_return_query(self.returned, _QUERY_THROUGH_LOGIN)
        return f"{self.request.path}?{query}"

    def patient_required(self) -> HttpResponseBase:
        """Log in and come back; first load once more where the browser may have kept a cookie back.

        Coming from the portal it sends no cookie with ``SameSite=Strict`` (RFC 6265bis, section
        5.6.7.1). A page of ours that leads to the same address does make it send them.
        """
        if self.request.headers.get("Sec-Fetch-Site") != "cross-site":
            return super().patient_required()
        path = self.get_login_next()
        response = render_page(self.request, "returning", {"return_path": path})
        response["Refresh"] = f"0; url={path}"
        return response

    def get(self, _request: HttpRequest) -> HttpResponseBase:
        """Store what the address claims, ask Medblocks, and go on to the attempt's page."""
        attempt = record_return(self.patient, self.returned)
        if attempt is None:
            raise Http404
        return SeeOther(attempt.get_absolute_url())


class AttemptView(PatientView):
    """Show the patient what came of their attempt: connected, why not, or still confirming."""

    def get(self, request: HttpRequest, public_id: str) -> HttpResponseBase:
        """Ask Medblocks where that is due, and show the outcome."""
        attempt = find_attempt(self.patient, public_id=public_id)
        if attempt is None:
            raise Http404
        if is_confirming(attempt) and not is_prefetch_or_head(request):
            verify_if_due(attempt)
        return render_outcome(request, attempt)
