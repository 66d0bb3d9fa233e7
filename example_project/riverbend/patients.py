"""The patient resolver: Medblocks knows a patient by the number on their card."""

from django.contrib.auth.models import AbstractBaseUser
from django.http import HttpRequest

from medblocks_connect.patients import Patient


def patient_number(user: AbstractBaseUser) -> str:
    """Return the number on the card: the same for the same person for ever."""
    return f"RB-{user.pk:04d}"


def find_patient(request: HttpRequest) -> Patient | None:
    """Return the signed-in patient, or None: then the app asks them to sign in."""
    user = request.user
    if not user.is_authenticated:
        return None
    return Patient(
        patient_id=patient_number(user),
        name=user.get_full_name(),
        email=user.email,
    )
