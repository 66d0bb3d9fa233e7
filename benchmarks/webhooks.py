"""Measures the signed events a second of our receiver, of dj-stripe's and of an empty view.

    python -m venv bench && bench/bin/pip install -e . -r benchmarks/requirements.txt
    bench/bin/python benchmarks/webhooks.py                                # SQLite, a file
    bench/bin/python benchmarks/webhooks.py postgres://postgres@127.0.0.1/ # PostgreSQL as well

They answer in turn, in one process, on one database, through Django's own handler; each figure is
from the median of all its requests. Like is compared with like:

- *stored*: an event that the receiver has nothing to do for. Both verify and store it.
- *with its effect*: ours settles an attempt (its row, its timeline, the patient's place and its
  link) and calls a signal receiver, which is promised to be called whatever breaks; dj-stripe's
  calls one that writes the same four rows, as a site would do.
- *nobody listens*: ours settles an attempt, where the site has no receiver.

Then gunicorn with its workers on SQLite as Django sets it up: 16 clients send every event twice.
The exit status is 1 where a limit of the issue does not hold.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

RATIO = 2.5  # times dj-stripe's receiver, at the least
CLIENTS, WORKERS = 16, 4
SECRET = "whsec_of_the_benchmark"
STRIPE_KEY = "sk_test_" + "0" * 24  # its shape is checked
DJSTRIPE_UUID = "4b1e9cd6-6f0c-4e2c-9a3c-2f5f1f7f7d11"
OURS, THEIRS, NOTHING = "/records/webhook/", f"/stripe/webhook/{DJSTRIPE_UUID}/", "/nothing/"
# One of dj-stripe's signals that it has no receiver of its own for.
THEIR_SIGNAL = "topup.created"


def configure(database: dict[str, Any]) -> None:
    import django
    from django.conf import settings

    settings.configure(
        SECRET_KEY="only for the benchmark",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="benchmarks.webhooks_urls",
        USE_TZ=True,
        DATABASES={"default": database},
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "medblocks_connect",
            "djstripe",
        ],
        MIDDLEWARE=[
            "django.middleware.security.SecurityMiddleware",
            "django.middleware.common.CommonMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
        ],
        LOGGING_CONFIG=None,
        DJSTRIPE_FOREIGN_KEY_TO_FIELD="id",
        STRIPE_TEST_SECRET_KEY=STRIPE_KEY,
        # Its tables as its models have them: its many migrations take a minute.
        MIGRATION_MODULES={"djstripe": None},
        STRIPE_LIVE_MODE=False,
        MEDBLOCKS_CONNECT={"API_KEY": "mb_sk_sbx_benchmark", "WEBHOOK_SECRETS": [SECRET]},
    )
    django.setup()


def sqlite(folder: str) -> dict[str, Any]:
    name = str(Path(folder) / "bench.sqlite3")
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": name}


def postgres(url: str) -> dict[str, Any]:
    import psycopg

    parts = urlsplit(url)
    where = {"host": parts.hostname, "port": parts.port or 5432, "user": parts.username or ""}
    password = parts.password or ""
    with psycopg.connect(
        **where, password=password, dbname="postgres", autocommit=True
    ) as connection:
        connection.execute("DROP DATABASE IF EXISTS bench_webhooks")
        connection.execute("CREATE DATABASE bench_webhooks")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "bench_webhooks",
        "PASSWORD": password,
        # A site keeps its connection between requests; both receivers profit alike.
        "CONN_MAX_AGE": None,
        **{key.upper(): value for key, value in where.items()},
    }


def make_tables() -> None:
    from django.core.management import call_command

    call_command("migrate", "auth", verbosity=0)  # dj-stripe's tables refer to its
    call_command("migrate", run_syncdb=True, verbosity=0)


def make_attempts(count: int) -> None:
    """Make the attempts that our events are about, as they are while the patient is away."""
    from medblocks_connect.models import PatientConnectionAttempt

    PatientConnectionAttempt.objects.bulk_create(
        PatientConnectionAttempt(
            patient_id=f"p-{prefix}{number}",
            connection_id="fhirsrc_1",
            connection_name="Riverside General",
            connection_type="epic",
            patient_session_id=f"ps_{prefix}{number}",
            status="started",
        )
        for prefix in ("", "theirs_", "unheard_")
        for number in range(count)
    )


def make_endpoint() -> None:
    from djstripe.models import Account, APIKey, WebhookEndpoint

    # The owner of the key is known, or every event would ask Stripe for it.
    account = Account.objects.create(id="acct_1", livemode=False)
    APIKey.objects.create(
        id="key_1", secret=STRIPE_KEY, livemode=False, djstripe_owner_account=account
    )
    WebhookEndpoint.objects.create(
        id="we_1",
        djstripe_uuid=DJSTRIPE_UUID,
        url="https://clinic.example/stripe/",
        secret=SECRET,
        enabled_events=["*"],
        livemode=False,
        djstripe_owner_account=account,
    )


def our_event(number: int) -> bytes:
    connection = {
        "id": f"conn_{number}",
        "connection_id": "fhirsrc_1",
        "status": "active",
        "failure_code": None,
        "failure_at": None,
        "created_at": "2026-11-01T10:00:00.000Z",
    }
    session = {
        "id": f"ps_{number}",
        "resource_type": "patient_session",
        "status": "complete",
        "url": "https://app.medblocks.com/c/0123456789abcdef0123456789abcdef",
        "patient_id": f"p-{number}",
        "connection_id": "fhirsrc_1",
        "return_url": "https://clinic.example/records/return/",
        "connections": [connection],
        "expires_at": "2026-11-01T10:30:00.000Z",
        "metadata": {"attempt": "x" * 32},
        "created_at": "2026-11-01T10:00:00.000Z",
    }
    event = {
        "id": f"evt_{number}",
        "object": "event",
        "type": "patient_session.completed",
        "api_version": "2026-04-25",
        "created_at": "2026-11-01T10:01:00.000Z",
        "data": {"object": session},
    }
    return json.dumps(event).encode()


def our_unheard_event(number: int) -> bytes:
    event = our_event(number).replace(b"ps_", b"ps_unheard_").replace(b"p-", b"p-unheard_")
    return event.replace(b"evt_", b"evt_unheard_").replace(b"conn_", b"conn_unheard_")


def our_stored_event(number: int) -> bytes:
    event = json.loads(our_event(number))
    return json.dumps({**event, "id": f"evt_s{number}", "type": "patient_flow.done"}).encode()


def their_event(number: int, kind: str = THEIR_SIGNAL) -> bytes:
    resource = json.loads(our_event(number))["data"]["object"]
    event = {
        "id": f"evt_{kind}_{number}",
        "object": "event",
        "type": kind,
        "api_version": "2020-08-27",
        "created": 1_700_000_000,
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": "req_1", "idempotency_key": None},
        "data": {"object": {**resource, "id": f"ps_theirs_{number}"}},
    }
    return json.dumps(event).encode()


def their_stored_event(number: int) -> bytes:
    return their_event(number, "benchmark.without_signal")


def write_same_rows(event: Any, **_kwargs: Any) -> None:
    """Receive dj-stripe's signal as a site would, to have the rows that ours has."""
    from django.utils import timezone

    from medblocks_connect.models import (
        AttemptEvent,
        ConnectionLink,
        PatientConnection,
        PatientConnectionAttempt,
    )

    attempt = PatientConnectionAttempt.objects.get(patient_session_id=event.data["object"]["id"])
    still_open = PatientConnectionAttempt.objects.filter(pk=attempt.pk, revision=attempt.revision)
    still_open.update(status="succeeded", connection_status="active", revision=attempt.revision + 1)
    AttemptEvent.objects.create(
        attempt=attempt, source="webhook", kind="connected", status="succeeded", fingerprint="x"
    )
    place, _is_new = PatientConnection.objects.get_or_create(
        patient_id=attempt.patient_id,
        place_id=attempt.place_id,
        workspace=attempt.workspace,
        defaults={"connection_id": attempt.connection_id, "state": "connected", "attempt": attempt},
    )
    now = timezone.now()
    link_id = f"conn_theirs_{attempt.pk}"
    told = {"status": "active", "as_of": now, "active_as_of": now}
    ConnectionLink.objects.create(connection=place, patient_connection_id=link_id, **told)


