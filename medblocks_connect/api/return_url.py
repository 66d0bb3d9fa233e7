"""The claim of a return URL: which session, and how it ended. A claim, not the truth.

Anybody can write such a URL, so nothing here is proof; verify with the session itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlencode

from medblocks_connect.api.json_fields import MAX_CODE_LENGTH, MAX_ID_LENGTH, MAX_SHORT_ID_LENGTH
from medblocks_connect.api.text import clean_text

MAX_DESCRIPTION_LENGTH = 2000
_CARRIED_LENGTH = 200  # of a description, through a login
UNKNOWN_ERROR = "unknown_error"
_PARAMETERS = frozenset(
    {
        "patient_id",
        "patient_session_id",
        "success",
        "connection_id",
        "error",
        "error_description",
    }
)
_ID_LENGTHS = {
    "patient_session_id": MAX_SHORT_ID_LENGTH,
    "patient_id": MAX_ID_LENGTH,
    "connection_id": MAX_ID_LENGTH,
}
_MAX_PARAMETERS = 100
_BEFORE_QUERY = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.\-]*://|/)[^?#]*\??")
# What a decoder that does not fail (Django's) puts where the bytes were not UTF-8.
_UNDECODABLE = "\ufffd"


@dataclass(frozen=True, slots=True)
class ReturnedSuccess:
    """The browser says that the patient connected ``connection_id`` (``""`` if it names none)."""

    patient_session_id: str
    patient_id: str = field(repr=False)
    connection_id: str


@dataclass(frozen=True, slots=True)
class ReturnedFailure:
    """The browser says that it failed.

    ``error`` is never empty; ``error_description`` is portal text: for staff, never for patients.
    """

    patient_session_id: str
    patient_id: str = field(repr=False)
    error: str
    error_description: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReturnedFromHostedPage:
    """The browser comes from Medblocks' own page, which does not say how it ended."""

    patient_session_id: str
    patient_id: str = field(repr=False)


Returned = ReturnedSuccess | ReturnedFailure | ReturnedFromHostedPage


def parse_return_url(
    query: str
    | Mapping[str, str | Sequence[str]]
    | Iterable[tuple[str, str | Sequence[str]]]
    | None,
) -> Returned | None:
    """Return what a return URL claims, or ``None`` if it is malformed.

    ``query`` is a query string with or without ``?``, a whole URL, or names with their value or
    their lists of values (``request.GET.lists()``). Unknown parameters are ignored; a known one
    that comes twice is malformed, as two readers could read it differently.
    """
    values = _parse_query(query) if isinstance(query, str) else _read_values(query)
    if values is None or not values.get("patient_session_id"):
        return None
    ids = {name: values.get(name, "") for name in _ID_LENGTHS}
    if any(_UNDECODABLE in ids[name] for name in ids):
        return None
    if any(clean_text(ids[name], length) != ids[name] for name, length in _ID_LENGTHS.items()):
        return None
    session_id, patient_id, connection_id = ids.values()
    success = values.get("success")
    if success is None:
        return ReturnedFromHostedPage(session_id, patient_id)
    if success == "true":
        return ReturnedSuccess(session_id, patient_id, connection_id)
    if success != "false":
        return None
    return ReturnedFailure(
        session_id,
        patient_id,
        error=clean_text(values.get("error"), MAX_CODE_LENGTH) or UNKNOWN_ERROR,
        error_description=clean_text(values.get("error_description"), MAX_DESCRIPTION_LENGTH),
    )


def write_return_query(returned: Returned, max_length: int) -> str:
    """Return the query of a return URL that claims the same, for a patient who has to sign in.

    It names no patient. What makes it longer than ``max_length`` is left out, the least telling
    first: servers and browsers refuse long addresses.
    """
    parameters = {"patient_session_id": returned.patient_session_id}
    if isinstance(returned, ReturnedSuccess):
        parameters |= {"success": "true", "connection_id": returned.connection_id}
    elif isinstance(returned, ReturnedFailure):
        parameters |= {"success": "false", "error": returned.error}
        parameters["error_description"] = clean_text(returned.error_description, _CARRIED_LENGTH)
    while len(query := urlencode(parameters)) > max_length and len(parameters) > 1:
        parameters.popitem()
    return query


def _parse_query(query: str) -> dict[str, str] | None:
    before = _BEFORE_QUERY.match(query)
    if before:
        query = query[before.end() :].partition("#")[0]
    try:
        pairs = parse_qsl(
            query.removeprefix("?"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError:  # not UTF-8, or too many
        return None
    return _read_values(pairs)


def _read_values(
    parameters: Mapping[str, str | Sequence[str]]
    | Iterable[tuple[str, str | Sequence[str]]]
    | None,
) -> dict[str, str] | None:
    # A copy first: a mapping of Django's gives its lists to dict() alone.
    pairs = dict(parameters).items() if isinstance(parameters, Mapping) else parameters or ()
    values: dict[str, str] = {}
    for name, listed in pairs:
        for value in listed if isinstance(listed, list | tuple) else [listed]:
            if name not in _PARAMETERS:
                continue
            if name in values or not isinstance(value, str):
                return None
            values[name] = value
    return values
