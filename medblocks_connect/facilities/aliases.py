"""Aliases: what people here call a facility that has another name (``FACILITY_ALIASES``)."""

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


def find_by_alias(typed: str) -> Mapping[str, str]:
    """Return the facilities' ids that have an alias which begins so, each with that alias."""
    folded = fold_fully(typed)
    alias_by_id: dict[str, str] = {}
    for connection_id, aliases in list_aliases().items():
        for alias in aliases:
            if folded and fold_fully(alias).startswith(folded):
                alias_by_id.setdefault(connection_id, alias)
    return alias_by_id


def choose_aliases(facilities: Iterable[FhirSource]) -> Mapping[str, str]:
    """Return the first alias of each facility that has one which is not its name, by its id."""
    aliases = list_aliases()
    alias_by_id: dict[str, str] = {}
    for facility in facilities:
        for alias in aliases.get(facility.id, ()):
            if fold_name(alias) != fold_name(facility.name):
                alias_by_id.setdefault(facility.id, alias)
    return alias_by_id


def find_matched_aliases(found_as: Mapping[FhirSource, str]) -> Mapping[str, str]:
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
