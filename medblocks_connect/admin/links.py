"""The addresses of our pages in the admin; none of them names a patient."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlencode

from django.urls import reverse

_APP: Final = "admin:medblocks_connect_"


def attempt_list_url(**filters: str) -> str:
    """Return the address of the list of attempts, with ``filters`` set."""
    url = reverse(f"{_APP}patientconnectionattempt_changelist")
    return f"{url}?{urlencode(filters)}" if filters else url


def attempt_url(pk: int) -> str:
    """Return the address of an attempt's page."""
    return reverse(f"{_APP}patientconnectionattempt_change", args=[pk])


def patient_url(pk: int) -> str:
    """Return the address of the page of the patient whose attempt has this key.

    The patient's id is not in it: servers log addresses.
    """
    return reverse(f"{_APP}patienthistory_change", args=[pk])


def erase_url(pk: int) -> str:
    """Return the address of the page that erases the patient whose attempt has this key."""
    return reverse(f"{_APP}patienthistory_erase", args=[pk])


def delivery_url(pk: int) -> str:
    """Return the address of a webhook delivery's page."""
    return reverse(f"{_APP}webhookdelivery_change", args=[pk])
