"""Where our pages are in the admin: their addresses, for any patient id that a database keeps.

A patient without an id has no page.
"""

from __future__ import annotations

import re
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


def patient_url(patient_id: str) -> str:
    """Return the address of a patient's page; ``""`` for no id."""
    if not patient_id:
        return ""
    return reverse(f"{_APP}patienthistory_change", args=[quote_patient_id(patient_id)])


def delivery_url(pk: int) -> str:
    """Return the address of a webhook delivery's page."""
    return reverse(f"{_APP}webhookdelivery_change", args=[pk])


def quote_patient_id(patient_id: str) -> str:
    """Escape ``patient_id`` for an address, in the form of the admin's keys ("/" is "_2F").

    Dots too: a browser takes the path segments "." and ".." for directions.
    """
    return _SPECIAL.sub(lambda found: f"_{ord(found[0]):02X}", patient_id)


def unquote_patient_id(quoted: str) -> str:
    """Undo :func:`quote_patient_id`, and Django's own ``quote`` of a :func:`log_key`."""
    if _DIRECTIONS.fullmatch(quoted):
        quoted = quoted.removesuffix("_2F")
    return _QUOTED.sub(lambda found: chr(int(found[1], 16)), quoted)


def log_key(patient_id: str) -> str:
    """Return the id under which Django's log keeps a patient, for the address it makes of it.

    Django's ``quote`` leaves dots as they are: "." and ".." get a slash, which it escapes, and
    whoever is called "./" gets one more.
    """
    return f"{patient_id}/" if _DIRECTIONS_BEFORE_QUOTING.fullmatch(patient_id) else patient_id


_SPECIAL: Final = re.compile(r"""[\x00-\x1f"#$%&+,./:;<=>?@\[\\\]_]""")
_DIRECTIONS_BEFORE_QUOTING: Final = re.compile(r"\.{1,2}/*")
# Only Django's quote makes these: ours escapes dots.
_DIRECTIONS: Final = re.compile(r"\.{1,2}(_2F)+")
_QUOTED: Final = re.compile("_([0-9A-F]{2})")
