"""What is done in the host's own processes, beside gunicorn; each prints JSON.

``python -m benchmarks.load.commands <name> [<argument>]``, in the host's environment:

- ``prepare``: make the tables, and copy the catalog from the stand-in.
- ``make_attempts <number>``: make attempts that webhooks are to settle.
- ``reconcile``: run ``medblocks_reconcile`` once, as cron does.
- ``age``: make all that was stored two hours older, so that sessions end and retries are due.
- ``settle``: run ``medblocks_reconcile`` until nothing is left to do.
- ``judge <file>``: compare each attempt with what the stand-in knows, and with what patients were
  told (the file, JSON).
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.load.site import configure

MOST_RUNS = 40
FINAL = {"expired", "failed", "succeeded"}
TOLD_CONNECTED = "You are connected"
TOLD_WAITING = "Checking your connection"


def prepare() -> dict[str, Any]:
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
    call_command("medblocks_sync_facilities", pause=0, verbosity=0)
    from medblocks_connect.models import Facility

    return {"facilities": Facility.objects.count()}


def make_attempts(number: str) -> dict[str, Any]:
    from medblocks_connect.models import PatientConnectionAttempt

    made = PatientConnectionAttempt.objects.bulk_create(
        PatientConnectionAttempt(
            workspace="sandbox",
            patient_id=f"p-{number}",
            connection_id="fhirsrc_1",
            place_id="fhirsrc_1",
            connection_name="Riverside General",
            patient_session_id=f"ps_of_webhook_{number}",
            status="started",
        )
        for number in range(int(number))
    )
    return {"made": len(made)}


def reconcile() -> dict[str, Any]:
    from django.core.management import CommandError, call_command

    try:
        call_command("medblocks_reconcile", verbosity=0)
    except CommandError as error:
        return {"again": str(error)}
    return {"again": ""}


def age() -> dict[str, Any]:
    from django.db.models import DateTimeField, F

    from medblocks_connect.models import PatientConnectionAttempt, PendingSignal, WebhookDelivery

    for model in (PatientConnectionAttempt, PendingSignal, WebhookDelivery):
        fields = model._meta.get_fields()  # noqa: SLF001 - Django's public name for it
        names = [field.name for field in fields if isinstance(field, DateTimeField)]
        model.objects.update(**{name: F(name) - timedelta(hours=2) for name in names})
    return {}


def settle() -> dict[str, Any]:
    """Reconcile until nobody is owed anything, or until a run changes nothing."""
    from medblocks_connect.attempts.reconcile import count_unsettled
    from medblocks_connect.models import PendingSignal, WebhookDelivery

    left: tuple[int, ...] = ()
    told = ""
    runs = 0
    while runs < MOST_RUNS:
        runs += 1
        told = reconcile()["again"]
        waiting = WebhookDelivery.objects.exclude(state="processed").count()
        before, left = left, (count_unsettled(), PendingSignal.objects.count(), waiting)
        if not any(left) or (left == before and not told):
            break
    return {"runs": runs, "left": left, "again": told}


def judge(told_file: str) -> dict[str, Any]:
    """Return how many attempts are lost, wrong or stuck, and which signals were never heard."""
    from benchmarks.load.heard.models import HeardSignal
    from medblocks_connect.models import AttemptEvent, PatientConnectionAttempt, PendingSignal

    given = json.loads(Path(told_file).read_text(encoding="utf-8"))
    outcomes: dict[str, list[str]] = {}
    for session in given["truth"]:
        outcomes.setdefault(session["attempt"], []).append(session["outcome"])
    rows = list(PatientConnectionAttempt.objects.all())
    heard = set(HeardSignal.objects.values_list("name", "attempt"))
    started = set(AttemptEvent.objects.filter(status="started").values_list("attempt", flat=True))
    problems: list[str] = [
        f"lost: a session of the attempt {public_id or 'that is not named'} has no row"
        for public_id in outcomes.keys() - {row.public_id for row in rows}
    ]
    for row in rows:
        about = f"{row.public_id} ({row.status}, {row.error or 'no error'})"
        if row.status not in FINAL or row.settled_at is None:
            problems.append(f"stuck: {about}")
        elif not is_right(row, outcomes.get(row.public_id, [])):
            known = outcomes.get(row.public_id)
            problems.append(f"wrong: {about}, Medblocks knows {known}")
        due = {f"attempt_{row.status}"} if row.status in FINAL else set()
        if row.pk in started:
            due.add("attempt_started")
        problems += [
            f"signal missing: {name} of {about}"
            for name in due
            if (name, row.public_id) not in heard
        ]
    problems += judge_pages(given["told"], {row.patient_session_id: row.status for row in rows})
    problems += [f"signal pending: {row.name}" for row in PendingSignal.objects.all()]
    kinds = Counter(problem.partition(":")[0] for problem in problems)
    return {
        "attempts": len(rows),
        "statuses": Counter(row.status for row in rows),
        "errors": Counter(row.error for row in rows if row.error),
        "heard": Counter(name for name, _attempt in heard),
        "kinds": kinds,
        "problems": problems[:50],
    }


def is_right(row: Any, outcomes: list[str]) -> bool:
    """Return whether the attempt ended as Medblocks knows of its sessions.

    Of a session that nobody decided in, or that was never opened, the patient was either refused at
    the start or never finished.
    """
    if "active" in outcomes:
        return bool(row.status == "succeeded")
    failures = [outcome for outcome in outcomes if outcome]
    if failures:
        return bool(row.status == "failed" and row.error in failures)
    return row.status in {"failed", "expired"}


def judge_pages(told: dict[str, str], statuses: dict[str | None, str]) -> list[str]:
    """Return what a patient's page said against the attempt's final status; waiting is no word."""
    problems = []
    for session, title in told.items():
        is_connected = statuses.get(session) == "succeeded"
        if title != TOLD_WAITING and (title == TOLD_CONNECTED) != is_connected:
            problems.append(f"wrong: a page said {title!r} of {session}, {statuses.get(session)}")
    return problems


COMMANDS: dict[str, Callable[..., dict[str, Any]]] = {
    "prepare": prepare,
    "make_attempts": make_attempts,
    "reconcile": reconcile,
    "age": age,
    "settle": settle,
    "judge": judge,
}


def main() -> None:
    configure()
    name, *arguments = sys.argv[1:]
    sys.stdout.write(json.dumps(COMMANDS[name](*arguments)))


if __name__ == "__main__":
    main()
