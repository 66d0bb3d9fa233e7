"""The pages of what is connected: the patient's list, and how a connection is ended."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django.views.decorators.debug import sensitive_variables

from medblocks_connect.api import MedblocksError
from medblocks_connect.layout import render_bad_request, render_page
from medblocks_connect.patient_connections.disconnect import disconnect as disconnect_patient
from medblocks_connect.patient_connections.listing import (
    ConnectedPlace,
    PatientConnections,
    find_connection,
    list_connections,
)
from medblocks_connect.patient_connections.snapshot import forget_connections
from medblocks_connect.patients import Patient, resolve_patient
from medblocks_connect.views.decorators import (
    check_csrf,
    is_only_looking,
    keep_private,
    says_twice,
    stand_alone,
)
from medblocks_connect.views.redirects import SeeOther
from medblocks_connect.views.responses import answer_to, refuse_forgery, refuse_stranger

_JUST_CUT: Final = "medblocks_connect.disconnected"  # a key of the session


@stand_alone
@keep_private
@answer_to("GET", "HEAD")
def connections(request: HttpRequest) -> HttpResponseBase:
    """Show the patient where they are connected, where access ended, and what to do about it."""
    patient = resolve_patient(request)
    if patient is None:
        return refuse_stranger(request, request.get_full_path())
    found = list_connections(patient)
    context = {"connections": found, "just_cut": _recall_cut(request, found)}
    return render_page(request, "connections", context)


@stand_alone
@sensitive_variables()
@keep_private
@answer_to("GET", "HEAD", "POST")
@check_csrf(refuse_forgery)
def disconnect(request: HttpRequest) -> HttpResponseBase:
    """Ask whether the patient is sure, saying what it means; on POST, end the connection."""
    patient = resolve_patient(request)
    if patient is None:
        return refuse_stranger(request, reverse("medblocks_connect:connections"))
    given = request.POST if request.method == "POST" else request.GET
    if says_twice(given, "connection"):
        return render_bad_request(request)
    place = find_connection(patient, given.get("connection", ""))
    if place is None or place.state == "disconnected":
        # Not theirs, not there, or cut already: the list says what there is.
        return SeeOther(reverse("medblocks_connect:connections"))
    if request.method != "POST":
        return render_page(request, "disconnect", {"place": place})
    return _disconnect(request, patient, place)


def _disconnect(request: HttpRequest, patient: Patient, place: ConnectedPlace) -> HttpResponseBase:
    is_cut = True
    try:
        disconnect_patient(patient, place.patient_connection_id)
    except MedblocksError:
        is_cut = False
        context = {"place": place}
        return render_page(request, "not_disconnected", context, HTTPStatus.SERVICE_UNAVAILABLE)
    finally:
        forget_connections(patient, with_last_word=is_cut)
    _remember_cut(request, place)
    return SeeOther(reverse("medblocks_connect:connections"))


def _remember_cut(request: HttpRequest, place: ConnectedPlace) -> None:
    """Let the next page say so once: in the address, every reload and link would say it again."""
    session: SessionBase | None = getattr(request, "session", None)
    if session is not None:  # without sessions, the list alone says it
        session[_JUST_CUT] = [place.patient_connection_id, place.name]


def _recall_cut(request: HttpRequest, found: PatientConnections) -> dict[str, str] | None:
    """Return the place that was just disconnected, unless it is connected again."""
    session: SessionBase | None = getattr(request, "session", None)
    if session is None or _JUST_CUT not in session or is_only_looking(request):
        return None
    cut, name = session.pop(_JUST_CUT)
    connected = {each.patient_connection_id for each in found.places if each.state == "connected"}
    return None if cut in connected else {"name": name}
