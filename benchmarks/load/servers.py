"""The processes of a run: the stand-in, gunicorn with a host, its commands, and the patients."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import psutil

ROOT = Path(__file__).resolve().parents[2]
WORKERS, THREADS = 2, 8
START_SECONDS = 30.0
OURS = "benchmarks.load.site:make_application()"
RECIPE = "benchmarks.load.recipe.site:make_application()"


@dataclass
class Services:
    """Where the host keeps its rows and its cache; empty for what Django does by default."""

    postgres: str = ""
    redis: str = ""

    @property
    def name(self) -> str:
        if not self.postgres:
            return "SQLite"
        return "PostgreSQL and Redis" if self.redis else "PostgreSQL"

    def check_loopback(self) -> None:
        for url in filter(None, (self.postgres, self.redis)):
            if urlsplit(url).hostname not in {"127.0.0.1", "::1", "localhost"}:
                raise SystemExit(f"This load test stays on this machine, and {url} is elsewhere.")


@dataclass
class StandIn:
    """The stand-in for Medblocks, as a process."""

    process: subprocess.Popen[str]
    api: str
    portal: str

    def turn(self, **changes: Any) -> None:
        body = json.dumps(changes).encode()
        with urlopen(Request(f"{self.portal}/control", data=body), timeout=10):
            pass

    def count(self) -> dict[str, Any]:
        with urlopen(f"{self.portal}/control", timeout=10) as answer:
            counts: dict[str, Any] = json.load(answer)
        return counts

    def read_truth(self) -> list[dict[str, str]]:
        with urlopen(f"{self.portal}/truth", timeout=60) as answer:
            truth: list[dict[str, str]] = json.load(answer)
        return truth

    def wait_for_webhooks(self, seconds: float) -> int:
        """Return how many copies are still on their way after at most ``seconds``."""
        until = time.monotonic() + seconds
        while (left := int(self.count()["open_webhooks"])) and time.monotonic() < until:
            time.sleep(0.5)
        return left


@contextmanager
def run_stand_in() -> Iterator[StandIn]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.load.medblocks"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        ports = json.loads(process.stdout.readline())
        addresses = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        yield StandIn(process, **addresses)
    finally:
        end(process)


def end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@dataclass
class Host:
    """A host's environment: its database, cache and stand-in; gunicorn once it is served."""

    environment: dict[str, str]
    stand_in: StandIn
    log: IO[str]
    database: str = ""  # on PostgreSQL
    postgres: str = ""
    address: str = ""
    gunicorn: subprocess.Popen[Any] | None = None
    killed: int = 0
    _patients: int = field(default=0)

    def command(self, name: str, *arguments: str) -> dict[str, Any]:
        """Run a command in the host's environment; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.load.commands", name, *arguments],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            check=True,
        )
        printed: dict[str, Any] = json.loads(done.stdout)
        return printed

    @contextmanager
    def serve(self, application: str = OURS) -> Iterator[None]:
        """Serve the host by gunicorn until the block ends."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        options = ["--workers", str(WORKERS), "--threads", str(THREADS), "--timeout", "120"]
        options += ["--worker-class", "gthread", "--log-level", "error", "--backlog", "2048"]
        self.gunicorn = subprocess.Popen(
            [
                *(sys.executable, "-m", "gunicorn", *options),
                *("--bind", f"127.0.0.1:{port}", application),
            ],
            cwd=ROOT,
            env=self.environment,
            stdout=self.log,
            stderr=self.log,
        )
        try:
            wait_for(port)
            self.stand_in.turn(webhook_url=f"{self.address}/records/webhook/")
            yield
        finally:
            self.stand_in.turn(webhook_url="")
            end(self.gunicorn)

    def play(self, **job: Any) -> dict[str, Any]:
        """Let patients play the job (see ``patients``); return their account."""
        job = {"site": self.address, "pause": [0, 0], "first": self._patients, **job}
        self._patients += job["count"]
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.load.patients", json.dumps(job)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            check=True,
        )
        account: dict[str, Any] = json.loads(done.stdout)
        return account

    def find_workers(self) -> list[psutil.Process]:
        assert self.gunicorn is not None
        workers: list[psutil.Process] = psutil.Process(self.gunicorn.pid).children()
        return workers

    @contextmanager
    def kill_workers(self, seconds: float) -> Iterator[None]:
        """Kill a worker (SIGKILL) every so many seconds, until the block ends; 0 for never."""
        over = threading.Event()

        def kill() -> None:
            while not over.wait(seconds):
                workers = self.find_workers()
                if workers:
                    random.choice(workers).send_signal(signal.SIGKILL)
                    self.killed += 1

        killer = threading.Thread(target=kill, daemon=True)
        if seconds:
            killer.start()
        try:
            yield
        finally:
            over.set()
            if seconds:
                killer.join()

    @contextmanager
    def reconcile_every(self, seconds: float) -> Iterator[None]:
        """Run ``medblocks_reconcile`` every so many seconds beside the block, as cron does."""
        over = threading.Event()

        def reconcile() -> None:
            while not over.wait(seconds):
                self.command("reconcile")

        cron = threading.Thread(target=reconcile, daemon=True)
        cron.start()
        try:
            yield
        finally:
            over.set()
            cron.join()

    def count_cpu_seconds(self) -> float:
        """Return the processor time that the workers have used."""
        times = [worker.cpu_times() for worker in self.find_workers()]
        return float(sum(used.user + used.system for used in times))

    def measure(self) -> dict[str, float]:
        """Return what the workers hold: memory, threads, sockets and connections."""
        workers = self.find_workers()
        figures = {
            "memory, MB": sum(worker.memory_info().rss for worker in workers) / 2**20,
            "threads": sum(worker.num_threads() for worker in workers),
            "sockets": sum(len(worker.net_connections(kind="inet")) for worker in workers),
            "open files": sum(worker.num_fds() for worker in workers),
        }
        if self.database:
            figures["database connections"] = self._count_connections()
        return figures

    def _count_connections(self) -> int:
        with connect(self.postgres) as connection:
            row = connection.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [self.database]
            ).fetchone()
        return int(row[0])


