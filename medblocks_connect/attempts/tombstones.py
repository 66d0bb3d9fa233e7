"""Tombstones: who was erased, and which events are about them and not to be taken any more.

A tombstone is an HMAC of a patient's id by ``SECRET_KEY``: whoever has the id finds it, and nobody
else learns the id by it. It covers what was told before the patient started anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final, Literal, TypeAlias

from django.conf import settings
from django.db import router
from django.db.models import QuerySet
from django.utils.crypto import salted_hmac

from medblocks_connect.conf import find_workspace
from medblocks_connect.models import (
    ErasedIdentifier,
    ErasedPatient,
    PatientConnectionAttempt,
    WebhookDelivery,
    filter_workspace,
)

Kind: TypeAlias = Literal["patient", "session", "connection"]
Sign: TypeAlias = Callable[[Kind, str], str]

_SALT: Final = "medblocks_connect.erased_patient"


def make_signers() -> list[Sign]:
    """Return what signs an id in the workspace in force: by ``SECRET_KEY``, then by its fallbacks.

    A tombstone is found by each of them, and made by the first.
    """
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return [_make_signer(key, find_workspace()) for key in keys]


def _make_signer(secret: str | bytes, workspace: str) -> Sign:
    def sign(kind: Kind, identifier: str) -> str:
        message = json.dumps([workspace, kind, identifier])
        return salted_hmac(_SALT, message, secret, algorithm="sha256").hexdigest()

    return sign


def find_tombstones() -> QuerySet[ErasedPatient]:
    """Return the tombstones of the workspace in force, as they are where they are written."""
    tombstones = ErasedPatient.objects.using(router.db_for_write(ErasedPatient))
    return filter_workspace(tombstones)


def find_tombstones_of(patient_id: str) -> QuerySet[ErasedPatient]:
    """Return those of one patient: several only where the key was replaced between two erasures."""
    return find_tombstones().filter(pk__in=_sign_all("patient", [patient_id]))


def is_about_erased(delivery: WebhookDelivery) -> bool:
    """Return whether an event tells of a patient who was erased, from before they were.

    Once the patient has started anew, what happened since the erasure counts again.
    """
    signatures = [
        *_sign_all("session", [delivery.patient_session_id]),
        *_sign_all("connection", [delivery.patient_connection_id]),
    ]
    if signatures and _find_identifiers().filter(pk__in=signatures).exists():
        return True
    if not delivery.patient_id:
        return False
    tombstones = find_tombstones_of(delivery.patient_id)
    erased_at = max(tombstones.values_list("erased_at", flat=True), default=None)
    if erased_at is None:
        return False
    happened_at = delivery.occurred_at or delivery.received_at
    return happened_at <= erased_at or not _has_started_since(delivery.patient_id, erased_at)


def find_erased_identifiers(kind: Kind, identifiers: Iterable[str]) -> list[str]:
    """Return those of ``identifiers`` that were an erased patient's."""
    signers = make_signers()
    by_signature = {sign(kind, each): each for each in identifiers for sign in signers}
    found = _find_identifiers().filter(pk__in=by_signature)
    return [by_signature[signature] for signature in found.values_list("pk", flat=True)]


def _has_started_since(patient_id: str, moment: datetime) -> bool:
    own = PatientConnectionAttempt.objects.where_written().of_patient(patient_id).in_workspace()
    return own.filter(created_at__gt=moment).exists()


def _find_identifiers() -> QuerySet[ErasedIdentifier]:
    return ErasedIdentifier.objects.using(router.db_for_write(ErasedIdentifier))


def _sign_all(kind: Kind, identifiers: Iterable[str]) -> list[str]:
    signers = make_signers()
    return [sign(kind, each) for each in identifiers if each for sign in signers]
