"""The Medblocks API in Python, usable without Django: these names, and no others, are public."""

from medblocks_connect.api.client import MedblocksClient
from medblocks_connect.api.errors import (
    AuthenticationError,
    BillingError,
    ConflictError,
    EHRError,
    InvalidRequestError,
    MedblocksAPIError,
    MedblocksBusyError,
    MedblocksConnectionError,
    MedblocksError,
    NoAnswerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    UnexpectedReplyError,
)
from medblocks_connect.api.facility_calls import Connections
from medblocks_connect.api.gate import Gate, GateState, WaitingRoom
from medblocks_connect.api.json_fields import parse_time, read_count
from medblocks_connect.api.patient_calls import Patients
from medblocks_connect.api.redaction import Secret
from medblocks_connect.api.resources import (
    Connection,
    Deleted,
    DisconnectedConnection,
    FhirSource,
    Health,
    ListedPatient,
    Page,
    Patient,
    PatientSession,
    Record,
    SessionConnection,
)
from medblocks_connect.api.return_url import (
    Returned,
    ReturnedFailure,
    ReturnedFromHostedPage,
    ReturnedSuccess,
    parse_return_url,
    write_return_query,
)
from medblocks_connect.api.session_calls import PatientSessions
from medblocks_connect.api.text import clean_text
from medblocks_connect.api.webhook_calls import ALL_EVENTS, Events, WebhookEndpoints
from medblocks_connect.api.webhook_resources import (
    WebhookEndpoint,
    WebhookEndpointWithSecret,
    WebhookEvent,
)
from medblocks_connect.api.webhook_signatures import InvalidSignatureError, sign, verify

__all__ = [
    "ALL_EVENTS",
    "AuthenticationError",
    "BillingError",
    "ConflictError",
    "Connection",
    "Connections",
    "Deleted",
    "DisconnectedConnection",
    "EHRError",
    "Events",
    "FhirSource",
    "Gate",
    "GateState",
    "Health",
    "InvalidRequestError",
    "InvalidSignatureError",
    "ListedPatient",
    "MedblocksAPIError",
    "MedblocksBusyError",
    "MedblocksClient",
    "MedblocksConnectionError",
    "MedblocksError",
    "NoAnswerError",
    "NotFoundError",
    "Page",
    "Patient",
    "PatientSession",
    "PatientSessions",
    "Patients",
    "PermissionDeniedError",
    "RateLimitError",
    "Record",
    "Returned",
    "ReturnedFailure",
    "ReturnedFromHostedPage",
    "ReturnedSuccess",
    "Secret",
    "ServerError",
    "SessionConnection",
    "UnexpectedReplyError",
    "WaitingRoom",
    "WebhookEndpoint",
    "WebhookEndpointWithSecret",
    "WebhookEndpoints",
    "WebhookEvent",
    "clean_text",
    "parse_return_url",
    "parse_time",
    "read_count",
    "sign",
    "verify",
    "write_return_query",
]
