"""What a patient is offered before they type: their own places, the host's, and the most chosen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from medblocks_connect.api import FhirSource
from medblocks_connect.conf import conf
from medblocks_connect.facilities.aliases import name_aliases
from medblocks_connect.facilities.catalog import find_catalog
from medblocks_connect.facilities.lookup import find_known_facility, get_facilities
from medblocks_connect.facilities.popularity import count_chosen
from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.patients import Patient

_MOST_USED: Final = 5
_MOST_PINNED: Final = 10
_MOST_POPULAR: Final = 5
_POPULAR_FROM: Final = 2  # patients: one alone might be recognised by the place they chose
_ATTEMPTS_READ: Final = 50


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
    used = _find_used(patient)
    seen = {each.id for each in used}
    pinned = get_facilities(conf.pinned_facilities[:_MOST_PINNED])
    pinned = [each for each in pinned if each.id not in seen]
    seen.update(each.id for each in pinned)
    counts = count_chosen().items()
    often = [key for key, patients in counts if patients >= _POPULAR_FROM and key not in seen]
    has_catalog = find_catalog() is not None  # then one that is not in it was withdrawn
    known = (
        find_known_facility(key) or (None if has_catalog else _as_chosen(key))
        for key in often[: 2 * _MOST_POPULAR]
    )
    popular = [each for each in known if each is not None and each.id not in seen]
    offered = (*used, *pinned, *popular[:_MOST_POPULAR])
    return Suggestions(
        tuple(used), tuple(pinned), tuple(popular[:_MOST_POPULAR]), name_aliases(offered)
    )


def _find_used(patient: Patient) -> list[FhirSource]:
    """Return the facilities that ``patient`` was connected to, the latest first."""
    won = PatientConnectionAttempt.objects.filter(
        patient_id=patient.patient_id, status=PatientConnectionAttempt.Status.SUCCEEDED
    ).exclude(connection_id="")
    used: dict[str, FhirSource] = {}
    for attempt in won.order_by("-id")[:_ATTEMPTS_READ]:
        # MySQL takes "ab " for "ab".
        if attempt.patient_id == patient.patient_id and attempt.connection_id not in used:
            known = find_known_facility(attempt.connection_id)
            used[attempt.connection_id] = known or _as_remembered(attempt)
            if len(used) == _MOST_USED:
                break
    return list(used.values())


def _as_chosen(connection_id: str) -> FhirSource | None:
    named = PatientConnectionAttempt.objects.filter(connection_id=connection_id)
    attempt = named.exclude(connection_name="").order_by("-id").first()
    return _as_remembered(attempt) if attempt is not None else None


def _as_remembered(attempt: PatientConnectionAttempt) -> FhirSource:
    """Return the facility as the attempt's row remembers it."""
    return FhirSource(
        id=attempt.connection_id,
        name=attempt.connection_name,
        type=attempt.connection_type,
        fhir_base_url="",
        logo_url="",
        portal_url="",
    )