@contextmanager
def make_host(
    services: Services, stand_in: StandIn, log: IO[str], **environment: str
) -> Iterator[Host]:
    """Make a host with tables of its own and the catalog; all is gone after the block."""
    with tempfile.TemporaryDirectory() as folder:
        name = f"load_test_{os.getpid()}" if services.postgres else ""
        database: Mapping[str, Any] = {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(Path(folder) / "load.sqlite3"),
        }
        if name:
            database = make_database(services.postgres, name)
        host = Host(
            {
                **os.environ,
                "LOAD_DATABASE": json.dumps(database),
                "LOAD_REDIS": services.redis,
                "LOAD_PREFIX": f"load-test-{os.getpid()}",
                "LOAD_MEDBLOCKS": stand_in.api,
                **environment,
            },
            stand_in,
            log,
            database=name,
            postgres=services.postgres,
        )
        try:
            stand_in.turn(mode="answers", faults={}, latency=[0, 0])
            host.command("prepare")
            stand_in.turn(latency=[0.05, 0.3])
            yield host
        finally:
            if name:
                drop_database(services.postgres, name)
            if services.redis:
                forget_cache(services.redis, host.environment["LOAD_PREFIX"])


def connect(url: str) -> Any:
    import psycopg

    parts = urlsplit(url)
    return psycopg.connect(
        host=parts.hostname,
        port=parts.port or 5432,
        user=parts.username or "",
        password=parts.password or "",
        dbname="postgres",
        autocommit=True,
    )


def make_database(url: str, name: str) -> dict[str, Any]:
    drop_database(url, name)
    with connect(url) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "HOST": parts.hostname,
        "PORT": parts.port or 5432,
        "USER": parts.username or "",
        "PASSWORD": parts.password or "",
        "CONN_MAX_AGE": 60,
    }


def drop_database(url: str, name: str) -> None:
    with connect(url) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def forget_cache(url: str, prefix: str) -> None:
    import redis

    with redis.Redis.from_url(url) as cache:
        for key in cache.scan_iter(f"{prefix}:*"):
            cache.delete(key)


def wait_for(port: int) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    with socket.socket() as caller:
        while caller.connect_ex(("127.0.0.1", port)):
            if time.monotonic() > give_up_at:
                raise SystemExit("gunicorn did not start")
            time.sleep(0.1)
    time.sleep(2)  # the workers import the site
