"""The patient's connections: the list of them, and the page that ends one."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponseBase, QueryDict
from django.urls import reverse

from medblocks_connect.patient_connections.disconnect import disconnect_patient
from medblocks_connect.patient_connections.listing import (
    ConnectedPlace,
    PatientConnections,
    find_connection,
    list_connections,
)
from medblocks_connect.views.base import PatientView
from medblocks_connect.views.requests import has_repeated_parameter, is_prefetch_or_head
from medblocks_connect.views.responses import SeeOther, render_page, report_unavailable

_JUST_DISCONNECTED: Final = "medblocks_connect.disconnected"  # a key of the session


class ConnectionsView(PatientView):
    """Show the patient where they are connected, where access ended, and what to do about it."""

    def get_login_next(self) -> str:
        """Return to the same address."""
        return self.request.get_full_path()

    def get(self, request: HttpRequest) -> HttpResponseBase:
        """Show the list, and once what was just disconnected."""
        connections = list_connections(self.patient)
        just_disconnected = _recall_disconnected(request, connections)
        context = {"connections": connections, "just_disconnected": just_disconnected}
        return render_page(request, "connections", context)


class DisconnectView(PatientView):
    """Ask whether the patient is sure, saying what it means; on POST, end the connection."""

    def get_login_next(self) -> str:
        """Return to the list."""
        return reverse("medblocks_connect:connections")

    def get_throttled_action(self) -> str:
        """Count what ends a connection, and not the question before."""
        return "disconnect" if self.request.method == "POST" else ""

    def get(self, request: HttpRequest) -> HttpResponseBase:
        """Ask whether the patient is sure."""
        return self._answer_about_place(request.GET, self._ask)

    def post(self, request: HttpRequest) -> HttpResponseBase:
        """End the connection."""
        return self._answer_about_place(request.POST, self._disconnect)

    def _answer_about_place(
        self, parameters: QueryDict, answer: Callable[[ConnectedPlace], HttpResponseBase]
    ) -> HttpResponseBase:
        if has_repeated_parameter(parameters, "connection"):
            return self.unreadable(HTTPStatus.BAD_REQUEST)
        place = find_connection(self.patient, parameters.get("connection", ""))
        if place is None or place.state == "disconnected":
            # Not theirs, not there, or ended already: the list says what there is.
            return SeeOther(reverse("medblocks_connect:connections"))
        return answer(place)

    def _ask(self, place: ConnectedPlace) -> HttpResponseBase:
        if place.state != "connected":  # nobody can stay connected there
            return SeeOther(reverse("medblocks_connect:connections"))
        return render_page(self.request, "disconnect", {"place": place})

    def _disconnect(self, place: ConnectedPlace) -> HttpResponseBase:
        disconnection = disconnect_patient(self.patient, place.patient_connection_id)
        if disconnection.left:
            context = {"place": place, "disconnection": disconnection}
            status = HTTPStatus.SERVICE_UNAVAILABLE
            page = render_page(self.request, "not_disconnected", context, status)
            why = f"of the links, {disconnection.ended} ended and {disconnection.left} did not"
            return report_unavailable(page, "A patient was not disconnected", why)
        _remember_disconnected(self.request, place)
        return SeeOther(reverse("medblocks_connect:connections"))


def _remember_disconnected(request: HttpRequest, place: ConnectedPlace) -> None:
    """Let the next page say so once: in the address, every reload and link would say it again."""
    session: SessionBase | None = getattr(request, "session", None)
    if session is not None:  # without sessions, the list alone says it
        session[_JUST_DISCONNECTED] = [place.place_id, place.name]


def _recall_disconnected(
    request: HttpRequest, connections: PatientConnections
) -> dict[str, str] | None:
    """Return the place that was just disconnected, unless it is connected again."""
    session: SessionBase | None = getattr(request, "session", None)
    if session is None or _JUST_DISCONNECTED not in session or is_prefetch_or_head(request):
        return None
    ended, name = session.pop(_JUST_DISCONNECTED)
    # By the place: connected again, it has another link.
    connected = {place.place_id for place in connections.places if place.state == "connected"}
    return None if ended in connected else {"name": name}
