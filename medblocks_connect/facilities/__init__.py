"""Finding a facility, whatever a patient types: the names that the rest of the app uses."""

from medblocks_connect.facilities.lookup import (
    find_known_facility,
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
    "get_facility",
    "is_acceptable_id",
    "list_recommendable",
    "search_facilities",
]
