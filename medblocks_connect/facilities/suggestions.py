"""Suggestions before a patient types: their own facilities, the host's, and the most chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from medblocks_connect.api import FhirSource
from medblocks_connect.conf import conf
from medblocks_connect.facilities.aliases import choose_aliases
from medblocks_connect.facilities.lookup import find_known_facilities, get_facilities
from medblocks_connect.facilities.popularity import count_connected
from medblocks_connect.models import PatientConnection, is_url, name_place
from medblocks_connect.patients import Patient

_MOST_USED: Final = 5
_MOST_PINNED: Final = 10
_MOST_POPULAR: Final = 5
_POPULAR_FROM: Final = 2  # patients: one alone might be recognised by the place they chose
_CONNECTIONS_READ: Final = 50


@dataclass(frozen=True)
class Suggestions:
    """Facilities by the reason they are shown for; each is in one of the lists only.

    ``aliases`` holds what the host calls those that it has another name for, by their ids.
    """

    used: tuple[FhirSource, ...] = ()
    pinned: tuple[FhirSource, ...] = ()
    popular: tuple[FhirSource, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.used or self.pinned or self.popular)


def suggest_facilities(patient: Patient) -> Suggestions:
    """Return what ``patient`` is offered before typing. Never raises for Medblocks' sake."""
    connections = _find_connections(patient)
    pinned_ids = conf.pinned_facilities[:_MOST_PINNED]
    often = [key for key, patients in count_connected().items() if patients >= _POPULAR_FROM]
    # Some of the most chosen may be shown above, or withdrawn.
    often = often[: _MOST_USED + _MOST_PINNED + 2 * _MOST_POPULAR]
    known = find_known_facilities([*connections, *pinned_ids, *often])
    used = [
        known.facilities.get(key) or _read_facility(connection)
        for key, connection in connections.items()
        if key in known.facilities or not (known.has_catalog and _is_listed_by(key))
    ][:_MOST_USED]
    pinned = [known.facilities[key] for key in pinned_ids if key in known.facilities]
    if not known.has_catalog and len(pinned) < len(pinned_ids):
        pinned = get_facilities(pinned_ids)
    # By the place: a URL may have been chosen with a slash at its end.
    seen = {name_place(facility.id) for facility in used}
    pinned = [facility for facility in pinned if facility.id not in seen]
    seen.update(facility.id for facility in pinned)
    chosen = (
        known.facilities.get(key) or (None if known.has_catalog else _find_as_connected(key))
        for key in often
        if key not in seen
    )
    unseen = (facility for facility in chosen if facility and facility.id not in seen)
    popular = [*islice(unseen, _MOST_POPULAR)]
    return Suggestions(
        tuple(used),
        tuple(pinned),
        tuple(popular),
        choose_aliases([*used, *pinned, *popular]),
    )


def _find_connections(patient: Patient) -> dict[str, PatientConnection]:
    """Return the connections of ``patient``, by the place, the latest first."""
    own = PatientConnection.objects.of_patient(patient.patient_id)
    latest = own.order_by("-since", "-id")[:_CONNECTIONS_READ]
    return {connection.place_id: connection for connection in latest}


def _is_listed_by(connection_id: str) -> bool:
    """Return whether a catalog lists facilities by this kind of id, which a URL is not."""
    return "://" not in connection_id


def _find_as_connected(place_id: str) -> FhirSource | None:
    named = PatientConnection.objects.in_workspace().filter(place_id=place_id)
    connection = named.exclude(connection_name="").order_by("-id").first()
    return _read_facility(connection) if connection is not None else None


def _read_facility(connection: PatientConnection) -> FhirSource:
    """Return the facility as the connection's row has it.

    By Medblocks' own id where that is told, since it was chosen by its URL; the place is known by
    it.
    """
    place_id = connection.place_id
    return FhirSource(
        id=connection.connection_id if is_url(place_id) else place_id,
        name=connection.connection_name,
        type=connection.connection_type,
        fhir_base_url="",
        logo_url="",
        portal_url="",
    )
