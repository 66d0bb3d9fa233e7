"""``medblocks_doctor``: a table of what is right and what is not, each fault with its mend."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any, Final

from medblocks_connect.management.diagnosis import Finding, Level, diagnose
from medblocks_connect.management.stoppable_command import StoppableCommand

_MARKS: Final = {
    Level.OK: "ok     ",
    Level.WARNING: "WARNING",
    Level.ERROR: "ERROR  ",
    Level.NOT_TRIED: "-      ",
}


class Command(StoppableCommand):
    """Look at the settings, the way to Medblocks, the tables and what waits in them."""

    help = (
        "Looks at the settings, the database, the cache, the way to Medblocks and what the key may "
        "read there, the catalog, and what waits for longer than it should. Writes nothing at "
        "Medblocks. Exit code 2: an error; 1: a warning; 0: neither."
    )
    requires_system_checks = ()  # they are a part of what it reports

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take how it is to be read."""
        parser.add_argument("--json", action="store_true", help="for monitors")

    def handle(self, *args: Any, **options: Any) -> None:
        """Print what was found; the exit code is the worst of it."""
        findings = diagnose()
        if options["json"]:
            self.stdout.write(json.dumps([asdict(finding) for finding in findings], indent=2))
        else:
            for finding in findings:
                self._print(finding)
        levels = {finding.level for finding in findings}
        if Level.ERROR in levels:
            raise SystemExit(2)
        if Level.WARNING in levels:
            raise SystemExit(1)

    def _print(self, finding: Finding) -> None:
        mark = _MARKS[finding.level]
        style = {Level.ERROR: self.style.ERROR, Level.WARNING: self.style.WARNING}
        paint = style.get(finding.level, str)
        self.stdout.write(f"{paint(mark)}  {finding.text}")
        if finding.mend:
            self.stdout.write(f"{' ' * len(mark)}  -> {finding.mend}")
