"""Measures what a site does while Medblocks hangs or limits the rate, and how soon that is over.

    python benchmarks/medblocks_away.py           # needs gunicorn; about three minutes

gunicorn with 2 workers of 8 threads serves a site on SQLite, with the app's default settings.
Sixteen patients search, each about every two seconds, for what is in no cache; eight browsers load
a page that needs no Medblocks, up to ten times a second each. Medblocks answers in 0.1 s, then
hangs, answers again, says 429 with ``Retry-After: 3600``, and answers again. What it was asked
while it hung it never answers. The exit status is 1 where a limit of the issue does not hold.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from socket import create_server
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

LEAST_SHARE, MOST_SECONDS_AFTER_HANG, MOST_SECONDS_AFTER_LIMIT = 0.8, 6.0, 12.0
PATIENTS, BROWSERS, WORKERS, THREADS = 16, 8, 2, 8
ANSWER_SECONDS = 0.1
PUBLIC_ID = "benchmark-attempt-of-the-failed-start"
UNAVAILABLE = b"<p>The list of hospitals cannot be reached"


def name_patient(_request: Any) -> Any:
    """Take everybody for one patient: nobody has to sign in."""
    from medblocks_connect.patients import Patient

    return Patient("p-1")


def configure() -> None:
    import django
    from django.conf import settings

    settings.configure(
        SECRET_KEY="only for the benchmark",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="benchmarks.medblocks_away_urls",
        USE_TZ=True,
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": os.environ["BENCH_DATABASE"],
            }
        },
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "medblocks_connect",
        ],
        MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {"context_processors": ["django.template.context_processors.request"]},
            }
        ],
        MEDBLOCKS_CONNECT={
            "API_KEY": "mb_sk_sbx_benchmark",
            "BASE_URL": os.environ["BENCH_MEDBLOCKS"],
            "PATIENT_RESOLVER": "benchmarks.medblocks_away.name_patient",
            "THROTTLES": {"search": None, "start": None},
        },
    )
    django.setup()


def make_application() -> Any:
    """Return the site, for gunicorn."""
    configure()
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def make_tables() -> None:
    configure()
    from django.core.management import call_command

    from medblocks_connect.models import PatientConnectionAttempt

    call_command("migrate", verbosity=0)
    PatientConnectionAttempt.objects.create(
        public_id=PUBLIC_ID, patient_id="p-1", connection_id="x", status="failed", error="http_404"
    )


class Medblocks(ThreadingHTTPServer):
    """Answers, hangs, or limits the rate, as ``mode`` says."""

    daemon_threads = True
    mode = "answers"
    over = threading.Event()

    def handle_error(self, *_args: object) -> None:
        """Say nothing: who asked has given up."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Medblocks

    def do_GET(self) -> None:
        mode = self.server.mode
        if mode == "hangs":
            self.server.over.wait()
        time.sleep(ANSWER_SECONDS)
        is_limited = mode == "limits"
        body = json.dumps(
            {"error": {"type": "rate_limit_error", "code": "throttled"}}
            if is_limited
            else {"resource_type": "list", "data": [], "has_more": False, "next_cursor": None}
        ).encode()
        self.send_response(429 if is_limited else 200)
        if is_limited:
            self.send_header("Retry-After", "3600")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


class Load:
    """The patients and the browsers; counts what they are answered, by the second."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.pages: dict[str, int] = defaultdict(int)
        self.searches: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self.last_unavailable = 0.0
        self.longest = 0.0
        self.phase = "begins"
        self.is_over = False
        self._numbers = count()

    def get(self, connection: HTTPConnection, path: str) -> bytes:
        connection.request("GET", path, headers={"X-Medblocks-Fragment": "results"})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, (answer.status, body[:200])
        return body

    def search(self) -> None:
        while not self.is_over:
            connection = HTTPConnection("127.0.0.1", self.port, timeout=120)
            phase, began = self.phase, time.monotonic()
            # All as long: what is longer may be answered from what was told of a shorter text.
            path = f"/records/search/?q={next(self._numbers):08d}"
            is_unavailable = UNAVAILABLE in self.get(connection, path)
            connection.close()
            self.searches[phase][is_unavailable] += 1
            # Who asked while Medblocks was away is answered late, but was not let in late.
            if is_unavailable and phase == self.phase:
                self.last_unavailable = max(self.last_unavailable, began)
            time.sleep(random.uniform(1.0, 3.0))

    def load(self) -> None:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=120)
        while not self.is_over:
            began = time.monotonic()
            self.get(connection, f"/records/attempts/{PUBLIC_ID}/")
            self.longest = max(self.longest, time.monotonic() - began)
            self.pages[self.phase] += 1
            time.sleep(0.1)

    def start(self) -> None:
        for target, number in ((self.search, PATIENTS), (self.load, BROWSERS)):
            for _ in range(number):
                threading.Thread(target=target, daemon=True).start()


def find_port() -> int:
    with create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def run_phases(medblocks: Medblocks, load: Load) -> dict[str, tuple[float, float]]:
    """Return, by phase, the pages a second and how long it was until the last search failed."""
    figures = {}
    for phase, mode, seconds in (
        ("warms up", "answers", 5),
        ("answers", "answers", 20),
        ("hangs", "hangs", 60),
        ("answers after it hung", "answers", 20),
        ("limits", "limits", 20),
        ("answers after it limited", "answers", 20),
    ):
        medblocks.mode, load.phase, load.longest = mode, phase, 0.0
        began = load.last_unavailable = time.monotonic()
        time.sleep(seconds)
        rate = load.pages[phase] / (time.monotonic() - began)
        figures[phase] = rate, load.last_unavailable - began
        found, failed = load.searches[phase]
        print(
            f"Medblocks {phase}: {rate:.0f} pages a second, the slowest {load.longest:.2f} s; "
            f"searches: {found} answered, {failed} told to try again, "
            f"the last one after {load.last_unavailable - began:.1f} s",
            flush=True,
        )
    return figures


def main() -> int:
    medblocks = Medblocks(("127.0.0.1", 0), Handler)
    threading.Thread(target=medblocks.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BENCH_DATABASE"] = str(Path(folder) / "bench.sqlite3")
        os.environ["BENCH_MEDBLOCKS"] = f"http://127.0.0.1:{medblocks.server_address[1]}"
        make_tables()
        port = find_port()
        command = [sys.executable, "-m", "gunicorn", "--log-level", "warning"]
        command += ["--workers", str(WORKERS), "--threads", str(THREADS), "--timeout", "120"]
        command += ["--bind", f"127.0.0.1:{port}", "benchmarks.medblocks_away:make_application()"]
        site = subprocess.Popen(command, cwd=ROOT)
        try:
            time.sleep(4)
            load = Load(port)
            load.start()
            figures = run_phases(medblocks, load)
            load.is_over = True
            medblocks.over.set()
            time.sleep(1)
        finally:
            site.terminate()
            site.wait(30)
    normal = figures["answers"][0]
    shares = {mode: figures[mode][0] / normal for mode in ("hangs", "limits")}
    print("\n".join(f"while it {mode}: {share:.0%}" for mode, share in shares.items()))
    is_kept = (
        min(shares.values()) >= LEAST_SHARE
        and figures["answers after it hung"][1] <= MOST_SECONDS_AFTER_HANG
        and figures["answers after it limited"][1] <= MOST_SECONDS_AFTER_LIMIT
    )
    return 0 if is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
