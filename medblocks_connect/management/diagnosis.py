"""Diagnosis: what of this site, its Medblocks and its data is right, each fault with its mend.

Nothing is written at Medblocks. No finding names a patient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Final

from django.conf import settings
from django.core.checks import ERROR, WARNING, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections, router
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Q
from django.utils import timezone

from medblocks_connect.api import AuthenticationError, MedblocksError, PermissionDeniedError
from medblocks_connect.attempts.outbox import MAX_TRIES
from medblocks_connect.cache import cache
from medblocks_connect.conf import conf, find_workspace
from medblocks_connect.facilities.catalog import find_catalog, find_other_workspace, is_too_old
from medblocks_connect.medblocks_client import get_command_client
from medblocks_connect.models import (
    PatientConnectionAttempt,
    PendingSignal,
    WebhookDelivery,
    filter_workspace,
)
from medblocks_connect.timezones import to_utc

RESERVED_PREFIXES: Final = ("pat_", "pf_", "conn_", "fhirsrc_", "wh_", "evt_")
"""Patient ids that begin so were refused, say older pages of Medblocks'."""

_CLOCK_WARNING: Final = timedelta(seconds=30)
_CLOCK_ERROR: Final = timedelta(minutes=4)
"""A webhook is believed for 5 minutes ("Webhooks" on the API page)."""

_OVERDUE: Final = timedelta(minutes=30)
"""How long a signal that is due, or an attempt that nobody asked about, may wait for cron."""

_LABEL: Final = "medblocks_connect"

_WRITES: Final = "starting a session, disconnecting, deleting a patient, changing an endpoint"


class Level(str, Enum):
    """How a finding is meant."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    NOT_TRIED = "not tried"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: what is so, and what to do where that is wrong."""

    name: str
    level: Level
    text: str
    mend: str = ""


Examination = Callable[[], Iterator[Finding]]


def diagnose() -> list[Finding]:
    """Look at everything, and return what was found, in the order that one would mend it in."""
    findings: list[Finding] = []
    for examine in (_examine_settings, _examine_migrations):
        findings += examine()
    is_migrated = not any(
        finding.name == "migrations" and finding.level is Level.ERROR for finding in findings
    )
    findings += _examine_medblocks()
    findings += _examine_cache()
    if is_migrated:  # the tables are there
        for examine in (_examine_catalog, _examine_data):
            findings += examine()
    return findings


def _examine_settings() -> Iterator[Finding]:
    """Report what the system checks of the app say, those of a deployment among them."""
    messages = run_checks(tags=["medblocks_connect"], include_deployment_checks=not settings.DEBUG)
    for message in messages:
        if message.level >= WARNING and not message.is_silenced():
            level = Level.ERROR if message.level >= ERROR else Level.WARNING
            yield Finding("settings", level, f"{message.msg} ({message.id})", message.hint or "")
    if not messages:
        yield Finding("settings", Level.OK, "No misuse of the settings.")
    if conf.return_url:
        yield Finding("return_url", Level.OK, f"Patients come back to {conf.return_url}.")
    else:
        yield Finding("return_url", Level.OK, "Patients come back to the host of their request.")
    if not conf.webhook_secrets:
        yield Finding(
            "webhook_secrets",
            Level.WARNING,
            "There is no webhook secret: nothing that Medblocks sends is believed.",
            "Register the endpoint and set WEBHOOK_SECRETS.",
        )


def _examine_migrations() -> Iterator[Finding]:
    alias = router.db_for_write(PatientConnectionAttempt)
    try:
        executor = MigrationExecutor(connections[alias])
        targets = [key for key in executor.loader.graph.leaf_nodes() if key[0] == _LABEL]
        missing = executor.migration_plan(targets)
    except DatabaseError as error:
        text = f"The database cannot be used: {type(error).__name__}."
        yield Finding("migrations", Level.ERROR, text, "Mend DATABASES.")
        return
    if missing:
        text = f"Not every migration of the app is applied; missing: {len(missing)}."
        yield Finding("migrations", Level.ERROR, text, "Run manage.py migrate.")
    else:
        yield Finding("migrations", Level.OK, "The tables are as this release has them.")


