"""Where the app's pages are; include it anywhere."""

from __future__ import annotations

from django.urls import path

from medblocks_connect import connection_views, facility_views, json_views, views, webhooks

app_name = "medblocks_connect"

urlpatterns = [
    path("search/", views.search, name="search"),
    path("not-found/", facility_views.tell_missing, name="not-found"),
    path("not-found/thanks/", facility_views.thank, name="not-found-thanks"),
    path("start/", views.start, name="start"),
    path("start/elsewhere/", views.start_hosted, name="start-hosted"),
    path("return/", views.return_from_portal, name="return"),
    path("attempts/<str:public_id>/", views.attempt, name="attempt"),
    path("connections/", connection_views.connections, name="connections"),
    path("connections/disconnect/", connection_views.disconnect, name="disconnect"),
    path("api/connections/", json_views.connections, name="api-connections"),
    path("api/patient-sessions/", json_views.patient_sessions, name="api-patient-sessions"),
    path("webhook/", webhooks.webhook, name="webhook"),
    # As people also type it at Medblocks: APPEND_SLASH cannot redirect a POST.
    path("webhook", webhooks.webhook),
]
