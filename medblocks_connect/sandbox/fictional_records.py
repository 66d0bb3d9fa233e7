"""Make-believe records: what a patient's connections brought, page by page.

A record is known by its connection and its number there, so none is stored. Each is a FHIR
resource with a type and an id, and no finding about anybody.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timezone
from typing import Any

from django.utils.dateparse import parse_date, parse_datetime

from medblocks_connect.sandbox.error_envelope import ApiError, invalid_data
from medblocks_connect.sandbox.models import SandboxConnection, SandboxPatient
from medblocks_connect.sandbox.pagination import MAX_LIMIT, invalid_cursor, read_limit
from medblocks_connect.sandbox.serializers import serialize_datetime, to_utc

MAX_RECORDS = 10_000  # of one connection
_TYPES = (
    "Condition",
    "Observation",
    "MedicationRequest",
    "AllergyIntolerance",
    "Encounter",
    "Immunization",
    "DocumentReference",
)
_CURSOR_BYTES = 9  # twelve characters, as Medblocks' cursors of records


@dataclass(frozen=True, order=True)
class _Position:
    connection_pk: int
    number: int

    def encode(self) -> str:
        packed = self.connection_pk.to_bytes(5, "big") + self.number.to_bytes(4, "big")
        return base64.urlsafe_b64encode(packed).decode()


def list_records(patient: SandboxPatient, query: dict[str, str]) -> dict[str, Any]:
    """Return the page of ``patient``'s records that ``query`` asks for. Raises ``ApiError``."""
    count = read_limit(query, "count", MAX_LIMIT)
    connections = {row.pk: row for row in patient.connections.order_by("pk")}
    positions = _find_positions(list(connections.values()), query)
    start, end = _find_page(positions, query, count)
    shown = positions[start:end]
    has_more = end < len(positions)
    return {
        "resource_type": "list",
        "patient_id": patient.patient_id,
        "data": [_serialize(connections[each.connection_pk], each.number) for each in shown],
        "has_more": has_more,
        "next_cursor": shown[-1].encode() if shown and has_more else None,
        "previous_cursor": shown[0].encode() if shown and start else None,
    }


def _find_positions(
    connections: Sequence[SandboxConnection], query: dict[str, str]
) -> list[_Position]:
    since = _read_since(query["since"]) if "since" in query else None
    return [
        _Position(connection.pk, number)
        for connection in connections
        if connection.records_synced_at is not None
        and (since is None or to_utc(connection.records_synced_at) >= since)
        for number in range(connection.records_total)
        if query.get("type") in {None, _type_of(number)}
    ]


def _find_page(
    positions: Sequence[_Position], query: dict[str, str], count: int
) -> tuple[int, int]:
    if "starting_after" in query and "ending_before" in query:
        raise ApiError(
            "bad_request", "Give starting_after or ending_before, not both.", param="ending_before"
        )
    if "ending_before" in query:
        border = _decode("ending_before", query["ending_before"])
        end = sum(position < border for position in positions)
        return max(end - count, 0), end
    start = 0
    if "starting_after" in query:
        border = _decode("starting_after", query["starting_after"])
        start = sum(position <= border for position in positions)
    return start, min(start + count, len(positions))


def _decode(name: str, cursor: str) -> _Position:
    try:
        packed = base64.b64decode(cursor, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise invalid_cursor(name) from None
    if len(packed) != _CURSOR_BYTES:
        raise invalid_cursor(name)
    return _Position(int.from_bytes(packed[:5], "big"), int.from_bytes(packed[5:], "big"))


def _read_since(text: str) -> datetime:
    """Read a moment, or a day: its first moment, in UTC."""
    try:
        moment = parse_datetime(text)
        day = None if moment else parse_date(text)
    except ValueError:
        moment = day = None
    if day is not None:
        moment = datetime.combine(day, time(), tzinfo=timezone.utc)
    if moment is None:
        raise invalid_data("since", "must be a date or a moment")
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


def _type_of(number: int) -> str:
    return _TYPES[number % len(_TYPES)]


def _serialize(connection: SandboxConnection, number: int) -> dict[str, Any]:
    return {
        "source": connection.connection_id,
        "resource": {
            "resourceType": _type_of(number),
            "id": f"{connection.conn_id}-{number}",
            "meta": {
                "lastUpdated": serialize_datetime(connection.records_synced_at),
                "tag": [{"code": "make-believe"}],
            },
        },
    }
