"""Evidence about an attempt: its sources, its kinds, and the parts of one piece.

A new kind is a member of ``AttemptEvent.Kind``, an outcome that it alone would conclude
(``outcome.py``) and a call of ``settle``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from medblocks_connect.attempts.connection_state import LinkState
from medblocks_connect.attempts.outcome import Outcome
from medblocks_connect.models import AttemptEvent

Source = AttemptEvent.Source
Kind = AttemptEvent.Kind

_CLAIMS = frozenset({Kind.CAME_BACK, Kind.CLAIMED_SUCCESS, Kind.CLAIMED_FAILURE})


@dataclass(frozen=True)
class PlaceEvidence:
    """What one source tells of a patient at a place; what it does not tell is empty.

    ``links`` are by Medblocks' ``conn_…``. Times are aware.
    """

    place_id: str
    links: Mapping[str, LinkState] = field(default_factory=dict)
    connection_id: str = ""  # as the facility was chosen
    connection_name: str = ""
    connection_type: str = ""
    records_at: datetime | None = None
    records_failed_at: datetime | None = None
    asked_at: datetime | None = None
    actor: str = field(default="", repr=False)  # who ended a link here


@dataclass(frozen=True)
class Evidence:
    """One thing that one source said, and what it alone would conclude.

    ``facts`` are columns of the attempt that came along and are no matter of rank, such as the
    session's id or when the patient came back. The first to tell one stands. ``places`` are what
    it tells of the patient at each place, and ``lines`` what else it puts on the timeline: the
    outcome of a line decides nothing. ``place_id`` and ``facility``, the place's name, are what its
    own line is about, where the attempt may have several.
    ``actor`` is who caused it where that was not the patient; nobody causes what Medblocks says.
    """

    source: AttemptEvent.Source
    kind: AttemptEvent.Kind
    outcome: Outcome
    request_id: str = ""
    occurred_at: datetime | None = None  # aware
    error: str = ""  # belongs on the timeline and decides nothing, as does connection_status
    connection_status: str = ""
    detail: str = ""
    place_id: str = ""
    facility: str = ""
    actor: str = field(default="", repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict)
    places: tuple[PlaceEvidence, ...] = ()
    lines: tuple[Evidence, ...] = ()

    @property
    def is_claim(self) -> bool:
        """Return whether a return URL of the attempt's own patient says it."""
        return self.kind in _CLAIMS
