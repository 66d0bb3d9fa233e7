"""``manage.py demo``: one command from nothing to a clinic that can be clicked through.

It fixes the order: the port first, then the database, then the pages, then the history.
"""

import os
import signal
import threading
from argparse import ArgumentParser
from errno import EADDRINUSE
from pathlib import Path
from types import FrameType
from typing import Any, Final
from urllib.parse import urljoin

import requests
from django.apps import apps
from django.conf import settings
from django.core.management import BaseCommand, CommandError, call_command
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.sandbox.conf import raw_settings
from riverbend.demo.people import PASSWORD, PAT, SAM, STAFF, create_people
from riverbend.demo.server import DemoServer

DATABASES: Final = Path(__file__).resolve().parents[4] / ".demo"


class Command(BaseCommand):
    """Serve the clinic with its own sandbox, patients, staff and a history."""

    help = "Serve the clinic on this machine, with patients, staff and a believable history."
    # Some of Django's checks open the database, and which one it is comes first.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Take the port."""
        parser.add_argument("--port", type=int, default=8000, help="0 for any that is free")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Serve until Ctrl-C."""
        if not apps.is_installed("medblocks_connect.sandbox"):
            raise CommandError(
                "The demo runs on the make-believe Medblocks: unset MEDBLOCKS_API_KEY, and leave "
                "DEBUG on. For the real Medblocks use manage.py migrate and manage.py runserver."
            )
        # SIGINT too: a shell lets the jobs that a script starts in the background ignore it.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _interrupt)
        server = _take_port(options["port"])
        try:
            self._serve(server)
        except KeyboardInterrupt:
            self._print("\nThe demo has stopped.")

    def _serve(self, server: DemoServer) -> None:
        database = _prepare_database(server.port)
        self.check()
        call_command("migrate", verbosity=0)
        create_people()
        _point_at_own_sandbox(server.url)
        server.start()
        try:
            _require_answer(server.url)
            self._print(_describe_urls(server.url, database))
            call_command("medblocks_sync_facilities", pause=0, verbosity=0)
            self._print(_create_history(server.url))
            self._print("Ctrl-C stops the demo.")
            threading.Event().wait()
        finally:
            server.stop()

    def _print(self, text: str) -> None:
        self.stdout.write(f"{text}\n")
        self.stdout.flush()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _take_port(port: int) -> DemoServer:
    try:
        return DemoServer(port)
    except OverflowError:
        raise CommandError(f"{port} is no port: choose one from 1024 to 65535.") from None
    except OSError as error:
        if error.errno == EADDRINUSE:
            raise CommandError(
                f"Port {port} is in use: stop what runs there, or choose another one, "
                f"such as make demo PORT={port + 1}."
            ) from None
        raise CommandError(f"Port {port} cannot be used: {error.strerror}.") from None


def _prepare_database(port: int) -> str:
    """Use a fresh file for this port, unless the environment names a database; return which."""
    if "DATABASE_URL" in os.environ:
        return "the one that DATABASE_URL names; nothing in it is removed"
    DATABASES.mkdir(exist_ok=True)
    file = DATABASES / f"riverbend-{port}.sqlite3"
    for suffix in ("", "-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    connection.close()
    connection.settings_dict["NAME"] = file
    return f"{file} (a new one at every start)"


def _point_at_own_sandbox(url: str) -> None:
    # Both dicts are read live, so the demo can tell them the port that it really has.
    base_url = urljoin(url, reverse("medblocks_sandbox:index")).rstrip("/")
    settings.MEDBLOCKS_CONNECT["BASE_URL"] = base_url
    webhook_url = urljoin(url, reverse("medblocks_connect:webhook"))
    raw_settings()["WEBHOOK_URL"] = webhook_url


def _require_answer(url: str) -> None:
    with requests.Session() as http:
        http.trust_env = False  # a proxy would be asked for an address of this machine
        http.get(url, timeout=30).raise_for_status()


def _describe_urls(url: str, database: str) -> str:
    return f"""
Riverbend Clinic is open at {url}/

  Patients   {url}/sign-in/   {PAT.username} or {SAM.username}, password {PASSWORD}
  Staff      {url}/admin/     {STAFF.username}, password {PASSWORD}
  Sandbox    {url}/medblocks-sandbox/   the make-believe Medblocks behind it
  Database   {database}

Patients now try to connect, through the real pages; their history follows within a minute.
"""


def _create_history(url: str) -> str:
    # Here and not above: the sandbox's models cannot be imported where it is not installed.
    from riverbend.demo.dating import DAYS, date_back
    from riverbend.demo.history import Scenario, run_scenarios, wait_for_webhooks
    from riverbend.demo.table import show_table

    history: list[tuple[Scenario, PatientConnectionAttempt]] = []
    problem = ""
    try:
        history.extend(run_scenarios(url))
    except (requests.RequestException, LookupError) as error:
        problem = f"The history broke off here, the clinic is open all the same: {error}\n"
    wait_for_webhooks()
    dated = date_back((attempt.pk for _scenario, attempt in history), timezone.now())
    footer = f"\nThe {dated} attempts that have ended are dated back over the last {DAYS} days.\n"
    return show_table(history) + problem + footer
