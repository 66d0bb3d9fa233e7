"""The demo says where it is, makes every kind of outcome, and ends without a word too many."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from tests.example.demo import MANAGE, ROOT, Demo, clean_environment


@pytest.fixture(scope="module")
def demo():
    demo = Demo()
    yield demo
    demo.stop()
    for file in own_database(demo).parent.glob(f"{own_database(demo).name}*"):
        file.unlink()


def own_database(demo: Demo) -> Path:
    return ROOT / ".demo" / f"riverbend-{urlsplit(demo.url).port}.sqlite3"


def run_demo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, MANAGE, "demo", *arguments],
        env=clean_environment(**environment),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_demo_serves_once_it_prints_its_url(demo):
    assert "Riverbend Clinic" in requests.get(demo.url, timeout=10).text


@pytest.mark.parametrize(
    ("accepted", "language", "words"),
    [("es-MX", "es", "Conectar su hospital"), ("en-GB", "en", "Connect your hospital")],
)
def test_demo_answers_in_accepted_language(demo, accepted, language, words):
    page = requests.get(demo.url, headers={"Accept-Language": accepted}, timeout=10).text
    assert f'<html lang="{language}">' in page
    assert words in page


def test_demo_writes_to_its_own_database(demo):
    rows = len(demo.history())
    with closing(sqlite3.connect(own_database(demo))) as database:
        counted = database.execute(
            "SELECT count(*) FROM medblocks_connect_patientconnectionattempt"
        )
        assert counted.fetchone() == (rows,)


def test_demo_sends_content_security_policy(demo):
    policy = requests.get(demo.url, timeout=10).headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self';")


def test_demo_history_has_every_outcome(demo):
    assert {row[-1] for row in demo.history()} == {
        "started",
        "returned",
        "expired",
        "succeeded",
        "succeeded, access lost",
        "failed: user_denied",
        "failed: access_denied",
        "failed: oauth_error",
        "failed: token_exchange_failed",
        "failed: resource_not_found",
        "failed: bad_request",
        "failed: throttled",
    }


def test_demo_history_has_twelve_rows_of_five_patients(demo):
    rows = demo.history()
    assert len(rows) >= 12
    assert len({row[0] for row in rows}) == 5


def test_demo_interrupted_stops_cleanly(demo):
    demo.history()
    assert demo.stop() == 0
    assert demo.lines[-1] == "The demo has stopped."


def test_demo_prints_no_request_and_no_traceback(demo):
    demo.stop()
    printed = "\n".join(demo.lines)
    assert "Traceback" not in printed
    assert "HTTP/1.1" not in printed
    assert "Bad Gateway" not in printed
    assert "left alone" not in printed  # by the gate, of the start that was too early


def test_demo_with_taken_port_fails():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run_demo("--port", str(port))
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.startswith(f"CommandError: Port {port} is in use: ")
    assert ended.stderr.count("\n") == 1


def test_demo_with_impossible_port_fails():
    ended = run_demo("--port", "70000")
    assert ended.returncode == 1
    assert ended.stderr.startswith("CommandError: 70000 is no port")


def test_demo_with_real_key_fails():
    ended = run_demo(MEDBLOCKS_API_KEY="mb_sk_sbx_something")
    assert ended.returncode == 1
    assert "unset MEDBLOCKS_API_KEY" in ended.stderr
    assert "mb_sk_sbx_something" not in ended.stderr
