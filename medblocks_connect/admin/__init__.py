"""The pages for staff in Django's admin; importing this package registers them."""

from __future__ import annotations

from medblocks_connect.admin.attempt_list import AttemptAdmin
from medblocks_connect.admin.delivery_pages import DeliveryAdmin
from medblocks_connect.admin.facility_pages import (
    CatalogSyncAdmin,
    FacilityAdmin,
    MissingFacilityAdmin,
)
from medblocks_connect.admin.patient_pages import PatientAdmin
from medblocks_connect.admin.reconnect_queue import ReconnectQueueAdmin

__all__ = [
    "AttemptAdmin",
    "CatalogSyncAdmin",
    "DeliveryAdmin",
    "FacilityAdmin",
    "MissingFacilityAdmin",
    "PatientAdmin",
    "ReconnectQueueAdmin",
]
