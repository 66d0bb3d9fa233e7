"""The app's URLs; include them under any prefix."""

from __future__ import annotations

from django.urls import path

from medblocks_connect.views.attempt_page import AttemptView, ReturnView
from medblocks_connect.views.connections_page import ConnectionsView, DisconnectView
from medblocks_connect.views.json_api import ConnectionsJsonView, PatientSessionsJsonView
from medblocks_connect.views.missing_facility import MissingFacilityThanksView, MissingFacilityView
from medblocks_connect.views.search_page import SearchView
from medblocks_connect.views.start_connection import StartHostedView, StartView
from medblocks_connect.views.webhook_receiver import WebhookView

app_name = "medblocks_connect"

urlpatterns = [
    path("search/", SearchView.as_view(), name="search"),
    path("not-found/", MissingFacilityView.as_view(), name="not-found"),
    path("not-found/thanks/", MissingFacilityThanksView.as_view(), name="not-found-thanks"),
    path("start/", StartView.as_view(), name="start"),
    path("start/elsewhere/", StartHostedView.as_view(), name="start-hosted"),
    path("return/", ReturnView.as_view(), name="return"),
    path("attempts/<str:public_id>/", AttemptView.as_view(), name="attempt"),
    path("connections/", ConnectionsView.as_view(), name="connections"),
    path("connections/disconnect/", DisconnectView.as_view(), name="disconnect"),
    path("api/connections/", ConnectionsJsonView.as_view(), name="api-connections"),
    path("api/patient-sessions/", PatientSessionsJsonView.as_view(), name="api-patient-sessions"),
    path("webhook/", WebhookView.as_view(), name="webhook"),
    # As people also type it at Medblocks: APPEND_SLASH cannot redirect a POST.
    path("webhook", WebhookView.as_view()),
]
