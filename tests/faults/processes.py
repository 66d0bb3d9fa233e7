"""Other processes of the same site: on this test's database, with this test's Medblocks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.db import connection

ROOT = Path(__file__).parents[2]
SCHEMES = {"sqlite": "sqlite", "postgresql": "postgres", "mysql": "mysql"}


def database_url() -> str:
    """Return the database that this test uses, in django-environ's form."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    password = f":{quote(database['PASSWORD'], safe='')}" if database["PASSWORD"] else ""
    address = f"{database['HOST']}:{database['PORT']}" if database["PORT"] else database["HOST"]
    return (
        f"{SCHEMES[connection.vendor]}://{database['USER']}{password}@{address}/{database['NAME']}"
    )


def start_process(module: str = "tests.faults.driver", **job: Any) -> subprocess.Popen[str]:
    """Start ``module`` with ``job`` (see there)."""
    job.setdefault("settings", settings.MEDBLOCKS_CONNECT)
    environment = {**os.environ, "DATABASE_URL": database_url()}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", module, json.dumps(job)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> Any:
    """Return what the driver printed; fail with what it complained about."""
    output, complaints = process.communicate(timeout=300)  # a hundred children, one by one
    assert process.returncode == 0, complaints
    return json.loads(output)