def _examine_medblocks() -> Iterator[Finding]:
    """Ask Medblocks for what a key may read; the first fault of the way there ends it."""
    try:
        client = get_command_client()
        health = client.health()
    except ImproperlyConfigured as error:
        yield Finding("medblocks", Level.ERROR, str(error), "Mend the settings.")
        return
    except MedblocksError as error:
        text = f"Medblocks does not answer at {conf.base_url}: {error.code}."
        mend = "Look at the network: BASE_URL, PROXY and CA_BUNDLE, and a firewall's rules."
        yield Finding("medblocks", Level.ERROR, text, mend)
        return
    if health.ok:
        yield Finding("medblocks", Level.OK, f"Medblocks answers at {conf.base_url}.")
    else:
        text = "Medblocks says of itself that it is not well."
        yield Finding("medblocks", Level.WARNING, text, "Wait, and look at Medblocks' status page.")
    if health.server_time is not None:
        yield _compare_clocks(to_utc(timezone.now()) - to_utc(health.server_time))
    yield from _examine_key()


def _compare_clocks(difference: timedelta) -> Finding:
    seconds = round(abs(difference).total_seconds())
    mend = "Let this machine's clock be set by NTP."
    if abs(difference) >= _CLOCK_ERROR:
        text = f"The clocks differ by {seconds} s: no webhook is believed beyond 5 minutes."
        return Finding("clock", Level.ERROR, text, mend)
    if abs(difference) >= _CLOCK_WARNING:
        return Finding("clock", Level.WARNING, f"The clocks differ by {seconds} s.", mend)
    return Finding("clock", Level.OK, f"The clocks differ by {seconds} s.")


def _examine_key() -> Iterator[Finding]:
    client = get_command_client()
    try:
        client.connections.list(limit=1)
    except AuthenticationError as error:
        text = f"Medblocks refuses the API key: {error.code}."
        mend = "Copy the key of your workspace again, or make a new one, and set API_KEY."
        yield Finding("key", Level.ERROR, text, mend)
        return
    except MedblocksError as error:
        if error.code == "unsupported_api_version":
            text = f"Medblocks does not take API_VERSION {conf.api_version!r} any more."
            yield Finding("version", Level.ERROR, text, "Upgrade this app; leave API_VERSION out.")
            return
        yield _report_unreadable("facilities", error)
    else:
        yield Finding("key", Level.OK, f"The API key opens the workspace {find_workspace()!r}.")
        yield Finding("version", Level.OK, f"Medblocks takes API_VERSION {conf.api_version!r}.")
        yield Finding("read_facilities", Level.OK, "The key may read facilities.")
    yield _try_to_read("patients", lambda: client.patients.list(limit=1))
    yield _try_to_read("webhook endpoints", lambda: client.webhook_endpoints.list(limit=1))
    yield Finding("writes", Level.NOT_TRIED, f"Whether the key may write: {_WRITES}.")


def _try_to_read(what: str, read: Callable[[], object]) -> Finding:
    try:
        read()
    except MedblocksError as error:
        return _report_unreadable(what, error)
    return Finding(_name_read(what), Level.OK, f"The key may read {what}.")


def _report_unreadable(what: str, error: MedblocksError) -> Finding:
    if isinstance(error, PermissionDeniedError):
        text = f"The key may not read {what}: {error.code}."
        mend = "Give the key that scope at Medblocks."
        return Finding(_name_read(what), Level.ERROR, text, mend)
    text = f"To read {what} failed: {error.code}."
    mend = f"Try again; tell Medblocks the request id {error.request_id or '(none)'}."
    return Finding(_name_read(what), Level.WARNING, text, mend)


def _name_read(what: str) -> str:
    return f"read_{what.replace(' ', '_')}"


