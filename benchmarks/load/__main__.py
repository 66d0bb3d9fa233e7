"""Measures a site under load, with its patients, with Medblocks and with what goes wrong there.

    pip install -e . -r benchmarks/requirements.txt
    python -m benchmarks.load                                    # SQLite as Django sets it up
    python -m benchmarks.load --postgres postgres://postgres@127.0.0.1/ \\
        --redis redis://127.0.0.1:6379/9 --scenario faults --flows 20000

gunicorn with 2 workers of 8 threads serves the site; Locust plays the patients; a stand-in for
Medblocks answers in 50 to 300 ms and sends its webhooks twice, late and shuffled. All of it stays
on this machine. The scenarios:

- ``compare``: flows a second and the latency of a search, beside the guide's own recipe in plain
  Django (``benchmarks/load/recipe``) under the same gunicorn.
- ``faults``: of the calls 5 % are answered by 500, 5 % by 429, 2 % by garbage, 3 % hang, 3 % are
  reset; a worker is killed every 20 s. Then every attempt is held against what the stand-in knows,
  every page against the attempt, and every signal against what the receivers heard.
- ``memory``: memory, threads, sockets and connections over many searches and webhooks, whose
  receiver would take 3 s, with ``DEFER_SIGNALS``.
- ``reloads``: two patients reload a return URL, twenty times at once each, beside others.

The exit status is 1 where an aim is missed. ``--json`` prints the table as JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import sys
from pathlib import Path

from benchmarks.load.scenarios import SCENARIOS, Options, Row
from benchmarks.load.servers import Services, run_stand_in


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS), default=[])
    parser.add_argument("--postgres", default="", help="postgres://user@127.0.0.1/")
    parser.add_argument("--redis", default="", help="redis://127.0.0.1:6379/9")
    parser.add_argument("--flows", type=int, default=300, help="flows with faults")
    parser.add_argument("--users", type=int, default=24, help="patients at once")
    parser.add_argument("--seconds", type=float, default=30, help="of each measured phase")
    parser.add_argument("--searches", type=int, default=2000)
    parser.add_argument("--webhooks", type=int, default=500)
    parser.add_argument("--log", default=os.devnull, help="a file for what the servers print")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def run(options: Options, names: list[str]) -> list[Row]:
    rows = []
    for name in names:
        # A stand-in for each: what it knows and counts is of one scenario.
        with run_stand_in() as stand_in:
            for row in SCENARIOS[name](options, stand_in):
                rows.append(row)
                sys.stderr.write(f"{row.scenario}: {row.figure}: {row.measured}\n")
    return rows


def print_table(rows: list[Row]) -> None:
    lines = [("scenario", "figure", "measured", "aim", "")]
    lines += [
        (
            row.scenario,
            row.figure,
            row.measured,
            row.aim,
            {None: "", True: "yes", False: "NO"}[row.holds],
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        print(" | ".join(cells).rstrip())


def main() -> int:
    # An end from outside is an exit, too: databases are dropped and processes ended.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    chosen = read_options()
    services = Services(chosen.postgres, chosen.redis)
    services.check_loopback()
    with Path(chosen.log).open("a", encoding="utf-8") as log:
        options = Options(
            services=services,
            flows=chosen.flows,
            seconds=chosen.seconds,
            users=chosen.users,
            searches=chosen.searches,
            webhooks=chosen.webhooks,
            log=log,
        )
        rows = run(options, chosen.scenario or list(SCENARIOS))
    if chosen.json:
        print(json.dumps([dataclasses.asdict(row) for row in rows], indent=2))
    else:
        print_table(rows)
    return 0 if all(row.holds is not False for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
