"""The sandbox's URLs: the portal under ``c/``, the API, and a first page. Any prefix will do.

The server hands over a decoded path, so an identifier may hold a slash: the routes of a patient,
of a facility and of a webhook are read from their ends, where no identifier is.
"""

from django.urls import path, re_path

from medblocks_connect.sandbox import endpoints, index_page, portal, webhook_endpoints
from medblocks_connect.sandbox.endpoint_decorators import by_method

app_name = "medblocks_sandbox"

_PORTAL = r"^c/(?P<token>[0-9a-f]{32})"
_PATIENT = r"^patients/(?P<patient_id>[\s\S]+)"
_WEBHOOK = r"^webhooks/(?P<endpoint_id>[\s\S]+)"

urlpatterns = [
    path("", index_page.show_index, name="index"),
    re_path(
        r"^page/endpoints/(?P<endpoint_id>[^/]+)\Z",
        index_page.act_on_endpoint,
        name="act-on-endpoint",
    ),
    re_path(rf"{_PORTAL}\Z", portal.show_portal, name="portal"),
    re_path(rf"{_PORTAL}/sign-in\Z", portal.sign_in, name="sign-in"),
    re_path(rf"{_PORTAL}/consent\Z", portal.show_consent, name="consent"),
    re_path(rf"{_PORTAL}/decision\Z", portal.decide, name="decide"),
    re_path(rf"{_PORTAL}/done\Z", portal.leave, name="leave"),
    path("health", endpoints.check_health),
    path("connections", endpoints.search_connections),
    re_path(r"^connections/(?P<connection_id>[\s\S]+)\Z", endpoints.get_connection),
    path("patient-sessions", endpoints.create_patient_session),
    re_path(r"^patient-sessions/(?P<session_id>[\s\S]+)\Z", endpoints.get_patient_session),
    path("patients", by_method(GET=endpoints.list_patients, POST=endpoints.create_patient)),
    re_path(rf"{_PATIENT}/patient-sessions\Z", endpoints.list_patient_sessions),
    re_path(rf"{_PATIENT}/connections/(?P<conn_id>[^/]+)\Z", endpoints.disconnect_connection),
    re_path(rf"{_PATIENT}/records\Z", endpoints.get_patient_records),
    re_path(
        rf"{_PATIENT}\Z",
        by_method(
            GET=endpoints.get_patient,
            PUT=endpoints.replace_patient,
            DELETE=endpoints.delete_patient,
        ),
    ),
    path(
        "webhooks",
        by_method(GET=webhook_endpoints.list_webhooks, POST=webhook_endpoints.create_webhook),
    ),
    re_path(rf"{_WEBHOOK}/rotate-secret\Z", webhook_endpoints.rotate_webhook_secret),
    re_path(rf"{_WEBHOOK}/events\Z", webhook_endpoints.list_webhook_events),
    re_path(
        rf"{_WEBHOOK}\Z",
        by_method(
            GET=webhook_endpoints.get_webhook,
            PATCH=webhook_endpoints.update_webhook,
            DELETE=webhook_endpoints.delete_webhook,
        ),
    ),
    re_path(r"^events/(?P<event_id>[\s\S]+)/redeliver\Z", webhook_endpoints.redeliver_event),
    re_path(r"^launch-contexts/(?P<launch_id>[\s\S]+)\Z", endpoints.get_launch_context),
    re_path(r"^[\s\S]*\Z", endpoints.unknown_address),
]