def _examine_cache() -> Iterator[Finding]:
    backend = settings.CACHES.get("default", {}).get("BACKEND", "").rpartition(".")[2]
    key = "medblocks_connect:doctor"
    cache.set(key, backend, 60)
    if cache.get(key) == backend:
        yield Finding("cache", Level.OK, f"The default cache, {backend}, keeps what it is given.")
    else:
        text = f"The default cache, {backend}, does not keep what it is given: searches are slower."
        yield Finding("cache", Level.WARNING, text, "Look at CACHES, and whether the cache is up.")


def _examine_catalog() -> Iterator[Finding]:
    catalog = find_catalog()
    day = f"{catalog.finished_at:%Y-%m-%d}" if catalog else ""
    mend = "Run manage.py medblocks_sync_facilities, once a day by cron."
    if catalog is not None and is_too_old(catalog):
        text = f"The local catalog is of {day}: patients may miss places."
        yield Finding("catalog", Level.WARNING, text, mend)
    elif catalog is not None:
        text = f"The local catalog has {catalog.fetched} facilities, of {day}."
        yield Finding("catalog", Level.OK, text)
    elif other := find_other_workspace():
        text = f"The local catalog is of another workspace, {other!r}: every search asks Medblocks."
        yield Finding("catalog", Level.ERROR, text, mend)
    else:
        text = "There is no local catalog: every search asks Medblocks, and no slip is forgiven."
        yield Finding("catalog", Level.WARNING, text, mend)


def _examine_data() -> Iterator[Finding]:
    """Report what waits in the tables for longer than cron would let it."""
    now = timezone.now()
    signals = filter_workspace(PendingSignal.objects.all())
    yield _count(
        "signals",
        signals.filter(tries__gte=MAX_TRIES).count(),
        "No signal was given up.",
        "signals failed so often that nobody sends them any more",
        "Mend the receiver, then run manage.py medblocks_send_signals --given-up.",
    )
    overdue = signals.filter(due_at__lt=now - _OVERDUE, tries__lt=MAX_TRIES).count()
    yield _count(
        "overdue_signals",
        overdue,
        "No signal is overdue.",
        "signals are due for half an hour or longer",
        "Run manage.py medblocks_reconcile by cron, every 5 minutes.",
    )
    deliveries = filter_workspace(WebhookDelivery.objects.all())
    yield _count(
        "deliveries",
        deliveries.filter(state=WebhookDelivery.State.FAILED).count(),
        "Every webhook delivery was processed, or waits for its attempt.",
        "webhook deliveries could not be processed",
        "Look at them in the admin, under webhook deliveries.",
    )
    attempts = PatientConnectionAttempt.objects.in_workspace()
    unasked = Q(asked_at__isnull=True) | Q(asked_at__lt=now - timedelta(hours=2))
    status = PatientConnectionAttempt.Status
    forgotten = attempts.filter(
        unasked,
        status__in=[status.CREATED, status.STARTED, status.RETURNED],
        settled_at__isnull=True,
        created_at__lt=now - timedelta(hours=2),
    )
    yield _count(
        "reconcile",
        forgotten.count(),
        "Medblocks is asked about every attempt that waits for its outcome.",
        "attempts wait for their outcome, and nobody asked Medblocks for two hours",
        "Run manage.py medblocks_reconcile by cron, every 5 minutes.",
    )
    reserved = Q()
    for prefix in RESERVED_PREFIXES:
        reserved |= Q(patient_id__startswith=prefix)
    yield _count(
        "patient_ids",
        attempts.filter(reserved).values("patient_id").distinct().count(),
        "No patient's id begins as Medblocks' own ids do.",
        "patients have an id that begins as Medblocks' own ids do, which it may refuse",
        f"Let PATIENT_RESOLVER put something before it; these are {', '.join(RESERVED_PREFIXES)}.",
        Level.WARNING,
    )


def _count(
    name: str, number: int, fine: str, what: str, mend: str, level: Level = Level.ERROR
) -> Finding:
    return (
        Finding(name, level, f"{number} {what}.", mend) if number else Finding(name, Level.OK, fine)
    )
