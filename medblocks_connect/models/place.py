"""The id of a place: a facility is one place, whatever name it was chosen by."""

from __future__ import annotations


def is_url(connection_id: str) -> bool:
    """Return whether ``connection_id`` is a FHIR base URL and no id of Medblocks' own."""
    return "://" in connection_id


def name_place(connection_id: str) -> str:
    """Return the place that ``connection_id`` names, as far as it alone tells.

    Medblocks' own id of the facility is the place's. Where that is not told, it is the FHIR base
    URL, which is the same with a slash at its end.
    """
    return connection_id.rstrip("/") if is_url(connection_id) else connection_id
