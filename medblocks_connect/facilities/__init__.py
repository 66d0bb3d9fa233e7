"""Finding a facility, whatever a patient types: the names that the rest of the app uses.

They are imported when they are asked for: the index and the ranking need no Django, so they can
be measured, and used, without a site around them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medblocks_connect.facilities.lookup import (
        find_known_facility,
        get_facilities,
        get_facility,
        is_acceptable_id,
        list_recommendable,
    )
    from medblocks_connect.facilities.search import (
        MAXIMUM_QUERY_LENGTH,
        MINIMUM_QUERY_LENGTH,
        RESULTS_PER_PAGE,
        FacilitySearch,
        FoundFacilities,
        find_facilities,
        search_facilities,
    )

__all__ = [
    "MAXIMUM_QUERY_LENGTH",
    "MINIMUM_QUERY_LENGTH",
    "RESULTS_PER_PAGE",
    "FacilitySearch",
    "FoundFacilities",
    "find_facilities",
    "find_known_facility",
    "get_facilities",
    "get_facility",
    "is_acceptable_id",
    "list_recommendable",
    "search_facilities",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for home in ("lookup", "search"):
        module = import_module(f"{__name__}.{home}")
        if hasattr(module, name):
            return getattr(module, name)
    raise AttributeError(name)