called: Counter[str] = Counter()


def receive_ours(attempt: Any, **_kwargs: Any) -> None:
    """Receive our signal as a site would; what is done then is the site's own."""
    called[attempt.patient_session_id] += 1


def sign(body: bytes) -> str:
    now = int(time.time())
    signed = hmac.new(SECRET.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={now},v1={signed}"


RECEIVERS: dict[str, tuple[str, str, Callable[[int], bytes]]] = {
    "ours, stored": (OURS, "Medblocks-Signature", our_stored_event),
    "dj-stripe, stored": (THEIRS, "Stripe-Signature", their_stored_event),
    "ours, with its effect": (OURS, "Medblocks-Signature", our_event),
    "dj-stripe, with its effect": (THEIRS, "Stripe-Signature", their_event),
    "ours, nobody listens": (OURS, "Medblocks-Signature", our_unheard_event),
    "does nothing": (NOTHING, "X-Signature", our_event),
}


def time_in_turn(count: int, warm_up: int) -> dict[str, list[float]]:
    """Return the seconds of each request, by receiver; they take turns."""
    from django.test import Client

    from medblocks_connect.signals import attempt_succeeded

    client = Client()
    seconds: dict[str, list[float]] = {name: [] for name in RECEIVERS}
    for number in range(count + warm_up):
        for name in random.sample(list(RECEIVERS), len(RECEIVERS)):
            address, header, make = RECEIVERS[name]
            body = make(number)
            signature = {header: sign(body)}
            if name == "ours, with its effect":
                attempt_succeeded.connect(receive_ours)
            began = time.perf_counter()
            response = client.post(address, body, "application/json", headers=signature)
            if number >= warm_up:
                seconds[name].append(time.perf_counter() - began)
            attempt_succeeded.disconnect(receive_ours)
            assert response.status_code == 200, (address, response.content)
    return seconds


def compare(database: dict[str, Any], count: int) -> bool:
    """Print what each receiver takes; return whether ours is as much faster as it is to be."""
    configure(database)
    from djstripe.signals import WEBHOOK_SIGNALS

    from medblocks_connect.models import AttemptEvent

    WEBHOOK_SIGNALS[THEIR_SIGNAL].connect(write_same_rows)
    make_tables()
    warm_up = max(count // 10, 5)
    make_attempts(count + warm_up)
    make_endpoint()
    seconds = time_in_turn(count, warm_up)
    effects = AttemptEvent.objects.filter(kind="connected", attempt__status="succeeded").count()
    assert effects == 3 * (count + warm_up), "a receiver did not do its work"
    assert list(called.values()) == [1] * (count + warm_up), "a receiver was not called once"
    middle = {name: median(durations) for name, durations in seconds.items()}
    for name, durations in seconds.items():
        late = sorted(durations)[int(count * 0.95)] * 1000
        print(
            f"  {name:27}{1 / middle[name]:6.0f} events/s"
            f"   median {middle[name] * 1000:6.2f} ms   95th percentile {late:6.2f} ms"
        )
    ratios = [
        middle[f"dj-stripe, {kind}"] / middle[f"ours, {kind}"]
        for kind in ("stored", "with its effect")
    ]
    unheard = middle["dj-stripe, with its effect"] / middle["ours, nobody listens"]
    across = middle["dj-stripe, stored"] / middle["ours, with its effect"]
    print(
        f"  ours / dj-stripe: stored {ratios[0]:.2f}, with its effect {ratios[1]:.2f}"
        f" (to reach: {RATIO}), where nobody listens {unheard:.2f};"
        f" ours with its effect / dj-stripe stored {across:.2f}"
    )
    return min(ratios) >= RATIO


def burst(folder: str, count: int) -> bool:
    """Let 16 clients send every event twice to gunicorn on SQLite; whether all went well."""
    configure(sqlite(folder))
    from medblocks_connect.models import (
        AttemptEvent,
        PatientConnectionAttempt,
        PendingSignal,
        WebhookDelivery,
    )

    make_tables()
    make_attempts(count)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "gunicorn", "-w", str(WORKERS), "-b", f"127.0.0.1:{port}"),
            *("--log-level", "error", "benchmarks.webhooks:serve()"),
        ],
        cwd=ROOT,
        env={**os.environ, "BENCH_FOLDER": folder, "PYTHONPATH": str(ROOT)},
    )
    try:
        wait_for(port)
        began = time.perf_counter()
        statuses = send_all(f"http://127.0.0.1:{port}{OURS}", count)
        seconds = time.perf_counter() - began
    finally:
        server.terminate()
        server.wait(20)
    deliveries = WebhookDelivery.objects
    effects = AttemptEvent.objects.filter(kind="connected")
    wrong = {
        "answers but 2xx": sum(n for status, n in statuses.items() if not 200 <= status < 300),
        "events without an attempt settled": count
        - PatientConnectionAttempt.objects.filter(status="succeeded").count(),
        "effects too many": effects.count() - count,
        "deliveries too many": deliveries.count() - count,
        "signals not sent": PendingSignal.objects.count(),
        "deliveries not processed": deliveries.exclude(state="processed").count(),
    }
    print(f"  {sum(statuses.values())} requests in {seconds:.1f} s, answers {dict(statuses)}")
    print("  " + ", ".join(f"{name}: {number}" for name, number in wrong.items()))
    return not any(wrong.values())


