"""Fixtures: the one Medblocks, caches that begin empty, and sites to start."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.worlds.medblocks import FakeMedblocks
from tests.worlds.running import ROOT, RunningSite


@pytest.fixture(scope="module")
def medblocks() -> Iterator[FakeMedblocks]:
    """The Medblocks of every site of a module."""
    with FakeMedblocks() as medblocks:
        yield medblocks


@pytest.fixture(scope="session")
def migrated(tmp_path_factory) -> Path:
    """A database that is migrated and has no row yet, to be copied."""
    database = tmp_path_factory.mktemp("worlds") / "migrated.sqlite3"
    environment = {"DATABASE": str(database), "CACHE": "locmem", "MEDBLOCKS_CONNECT": "{}"}
    subprocess.run(
        [sys.executable, "-m", "tests.worlds.site", "prepare"],
        cwd=ROOT,
        env={**os.environ, **environment},
        check=True,
    )
    return database


@pytest.fixture(scope="module")
def make_database(migrated, tmp_path_factory) -> Callable[[], Path]:
    """Make the empty database of a site."""

    def make() -> Path:
        database = tmp_path_factory.mktemp("site") / "site.sqlite3"
        return Path(shutil.copy(migrated, database))

    return make


@pytest.fixture(scope="module")
def start_site(medblocks) -> Iterator[Callable[..., RunningSite]]:
    """Start a site; all are stopped in the end."""
    started: list[RunningSite] = []

    def start(database: Path, cache: str, connect=None, tenants=None) -> RunningSite:
        settings = {"BASE_URL": medblocks.url, **(connect or {})}
        started.append(RunningSite(database, cache, settings, tenants))
        return started[-1]

    yield start
    for site in started:
        site.stop()


def find_free_port() -> int:
    """Return a port of this machine where nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        return listener.getsockname()[1]


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A Redis of the tests' own; where there is no such program, a database of the running one."""
    program = shutil.which("redis-server")
    if program is None:
        yield from find_running_redis()
        return
    port = find_free_port()
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        url = f"redis://127.0.0.1:{port}/0"
        assert any(answers(url) or time.sleep(0.05) for _ in range(200)), "Redis did not start"
        yield url
    finally:
        process.terminate()
        process.wait(10)


def find_running_redis() -> Iterator[str]:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    url = f"redis://127.0.0.1:6379/{8 + int(worker) % 8}"  # of 16; nobody else has the upper half
    if not answers(url):
        pytest.skip("there is no redis-server here, and no Redis at 127.0.0.1:6379")
    yield url


def answers(url: str) -> bool:
    redis = pytest.importorskip("redis")
    try:
        with closing(redis.Redis.from_url(url)) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


def empty_cache(url: str) -> str:
    """Let a Redis be as new, and return it; the default cache is new in each process."""
    if url.startswith("redis:") and answers(url):
        redis = pytest.importorskip("redis")
        with closing(redis.Redis.from_url(url)) as client:
            client.flushdb()
    return url


def find_cache(name: str, request: pytest.FixtureRequest) -> str:
    """Return a cache with nothing in it: a Redis, Django's default, or one that is away."""
    if name == "redis":
        return empty_cache(request.getfixturevalue("redis_url"))
    if name == "away":
        pytest.importorskip("redis")  # which is what fails to reach it
    return "locmem" if name == "locmem" else f"redis://127.0.0.1:{find_free_port()}/0"


@pytest.fixture(scope="module", params=["redis", "locmem", "away"])
def cache(request) -> str:
    """A cache with nothing in it."""
    return find_cache(request.param, request)
