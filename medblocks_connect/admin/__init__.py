"""What staff see, in Django's admin: importing this package registers it."""

from __future__ import annotations

from medblocks_connect.admin.deliveries import DeliveryAdmin
from medblocks_connect.admin.facilities import (
    CatalogSyncAdmin,
    FacilityAdmin,
    MissingFacilityAdmin,
)
from medblocks_connect.admin.list import AttemptAdmin
from medblocks_connect.admin.patients import PatientAdmin
from medblocks_connect.admin.queue import ReconnectQueueAdmin

__all__ = [
    "AttemptAdmin",
    "CatalogSyncAdmin",
    "DeliveryAdmin",
    "FacilityAdmin",
    "MissingFacilityAdmin",
    "PatientAdmin",
    "ReconnectQueueAdmin",
]
