"""The Medblocks API in Python, usable without Django: these names, and no others, are public."""

from medblocks_connect.api.client import Connections, MedblocksClient, Patients, PatientSessions
from medblocks_connect.api.errors import (
    AuthenticationError,
    BillingError,
    ConflictError,
    EHRError,
    InvalidRequestError,
    MedblocksAPIError,
    MedblocksConnectionError,
    MedblocksError,
    NoAnswerError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    UnexpectedReplyError,
)
from medblocks_connect.api.fields import parse_time
from medblocks_connect.api.resources import (
    DisconnectedConnection,
    FhirSource,
    Health,
    Page,
    Patient,
    PatientConnection,
    PatientSession,
    SessionConnection,
)
from medblocks_connect.api.returns import (
    Returned,
    ReturnedFailure,
    ReturnedFromHostedPage,
    ReturnedSuccess,
    parse_return_url,
)
from medblocks_connect.api.signatures import InvalidSignatureError, sign, verify
from medblocks_connect.api.text import clean_text

__all__ = [
    "AuthenticationError",
    "BillingError",
    "ConflictError",
    "Connections",
    "DisconnectedConnection",
    "EHRError",
    "FhirSource",
    "Health",
    "InvalidRequestError",
    "InvalidSignatureError",
    "MedblocksAPIError",
    "MedblocksClient",
    "MedblocksConnectionError",
    "MedblocksError",
    "NoAnswerError",
    "NotFoundError",
    "Page",
    "Patient",
    "PatientConnection",
    "PatientSession",
    "PatientSessions",
    "Patients",
    "PermissionDeniedError",
    "RateLimitError",
    "Returned",
    "ReturnedFailure",
    "ReturnedFromHostedPage",
    "ReturnedSuccess",
    "ServerError",
    "SessionConnection",
    "UnexpectedReplyError",
    "clean_text",
    "parse_return_url",
    "parse_time",
    "sign",
    "verify",
]
