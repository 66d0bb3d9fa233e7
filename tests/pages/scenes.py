"""Every page of the app in every state that a patient can meet, and how to get there."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from medblocks_connect.models import PatientConnection
from medblocks_connect.patient_connections.listing import list_connections
from medblocks_connect.patient_connections.snapshot import forget_snapshot
from medblocks_connect.patients import Patient
from medblocks_connect.sandbox.api_faults import queue_fault
from medblocks_connect.sandbox.models import (
    Operation,
    SandboxConnection,
    SandboxPatient,
    SandboxSession,
)
from tests.connected import create_attempt

RIVERSIDE = "fhirsrc_riverside_general"
SEARCH = "/records/search/"
CONNECTIONS = "/records/connections/"
AWAY = {"BASE_URL": "http://127.0.0.1:9", "MAX_RETRIES": 0}


class Stage:
    """A patient, what happened to them before, and the settings of the site."""

    def __init__(self, patient_id, change_settings):
        self.patient_id = patient_id
        self.change_settings = change_settings

    def attempt(self, status="succeeded", **columns):
        place = {"connection_id": RIVERSIDE, "connection_name": "Riverside General"}
        if status != "created":
            columns.setdefault("patient_session_id", f"ps_{secrets.token_hex(8)}")
        return create_attempt(patient_id=self.patient_id, status=status, **{**place, **columns})

    def link(self, status, conn_id, facility):
        patient, _created = SandboxPatient.objects.get_or_create(patient_id=self.patient_id)
        session = SandboxSession.objects.create(
            patient=patient,
            url="http://localhost/c/0",
            return_url="http://localhost/",
            token=conn_id[-32:].rjust(32, "0"),
            expires_at=timezone.now(),
        )
        SandboxConnection.objects.create(
            conn_id=conn_id,
            session=session,
            patient=patient,
            connection_id=facility,
            status=status,
            failure_at=timezone.now() if status != "active" else None,
        )


@dataclass(frozen=True)
class Scene:
    """A page: what to prepare (which gives the path), and what is pressed once it is there."""

    prepare: Callable[[Stage], str]
    press: Callable | None = None


def _at(path):
    return Scene(lambda _stage: path)


def _attempt(status, **columns):
    return Scene(lambda stage: stage.attempt(status, **columns).get_absolute_url())


def _waiting(**ago):
    def prepare(stage):
        came_back = timezone.now() - timedelta(**ago)
        stage.change_settings(CONTACT_URL="tel:+15550100")
        return stage.attempt("returned", returned_at=came_back).get_absolute_url()

    return prepare


def _failed_twice(contact):
    def prepare(stage):
        stage.change_settings(CONTACT_URL=contact)
        for _ in range(2):
            attempt = stage.attempt("failed", error="oauth_error")
        return attempt.get_absolute_url()

    return prepare


def _connections(stage):
    stage.link("active", "conn_1", RIVERSIDE)
    stage.link("refresh_failed", "conn_2", "fhirsrc_faded_stamp")
    stage.link("disconnected", "conn_3", "fhirsrc_broken_bridge")
    stage.link("active", "conn_4", "fhirsrc_nobody_knows")
    elsewhere = {"connection_id": "fhirsrc_pine_lake_clinic", "connection_name": "Pine Lake Clinic"}
    stage.attempt("returned", returned_at=timezone.now(), **elsewhere)
    stage.attempt(patient_connection_id="conn_1", connection_status="active")
    PatientConnection.objects.update(records_at=timezone.now())
    return CONNECTIONS


def _connections_lacking_records(stage):
    stage.link("active", "conn_1", RIVERSIDE)
    stage.attempt(patient_connection_id="conn_1", connection_status="active")
    PatientConnection.objects.update(records_failed_at=timezone.now())
    return CONNECTIONS


def _still_connected(**failure):
    def prepare(stage):
        stage.attempt()
        return stage.attempt("failed", **failure).get_absolute_url()

    return prepare


def _connected_by_a_later_try(stage):
    failed = stage.attempt("failed", error="access_denied")
    stage.attempt()
    return failed.get_absolute_url()


def _connected_again(stage):
    lost = stage.attempt(lost_at=timezone.now(), connection_status="refresh_failed")
    stage.attempt()
    return lost.get_absolute_url()


def _connections_last_known(stage):
    stage.link("active", "conn_1", RIVERSIDE)
    patient = Patient(stage.patient_id)
    list_connections(patient)
    forget_snapshot(patient)
    queue_fault(Operation.GET_PATIENT, 500, "internal_error", times=9)
    return CONNECTIONS


def _connections_away(stage):
    stage.attempt(patient_connection_id="conn_1", connection_status="active")
    stage.change_settings(**AWAY)
    return CONNECTIONS


def _disconnect(stage):
    stage.link("active", "conn_1", RIVERSIDE)
    return f"{CONNECTIONS}disconnect/?connection=conn_1"


def _disconnect_away(stage):
    stage.attempt(patient_connection_id="conn_1", connection_status="active")
    stage.change_settings(**AWAY)
    return f"{CONNECTIONS}disconnect/?connection=conn_1"


def _set(path, **changes):
    def prepare(stage):
        stage.change_settings(**changes)
        return path

    return prepare


def _confirm(stage):
    stage.change_settings(CONFIRM_BEFORE_PORTAL=True)
    return f"{SEARCH}?q=riverside"


def _throttled(stage):
    stage.change_settings(THROTTLES={"search": "1/h"})
    return f"{SEARCH}?q=riverside"


def _refusing(_stage):
    queue_fault(Operation.CREATE_PATIENT_SESSION, 502, "token_exchange_failed", times=9)
    return f"{SEARCH}?q=riverside"


def _nothing(_stage):
    return f"{SEARCH}?q=qqqqqq"


def _suggested(stage):
    stage.attempt()
    stage.attempt(connection_id="fhirsrc_faded_stamp", lost_at=timezone.now())
    return SEARCH


def _connected_result(stage):
    stage.attempt()
    return f"{SEARCH}?q=riverside"


def _press(selector):
    return lambda page: page.locator(selector).first.click()


def _press_with_an_old_token(page):
    tokens = page.locator("[name=csrfmiddlewaretoken]")
    tokens.evaluate_all("all => all.forEach((each) => { each.value = 'x'.repeat(64); })")
    _press("[name=connection_id]")(page)


def _press_somebody_elses_button(page):
    tokens = page.locator("[name=medblocks_patient]")
    tokens.evaluate_all("all => all.forEach((each) => { each.value = 'x'.repeat(64); })")
    _press("[name=connection_id]")(page)


def _tell_what_is_missing(text):
    def press(page):
        form = page.locator(".medblocks-missing form").first
        form.locator("[name=text]").evaluate("each => each.removeAttribute('maxlength')")
        form.locator("[name=text]").fill(text)
        form.evaluate("each => { each.noValidate = true; }")
        form.get_by_role("button").click()

    return press


def act(page, scene, stage):
    """Bring ``page`` to the scene."""
    page.goto(scene.prepare(stage))
    if scene.press:
        scene.press(page)
    page.wait_for_load_state("load")


SCENES = {
    "search": _at(SEARCH),
    "results": _at(f"{SEARCH}?q=hospital"),
    "nothing": _at(f"{SEARCH}?q=qqqqqq"),
    "thanks": Scene(_nothing, _tell_what_is_missing("Far Hill")),
    "missing-unnamed": Scene(_nothing, _tell_what_is_missing("")),
    "missing-too-long": Scene(_nothing, _tell_what_is_missing("x" * 101)),
    "suggested": Scene(_suggested),
    "connected-result": Scene(_connected_result),
    "connected-result-asks": Scene(_connected_result, _press(".medblocks-facility summary")),
    "too-short": _at(f"{SEARCH}?q=a"),
    "search-away": Scene(_set(f"{SEARCH}?q=riverside", **AWAY)),
    "hosted": Scene(_set(f"{SEARCH}?q=qqqqqq", HOSTED_FALLBACK=True)),
    "notes": Scene(_set(f"{SEARCH}?q=qqqqqq", REQUEST_NOTES=True)),
    "throttled": Scene(_throttled, lambda page: page.reload()),
    "confirm": Scene(_confirm, _press("[name=connection_id]")),
    "connected": _attempt("succeeded"),
    "lost": _attempt("succeeded", lost_at=timezone.now(), connection_status="refresh_failed"),
    "turned-off": _attempt("succeeded", lost_at=timezone.now(), connection_status="disconnected"),
    "connected-unnamed": _attempt("succeeded", connection_id="", connection_name=""),
    "waiting": Scene(_waiting(seconds=0)),
    "waiting-long": Scene(_waiting(hours=5)),
    "unfinished": _attempt("started"),
    "still-connected": Scene(_still_connected(error="user_denied")),
    "still-connected-failed": Scene(_still_connected(error="access_denied")),
    "connected-later": Scene(_connected_by_a_later_try),
    "connected-again": Scene(_connected_again),
    "cancelled": _attempt("failed", error="user_denied"),
    "failed": _attempt("failed", error="access_denied"),
    "failed-twice": Scene(_failed_twice("tel:+15550100")),
    "failed-twice-no-contact": Scene(_failed_twice("")),
    "takes-nobody": _attempt("failed", error="resource_not_found"),
    "expired": _attempt("expired"),
    "not-started": _attempt("created"),
    "refused": _attempt("failed", error="oauth_error", patient_session_id=None),
    "refused-start": Scene(_refusing, _press("[name=connection_id]")),
    "unreadable": _at("/records/return/?patient_session_id="),
    "wrong-method": _at("/records/start/"),
    "not-here": _at("/records/attempts/none/"),
    "no-patient": Scene(
        _set(SEARCH, CONTACT_URL="tel:+15550100", PATIENT_RESOLVER="tests.resolvers.nobody")
    ),
    "open-too-long": Scene(_suggested, _press_with_an_old_token),
    "patient-changed": Scene(_suggested, _press_somebody_elses_button),
    "connections": Scene(_connections),
    "connections-lacking-records": Scene(_connections_lacking_records),
    "connections-none": _at(CONNECTIONS),
    "connections-away": Scene(_connections_away),
    "connections-last-known": Scene(_connections_last_known),
    "disconnect": Scene(_disconnect),
    "disconnected": Scene(_disconnect, _press("[name=connection]")),
    "not-disconnected": Scene(_disconnect_away, _press("[name=connection]")),
    "in-a-site": Scene(_set(f"{SEARCH}?q=hospital", BASE_TEMPLATE="hosts/plain.html")),
    "embedded": _at("/embedded/"),
}
