"""Case 45: the whole journey in hosts of every kind, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KINDS = {
    "uuid-user": {"AUTH_USER_MODEL": "users.User"},
    "two-databases": {"DATABASE_ROUTERS": ["tests.faults.host.Router"]},
    "no-time-zones": {"USE_TZ": False, "TIME_ZONE": "America/New_York"},
    "prefix-and-script-name": {
        "ROOT_URLCONF": "tests.faults.host_urls",
        "FORCE_SCRIPT_NAME": "/clinic",
    },
}


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    """Let every host go the journey, all at the same time; return what each saw."""
    running = {}
    for kind, changed in KINDS.items():
        folder = tmp_path_factory.mktemp(kind)
        command = [sys.executable, "-W", "error", "-m", "tests.faults.host", str(folder)]
        running[kind] = subprocess.Popen(
            [*command, json.dumps(changed)],
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": "sqlite:///unused"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    seen = {}
    for kind, process in running.items():
        output, complaints = process.communicate(timeout=90)
        seen[kind] = json.loads(output) if process.returncode == 0 else complaints
    return seen


@pytest.mark.parametrize("kind", [pytest.param(kind, id=f"case-45-{kind}") for kind in KINDS])
def test_host_journey_ends_as_expected(hosts, kind):
    seen = hosts[kind]
    assert isinstance(seen, dict), seen
    statuses = [seen[each] for each in ("search", "lost", "json", "webhook", "no_answer")]
    assert statuses == [200, 200, 200, 200, 303]
    assert (seen["page"], seen["lost_page"], seen["adopted"]) == (True, True, 1)
    riverside, link = "fhirsrc_riverside_general", [True, True, True, 1]
    ended = [riverside, "disconnected", *link]
    assert seen["places"] == [
        [riverside, "lost", True, True, False, 1],
        [riverside, "connected", True, False, False, 1],
        *[ended] * 3,
        [riverside, "connected", True, False, True, 2],
    ]
    # The user is gone by then: no row depends on one.
    assert seen["ends"] == [["succeeded", ""], ["failed", "user_denied"], ["succeeded", ""]]
    assert seen["patients"] == [seen["user"]]


def test_host_case_45_uuid_is_the_patient_id(hosts):
    assert str(uuid.UUID(hosts["uuid-user"]["user"])) == hosts["uuid-user"]["user"]


def test_host_case_45_rows_are_in_their_own_database(hosts):
    assert hosts["two-databases"]["database"] == "clinical"


def test_host_case_45_addresses_have_prefix_and_script_name(hosts):
    seen = hosts["prefix-and-script-name"]
    assert seen["return_url"] == "http://testserver/clinic/a/long/prefix/return/"
    assert seen["location"].startswith("/clinic/a/long/prefix/attempts/")
