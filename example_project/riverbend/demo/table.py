"""The demo's history as lines of text that a terminal shows in columns."""

from collections.abc import Iterable
from typing import Final

from medblocks_connect.models import PatientConnectionAttempt
from riverbend.demo.history import Scenario

FACILITY_WIDTH: Final = 30
HEADINGS: Final = ("Patient", "Number", "Facility", "What they did", "What staff see")


def show_table(history: Iterable[tuple[Scenario, PatientConnectionAttempt]]) -> str:
    """Return one line per attempt, as the database has it now, under a line of headings."""
    rows = [HEADINGS, *(_row(scenario, attempt) for scenario, attempt in history)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _row(scenario: Scenario, attempt: PatientConnectionAttempt) -> tuple[str, ...]:
    attempt.refresh_from_db()
    return (
        scenario.person.first_name,
        attempt.patient_id,
        _shorten(attempt.facility),
        scenario.description,
        _outcome(attempt),
    )


def _outcome(attempt: PatientConnectionAttempt) -> str:
    if attempt.status == attempt.Status.SUCCEEDED and attempt.lost_at:
        return "succeeded, access lost"
    return f"{attempt.status}: {attempt.error}" if attempt.error else str(attempt.status)


def _shorten(facility: str) -> str:
    if len(facility) <= FACILITY_WIDTH:
        return facility
    return facility[: FACILITY_WIDTH - 1].rstrip() + "…"
