"""The patient of a request: the host's resolver names them; here is the default one.

Ownership everywhere in the app is "the resolver names the same patient", so there is no foreign
key to the user model, and anonymous intake forms and custom users work alike. A form says whom it
was made for, since the resolver may name somebody else once it is sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.module_loading import import_string

from medblocks_connect.api import clean_text
from medblocks_connect.conf import conf

PATIENT_ID_MAX_LENGTH = 200  # Medblocks takes 1 to 200 characters
ACTOR_MAX_LENGTH = 200

FORM_FIELD: Final = "medblocks_patient"
"""The field in which a form says whom it was made for."""

_ATTRIBUTE: Final = "medblocks_patient"  # of a request


@dataclass(frozen=True)
class Patient:
    """A patient as Medblocks shall know them, and who acts for them.

    ``patient_id`` is yours: 1 to 200 characters, the same for the same person for ever. ``email``,
    ``name`` and ``metadata`` are passed on to Medblocks where they are given: the first two where
    Medblocks takes them, the last as JSON. ``actor`` is who acts when it is not the patient, such
    as the key of a member of staff: kept here with what they did, and never sent to Medblocks; it
    changes nothing of whose the attempts are. Nothing of it all shows in ``repr``.
    """

    patient_id: str = field(repr=False)
    email: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    actor: str = field(default="", repr=False)


def signed_in_user(request: HttpRequest) -> Patient | None:
    """Resolve the patient as the signed-in user's primary key, and pass on nothing else."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return None
    return Patient(patient_id=str(user.pk))


def resolve_patient(request: HttpRequest) -> Patient | None:
    """Return the patient of ``request`` as the setting ``PATIENT_RESOLVER`` names them.

    Raises ``ImproperlyConfigured`` when the resolver gives anything but ``None`` for "nobody is
    signed in" or a :class:`Patient` with an id that Medblocks takes, metadata that JSON holds and
    an actor that every database keeps.
    """
    patient = import_string(conf.patient_resolver)(request)
    if patient is None:
        return None
    if not isinstance(patient, Patient) or not _is_patient_id(patient.patient_id):
        raise ImproperlyConfigured(
            "MEDBLOCKS_CONNECT['PATIENT_RESOLVER'] must return None or a "
            "medblocks_connect.patients.Patient whose patient_id is text of 1 to "
            f"{PATIENT_ID_MAX_LENGTH} printable characters in Unicode's form NFC, "
            "without white space at its ends.",
        )
    if not _is_metadata(patient.metadata):
        raise ImproperlyConfigured(
            "MEDBLOCKS_CONNECT['PATIENT_RESOLVER'] must return a Patient whose metadata is a "
            "dict of what JSON holds: give dates, UUIDs and the like as text.",
        )
    if not _is_actor(patient.actor):
        raise ImproperlyConfigured(
            "MEDBLOCKS_CONNECT['PATIENT_RESOLVER'] must return a Patient whose actor is \"\" for "
            f"the patient's own acts, or text of 1 to {ACTOR_MAX_LENGTH} printable characters in "
            "Unicode's form NFC, without white space at its ends: give str(request.user.pk), for "
            "example.",
        )
    return patient


def remember_patient(request: HttpRequest, patient: Patient) -> None:
    """Let forms in the answer to ``request`` be made for ``patient``, as its view names them."""
    setattr(request, _ATTRIBUTE, patient)


def find_form_patient(request: HttpRequest) -> Patient | None:
    """Return whom a form in the answer to ``request`` is for; on a host's page, by the setting."""
    remembered: Patient | None = getattr(request, _ATTRIBUTE, None)
    return remembered or resolve_patient(request)


def sign_form_patient(patient: Patient) -> str:
    """Return what :data:`FORM_FIELD` holds in a form that is made for ``patient``.

    It is an HMAC: nobody reads an id in it, or makes one for an id, without ``SECRET_KEY``.
    """
    # Constant, and not masked as a CSRF token is: it opens nothing (a form without it is taken
    # too), so there is nothing to guess out of a compressed page; and in twenty forms of one page
    # it compresses to one.
    return _sign(patient, settings.SECRET_KEY)


def is_form_of(patient: Patient, token: str) -> bool:
    """Return whether a form that holds ``token`` was made for ``patient``.

    Also by a key that is replaced since, while it is among ``SECRET_KEY_FALLBACKS``.
    """
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    # A form may hold half a surrogate pair, which cannot be compared as bytes.
    return token.isascii() and any(
        constant_time_compare(token, _sign(patient, key)) for key in keys
    )


def _sign(patient: Patient, key: str | bytes) -> str:
    salt = "medblocks_connect.form_patient"
    return salted_hmac(salt, patient.patient_id, key, algorithm="sha256").hexdigest()


def _is_patient_id(value: object) -> bool:
    # An id that is not stored alike everywhere could not be recognised in Medblocks' answers.
    return bool(value) and _is_kept_alike(value, PATIENT_ID_MAX_LENGTH)


def _is_actor(value: object) -> bool:
    return _is_kept_alike(value, ACTOR_MAX_LENGTH)


def _is_kept_alike(value: object, max_length: int) -> bool:
    """Return whether every database keeps ``value`` as it is: printable, cleaned, not too long."""
    return isinstance(value, str) and value.isprintable() and clean_text(value, max_length) == value


def _is_metadata(value: object) -> bool:
    if not isinstance(value, Mapping):
        return False
    try:
        json.dumps({**value}, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True
