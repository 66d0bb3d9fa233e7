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
    attempts = _find_successful_attempts(patient)
    pinned_ids = conf.pinned_facilities[:_MOST_PINNED]
    often = [key for key, patients in count_chosen().items() if patients >= _POPULAR_FROM]
    # Some of the most chosen may be shown above, or withdrawn.
    often = often[: _MOST_USED + _MOST_PINNED + 2 * _MOST_POPULAR]
    known = find_known_facilities([*attempts, *pinned_ids, *often])
    used = [
        known.facilities.get(key) or _read_facility(attempt)
        for key, attempt in attempts.items()
        if key in known.facilities or not (known.has_catalog and _is_listed_by(key))
    ][:_MOST_USED]
    pinned = [known.facilities[key] for key in pinned_ids if key in known.facilities]
    if not known.has_catalog and len(pinned) < len(pinned_ids):
        pinned = get_facilities(pinned_ids)
    seen = {facility.id for facility in used}
    pinned = [facility for facility in pinned if facility.id not in seen]
    seen.update(facility.id for facility in pinned)
    chosen = (
        known.facilities.get(key) or (None if known.has_catalog else _find_as_chosen(key))
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


def _find_successful_attempts(patient: Patient) -> dict[str, PatientConnectionAttempt]:
    """Return the attempts that connected ``patient``, one for each facility, the latest first."""
    successes = (
        PatientConnectionAttempt.objects.of_patient(patient.patient_id).in_workspace().successes()
    )
    attempts: dict[str, PatientConnectionAttempt] = {}
    for attempt in successes.exclude(connection_id="").order_by("-id")[:_ATTEMPTS_READ]:
        attempts.setdefault(attempt.connection_id, attempt)
    return attempts


def _is_listed_by(connection_id: str) -> bool:
    """Return whether a catalog lists facilities by this kind of id, which a URL is not."""
    return "://" not in connection_id


def _find_as_chosen(connection_id: str) -> FhirSource | None:
    named = PatientConnectionAttempt.objects.in_workspace().filter(connection_id=connection_id)
    attempt = named.exclude(connection_name="").order_by("-id").first()
    return _read_facility(attempt) if attempt is not None else None


def _read_facility(attempt: PatientConnectionAttempt) -> FhirSource:
    """Return the facility as the attempt's row has it."""
    return FhirSource(
        id=attempt.connection_id,
        name=attempt.connection_name,
        type=attempt.connection_type,
        fhir_base_url="",
        logo_url="",
        portal_url="",
    )