def wait_for(port: int) -> None:
    give_up_at = time.monotonic() + 30
    with socket.socket() as caller:
        while caller.connect_ex(("127.0.0.1", port)):
            if time.monotonic() > give_up_at:
                raise SystemExit("gunicorn did not start")
            time.sleep(0.1)


def send_all(url: str, count: int) -> Counter[int]:
    import requests

    numbers = [number for number in range(count) for _ in range(2)]
    # Both copies of an event close together, and often at the same time.
    numbers.sort(key=lambda number: number + random.random() * 4)

    def send(number: int) -> int:
        body = our_event(number)
        headers = {"Medblocks-Signature": sign(body), "Content-Type": "application/json"}
        return requests.post(url, data=body, headers=headers, timeout=30).status_code

    with ThreadPoolExecutor(CLIENTS) as pool:
        return Counter(pool.map(send, numbers))


def serve() -> Callable[..., Any]:
    """Return the site for gunicorn."""
    configure(sqlite(os.environ["BENCH_FOLDER"]))
    from medblocks_connect.signals import attempt_succeeded

    attempt_succeeded.connect(receive_ours)
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def run_part(*arguments: str) -> bool:
    """Run a part in a process of its own, as settings are chosen once."""
    return subprocess.run([sys.executable, __file__, *arguments], check=False).returncode == 0


def main() -> int:
    sys.stdout.reconfigure(line_buffering=True)  # the parts print in between
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("postgres", nargs="?", help="postgres://user@host/ to measure there too")
    parser.add_argument("--events", type=int, default=500)
    parser.add_argument("--part", choices=["sqlite", "postgres", "burst"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part == "postgres":
        return not compare(postgres(options.postgres), options.events)
    if options.part:
        with tempfile.TemporaryDirectory() as folder:
            if options.part == "burst":
                return not burst(folder, options.events)
            return not compare(sqlite(folder), options.events)
    events = f"--events={options.events}"
    print(f"SQLite, {options.events} events each, in turn")
    good = run_part("--part=sqlite", events)
    if options.postgres:
        print(f"PostgreSQL, {options.events} events each, in turn")
        good &= run_part("--part=postgres", events, options.postgres)
    print(f"gunicorn ({WORKERS} workers), default SQLite, {CLIENTS} clients, each event twice")
    good &= run_part("--part=burst", events)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
