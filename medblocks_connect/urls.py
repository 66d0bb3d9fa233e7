"""Where the app's pages are; include it anywhere."""

from __future__ import annotations

from django.urls import path

from medblocks_connect.views import (
    attempt_page,
    connections_page,
    json_api,
    missing_facility,
    webhook_receiver,
)

app_name = "medblocks_connect"

urlpatterns = [
    path("search/", attempt_page.search, name="search"),
    path("not-found/", missing_facility.tell_missing, name="not-found"),
    path("not-found/thanks/", missing_facility.thank, name="not-found-thanks"),
    path("start/", attempt_page.start, name="start"),
    path("start/elsewhere/", attempt_page.start_hosted, name="start-hosted"),
    path("return/", attempt_page.return_from_portal, name="return"),
    path("attempts/<str:public_id>/", attempt_page.attempt, name="attempt"),
    path("connections/", connections_page.connections, name="connections"),
    path("connections/disconnect/", connections_page.disconnect, name="disconnect"),
    path("api/connections/", json_api.connections, name="api-connections"),
    path("api/patient-sessions/", json_api.patient_sessions, name="api-patient-sessions"),
    path("webhook/", webhook_receiver.webhook, name="webhook"),
    # As people also type it at Medblocks: APPEND_SLASH cannot redirect a POST.
    path("webhook", webhook_receiver.webhook),
]
