"""The tables of the app; every model is importable from here."""

from medblocks_connect.models.action_count import ActionCount
from medblocks_connect.models.attempt import (
    AttemptEvent,
    PatientConnectionAttempt,
    PatientHistory,
    generate_public_id,
)
from medblocks_connect.models.erased_patient import ErasedIdentifier, ErasedPatient
from medblocks_connect.models.facility import (
    CatalogPage,
    CatalogSync,
    Facility,
    FacilityRequest,
    MissingFacility,
)
from medblocks_connect.models.installation import Installation, find_installation_id
from medblocks_connect.models.operation_run import OperationRun
from medblocks_connect.models.patient_connection import (
    ConnectionLink,
    LostConnection,
    PatientConnection,
)
from medblocks_connect.models.pending_signal import PendingSignal
from medblocks_connect.models.place import is_url, name_place
from medblocks_connect.models.webhook import WebhookDelivery
from medblocks_connect.models.workspace import filter_workspace

__all__ = [
    "ActionCount",
    "AttemptEvent",
    "CatalogPage",
    "CatalogSync",
    "ConnectionLink",
    "ErasedIdentifier",
    "ErasedPatient",
    "Facility",
    "FacilityRequest",
    "Installation",
    "LostConnection",
    "MissingFacility",
    "OperationRun",
    "PatientConnection",
    "PatientConnectionAttempt",
    "PatientHistory",
    "PendingSignal",
    "WebhookDelivery",
    "filter_workspace",
    "find_installation_id",
    "generate_public_id",
    "is_url",
    "name_place",
]
