"""A process of the site's own, which can be run beside others and killed between any two steps.

``python -m tests.faults.driver '<job>'`` with the job as JSON:

- ``settings``: what ``MEDBLOCKS_CONNECT`` is. The database is that of ``DATABASE_URL``.
- ``deed``: one of those in ``prepare`` and ``DEEDS_AFTER_CONNECTING``, or ``race``; ``user``: who
  is signed in, else a new patient each time.
- ``heard``: a file, to which receivers of the signals write what they hear; steps then count from
  where the first is written down. Without it, nobody listens.

A deed is done again and again, each time by a new child that is killed one step later (SIGKILL,
before or after a statement of SQL, a call to Medblocks or a receiver's work), until one lives.
Prints how many were killed. ``race`` does each of the ``requests`` in a thread of its own, all at
once, and prints their statuses.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import django
import requests
from django.conf import settings
from django.db import connection, connections
from django.test import Client
from django.utils import timezone

STEPS_AT_MOST = 200
URL = "https://fhir.riverside.example/r4"
DEEDS_AFTER_CONNECTING = ("lose", "page", "disconnect", "rename")


class Countdown:
    """Kills this process when as many steps have been passed as it was given.

    They count from the first statement about the table ``since``, where one is named.
    """

    def __init__(self, steps: int, since: str = "") -> None:
        self.left = steps
        self.since = since

    def pass_step(self) -> None:
        if self.since:
            return
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1

    def around_sql(self, execute: Any, sql: str, *rest: Any) -> Any:
        self.pass_step()
        result = execute(sql, *rest)
        if self.since in sql:
            self.since = ""
        self.pass_step()
        return result

    def around_call(self, send: Any) -> Any:
        def send_counted(adapter: Any, *request: Any, **options: Any) -> Any:
            self.pass_step()
            answer = send(adapter, *request, **options)
            self.pass_step()
            return answer

        return send_counted


def kill_at_every_step(job: dict[str, Any]) -> int:
    """Do the deed in child after child; return how many were killed."""
    for steps in range(STEPS_AT_MOST):
        child = os.fork()
        if child == 0:
            do_and_die(job, steps)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            if os.WEXITSTATUS(status):
                raise RuntimeError(f"the deed failed after {steps} steps")
            return steps
    raise RuntimeError("the deed has no end")


def do_and_die(job: dict[str, Any], steps: int) -> None:
    code = 1
    try:
        from requests.adapters import HTTPAdapter

        deed = prepare(job)
        countdown = Countdown(steps, since="pendingsignal" if "heard" in job else "")
        if "heard" in job:
            listen(Path(job["heard"]), countdown)
        with ExitStack() as counted:
            counted.enter_context(connection.execute_wrapper(countdown.around_sql))
            counting = countdown.around_call(HTTPAdapter.send)
            counted.enter_context(mock.patch.object(HTTPAdapter, "send", counting))
            deed()
        code = 0
    finally:
        os._exit(code)


def listen(heard: Path, countdown: Countdown) -> None:
    """Receive the signals as a site does: what is done there is kept, whatever comes after it."""
    from medblocks_connect import signals

    def write_down(attempt: Any, name: str) -> None:
        countdown.pass_step()
        with heard.open("a") as file:
            file.write(f"{name} {attempt.public_id}\n")
        countdown.pass_step()

    for name in ("attempt_started", "attempt_succeeded", "connection_lost"):

        def receive(attempt: Any, name: str = name, **_kwargs: Any) -> None:
            write_down(attempt, name)

        getattr(signals, name).connect(receive, weak=False)


def prepare(job: dict[str, Any]) -> Any:
    """Do what comes before the deed, and return the deed."""
    from medblocks_connect.attempts.reconcile import reconcile_attempts
    from medblocks_connect.models import PatientConnectionAttempt
    from medblocks_connect.sandbox import flows
    from tests.faults.clinic import Clinic, Medblocks
    from tests.faults.events import completed

    clinic = Clinic(sign_in(job.get("user") or make_patient()), Medblocks())
    clinic.csrf_token()
    if job["deed"] == "start":
        return clinic.start
    answered = clinic.start()
    assert answered.status_code == 303, answered.content
    flows.approve(clinic.session)
    if job["deed"] == "return":
        return clinic.come_back
    if job["deed"] == "reconcile":
        before = timezone.now() - timedelta(minutes=5)
        PatientConnectionAttempt.objects.filter(pk=clinic.attempt.pk).update(created_at=before)
        return lambda: reconcile_attempts(limit=1000)
    if job["deed"] in DEEDS_AFTER_CONNECTING:
        return prepare_connected(clinic, job)
    event = completed(clinic.session, f"evt_{clinic.session.session_id}")
    return lambda: clinic.send(event)


def prepare_connected(clinic: Any, job: dict[str, Any]) -> Any:
    """Connect the patient, and return what is done to the connection."""
    from django.core.cache import cache

    from medblocks_connect.attempts.place_ids import rename_place
    from medblocks_connect.models import PatientConnection
    from medblocks_connect.sandbox import flows
    from tests.faults.clinic import RIVERSIDE
    from tests.faults.events import lost

    assert clinic.come_back().status_code == 303
    (link,) = clinic.session.connections.all()
    page = "/records/connections/"
    # What the one before left; and Medblocks was asked a moment ago.
    cache.clear()
    assert clinic.client.get(page).status_code == 200
    if job["deed"] == "disconnect":
        return lambda: clinic.post(f"{page}disconnect/", {"connection": link.conn_id})
    if job["deed"] == "rename":
        rename_place(URL, RIVERSIDE, "default")  # what the one before left
        attempt = clinic.attempt
        attempt.place_id = URL
        attempt.save()
        PatientConnection.objects.filter(attempt=attempt).update(place_id=URL)
        return lambda: rename_place(URL, RIVERSIDE, "default")
    event = lost(link, f"evt_{link.conn_id}")
    flows.lose_access(link)
    cache.clear()
    if job["deed"] == "page":
        return lambda: clinic.client.get(page)
    return lambda: clinic.send(event)


def make_patient() -> Any:
    from django.contrib.auth import get_user_model

    return get_user_model().objects.create_user(secrets.token_hex(8)).pk


def sign_in(user_pk: Any) -> Client:
    from django.contrib.auth import get_user_model

    client = Client(enforce_csrf_checks=True)
    client.force_login(get_user_model().objects.get(pk=user_pk))
    return client


def race(job: dict[str, Any]) -> list[int]:
    """Send the requests all at once; return their statuses."""
    from medblocks_connect.attempts.reconcile import reconcile_attempts
    from tests.faults.events import post_event

    together = threading.Barrier(len(job["requests"]))
    client = sign_in(job["user"])

    def send(request: list[str]) -> int:
        kind, what = request
        try:
            own = Client(raise_request_exception=False)
            own.cookies = client.cookies
            connections.close_all()
            together.wait(30)
            if kind == "webhook":
                return post_event(own, what.encode()).status_code
            if kind == "return":
                return own.get(what).status_code
            if kind == "disconnect":
                form = {"connection": what}
                return own.post("/records/connections/disconnect/", form).status_code
            reconcile_attempts(limit=10)
            return 200
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(job["requests"])) as pool:
        return list(pool.map(send, job["requests"]))


def main() -> None:
    job = json.loads(sys.argv[1])
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    settings.MEDBLOCKS_CONNECT = job["settings"]
    settings.ALLOWED_HOSTS = ["*"]
    done = race(job) if job["deed"] == "race" else kill_at_every_step(job)
    sys.stdout.write(json.dumps(done))


if __name__ == "__main__":
    assert requests  # imported before the first fork, as is all that is slow to import
    main()
