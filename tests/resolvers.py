"""Patient resolvers of the tests' host, good and bad."""

from __future__ import annotations

from medblocks_connect.patients import Patient


def intake_form(request):
    """Name the patient by a header, as an anonymous intake form would by its session."""
    patient_id = request.headers.get("X-Intake")
    return Patient(patient_id, name="Ada L.") if patient_id else None


def return_text(request):
    return "p-1"


def return_empty_id(request):
    return Patient("")


def return_long_id(request):
    return Patient("x" * 201)


def return_number(request):
    return Patient(7)


def nobody(request):
    return None


def somebody_else(request):
    return Patient("somebody-else")
