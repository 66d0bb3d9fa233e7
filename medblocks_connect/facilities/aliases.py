"""What people here call a facility that has another name: the host's ``FACILITY_ALIASES``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from medblocks_connect.api import FhirSource
from medblocks_connect.conf import conf
from medblocks_connect.facilities.matching.normalization import fold_fully
from medblocks_connect.facilities.matching.states import split_state


def list_aliases() -> Mapping[str, list[str]]:
    """Return the aliases of each facility that has any, by its id, in the host's order."""
    aliases: dict[str, list[str]] = {}
    for alias, connection_ids in conf.facility_aliases.items():
        for connection_id in connection_ids:
            aliases.setdefault(connection_id, []).append(alias)
    return aliases


def find_aliased(typed: str) -> Mapping[str, str]:
    """Return the facilities' ids that have an alias which begins so, each with that alias."""
    folded = fold_fully(typed)
    found: dict[str, str] = {}
    for connection_id, aliases in list_aliases().items():
        for alias in aliases:
            if folded and fold_fully(alias).startswith(folded):
                found.setdefault(connection_id, alias)
    return found


def name_aliases(facilities: Iterable[FhirSource]) -> Mapping[str, str]:
    """Return the first alias of each facility that has one which is not its name, by its id."""
    aliases = list_aliases()
    named: dict[str, str] = {}
    for facility in facilities:
        for alias in aliases.get(facility.id, ()):
            if fold_name(alias) != fold_name(facility.name):
                named.setdefault(facility.id, alias)
    return named


def find_found_by(found_as: Mapping[FhirSource, str]) -> Mapping[str, str]:
    """Return the aliases by which facilities were found, by their ids.

    ``found_as`` gives the name that each was found by, as the index has it.
    """
    aliases = list_aliases()
    return {
        facility.id: alias
        for facility, folded in found_as.items()
        for alias in aliases.get(facility.id, ())
        if folded == fold_name(alias) != fold_name(facility.name)
    }


def fold_name(name: str) -> str:
    """Return a name or an alias as the index has it: folded, without a vendor's prefix."""
    return fold_fully(split_state(name)[1])
