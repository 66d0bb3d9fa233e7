"""The clinic's own pages: the front door, and the patient's account."""

from typing import Final

from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from medblocks_connect.models import PatientConnectionAttempt
from riverbend.patients import find_patient

SHOWN_ATTEMPTS: Final = 20


@login_not_required
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Show the clinic's front page."""
    return render(request, "riverbend/home.html")


@require_safe
def account(request: HttpRequest) -> HttpResponse:
    """Show a patient their account, and what came of each hospital they tried to connect."""
    patient = find_patient(request)
    attempts = PatientConnectionAttempt.objects.none()
    if patient is not None:
        attempts = PatientConnectionAttempt.objects.filter(patient_id=patient.patient_id)
    return render(
        request,
        "riverbend/account.html",
        {"patient": patient, "attempts": attempts[:SHOWN_ATTEMPTS]},
    )
