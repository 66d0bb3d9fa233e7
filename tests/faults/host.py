"""A host site of its own kind, and the whole journey in it.

``python -m tests.faults.host <folder> '<changed settings as JSON>'`` makes the site with SQLite
files in ``folder``, goes the journey, and prints what was seen as JSON. A process of its own,
because a user model, a time zone and a router are chosen once.
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.test import Client

from tests import settings as ordinary

PREFIX = "a/long/prefix"


class Router:
    """Keeps the app's rows in a database of their own."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "clinical" if model._meta.app_label == "medblocks_connect" else None

    db_for_write = db_for_read

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool:
        return (db == "clinical") == (app_label == "medblocks_connect")


def configure(folder: Path, changed: dict[str, Any]) -> None:
    base = {name: getattr(ordinary, name) for name in dir(ordinary) if name.isupper()}
    databases = {
        alias: {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(folder / f"{alias}.sqlite3"),
            "ATOMIC_REQUESTS": True,
        }
        for alias in (["default", "clinical"] if "DATABASE_ROUTERS" in changed else ["default"])
    }
    installed = [*base["INSTALLED_APPS"], "tests.faults.users"]
    ours = {"DATABASES": databases, "INSTALLED_APPS": installed}
    settings.configure(**{**base, **ours, **changed})
    # As Django does it for a module of settings: a naive time is in the site's own time zone.
    os.environ["TZ"] = settings.TIME_ZONE
    time.tzset()
    django.setup()
    for alias in databases:
        call_command("migrate", database=alias, run_syncdb=True, verbosity=0)


def journey() -> dict[str, Any]:
    """Go every way through the app; return what was seen."""
    from django.contrib.auth import get_user_model

    from tests.faults.clinic import SETTINGS, Clinic, Medblocks, catch_calls

    settings.MEDBLOCKS_CONNECT = SETTINGS
    user = get_user_model().objects.create_user("pat", password="pat")
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    script_name = (settings.FORCE_SCRIPT_NAME or "").rstrip("/")
    prefix = f"/{PREFIX}" if "host" in settings.ROOT_URLCONF else "/records"
    clinic = Clinic(client, Medblocks(), prefix=prefix, script_name=script_name)
    with catch_calls(clinic.medblocks):
        return {"user": str(user.pk), **walk(clinic, user)}


def walk(clinic: Any, user: Any) -> dict[str, Any]:
    from medblocks_connect.attempts.reconcile import reconcile_attempts
    from medblocks_connect.models import PatientConnectionAttempt
    from medblocks_connect.sandbox import flows
    from tests.faults.events import completed, lost

    seen: dict[str, Any] = {"search": clinic.client.get(f"{clinic.prefix}/search/").status_code}
    clinic.started()
    seen["return_url"] = clinic.session.return_url
    link = flows.approve(clinic.session)
    seen["location"] = clinic.come_back().headers["Location"]
    seen["page"] = "You are connected" in clinic.page()
    seen["lost"] = clinic.send(lost(link)).status_code
    seen["lost_page"] = "The connection has ended" in clinic.page()
    seen["places"] = walk_connections(clinic, link)
    seen["json"] = clinic.start_by_json().status_code
    flows.cancel(clinic.session)
    seen["webhook"] = clinic.send(completed(clinic.session)).status_code
    clinic.medblocks.lose("POST", "/patient-sessions")
    seen["no_answer"] = clinic.start().status_code
    clinic.medblocks.mend()
    attempt = clinic.attempt
    attempt.created_at -= timedelta(minutes=5)
    attempt.save()
    flows.approve(clinic.session)
    user.delete()
    seen["adopted"] = reconcile_attempts(limit=5).adopted
    seen["places"].append(read_place())
    attempts = PatientConnectionAttempt.objects.order_by("pk")
    seen["ends"] = [(each.status, each.error) for each in attempts]
    seen["patients"] = sorted({each.patient_id for each in attempts})
    seen["database"] = attempts.db
    return seen


def walk_connections(clinic: Any, link: Any) -> list[list[str]]:
    """Look at the connections, end one, and rename its place; return its states."""
    from django.core.cache import cache

    from medblocks_connect.attempts.place_ids import rename_place
    from medblocks_connect.models import PatientConnection
    from tests.faults.clinic import RIVERSIDE
    from tests.faults.events import synced

    states = [read_place()]
    page = f"{clinic.prefix}/connections/"
    assert clinic.client.get(page).status_code == 200  # the sandbox lists it as active again
    states.append(read_place())
    assert clinic.send(synced(link)).status_code == 200
    assert clinic.post(f"{page}disconnect/", {"connection": link.conn_id}).status_code == 303
    states.append(read_place())
    PatientConnection.objects.update(place_id="https://fhir.example/r4")
    rename_place("https://fhir.example/r4", RIVERSIDE, PatientConnection.objects.get()._state.db)
    states.append(read_place())
    cache.clear()
    assert "Riverside" in clinic.client.get(page).content.decode()
    states.append(read_place())
    return states


def read_place() -> list[Any]:
    from medblocks_connect.models import PatientConnection

    row = PatientConnection.objects.get()
    told = [row.since is not None, row.lost_at is not None, row.records_at is not None]
    return [row.place_id, row.state, *told, row.links.count()]


def main() -> None:
    configure(Path(sys.argv[1]), json.loads(sys.argv[2]))
    sys.stdout.write(json.dumps(journey()))


if __name__ == "__main__":
    main()
