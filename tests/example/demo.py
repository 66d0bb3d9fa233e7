"""The demo as a newcomer runs it: a process of its own, on a port and a database of its own."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MANAGE = ROOT / "example_project" / "manage.py"


def clean_environment(**added: str) -> dict[str, str]:
    """Return the environment of somebody who has set nothing for this project, and ``added``."""
    ours = ("MEDBLOCKS_", "DJANGO_", "DATABASE_URL", "CACHE_URL", "SECRET_KEY", "DEBUG", "ALLOWED_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return {**kept, **added}


class Demo:
    """``manage.py demo --port 0``; ``url`` is known once it serves.

    Without ``database`` it makes one of its own, as for a newcomer.
    """

    def __init__(self, database: Path | None = None, **environment: str) -> None:
        named = {"DATABASE_URL": f"sqlite:///{database}"} if database else {}
        self._environment = clean_environment(**named, **environment)
        self._process = subprocess.Popen(
            [sys.executable, MANAGE, "demo", "--port", "0"],
            env=self._environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._incoming: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = self.wait_for_line("Riverbend Clinic is open at").split()[-1].rstrip("/")

    def wait_for_line(self, beginning: str, seconds: float = 90) -> str:
        """Return the first line that begins so; everything up to it is in ``lines``."""
        for line in self.lines:
            if line.startswith(beginning):
                return line
        deadline = time.monotonic() + seconds
        while True:
            line = self._incoming.get(timeout=max(deadline - time.monotonic(), 0.1))
            if line is None:
                raise AssertionError("the demo ended early:\n" + "\n".join(self.lines))
            self.lines.append(line)
            if line.startswith(beginning):
                return line

    def history(self) -> list[list[str]]:
        """Return the rows of the printed table, in columns."""
        self.wait_for_line("Ctrl-C stops the demo.")
        ruler = next(place for place, line in enumerate(self.lines) if line.startswith("-------"))
        widths = [len(dashes) for dashes in self.lines[ruler].split()]
        rows = []
        for line in self.lines[ruler + 1 :]:
            if " RB-" not in line:
                break
            starts = [sum(widths[:column]) + 2 * column for column in range(len(widths))]
            rows.append(
                [line[at : at + width].strip() for at, width in zip(starts, widths, strict=True)]
            )
        return rows

    def run(self, code: str) -> None:
        """Run Python in the site, on its database, which must have been named."""
        shell = [sys.executable, MANAGE, "shell", "--no-imports", "-c", code]
        subprocess.run(shell, env=self._environment, cwd=ROOT, check=True, timeout=60)

    def stop(self) -> int:
        """Press Ctrl-C; return the exit code, with all that was printed in ``lines``."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        code = self._process.wait(timeout=20)
        self._reader.join(timeout=5)
        while not self._incoming.empty():
            if (line := self._incoming.get()) is not None:
                self.lines.append(line)
        return code

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout:
            for line in self._process.stdout:
                self._incoming.put(line.rstrip("\n"))
        self._incoming.put(None)
