"""Case 72: every command beside a site that writes all the time, on the database as it is set up.

On SQLite a transaction that reads and then writes is refused as soon as somebody else wrote in
between, without any wait: "database is locked".
"""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest
import responses
from django.core.management import call_command
from django.db import connections, transaction
from django.db.models import F
from django.db.models.signals import pre_delete
from django.utils import timezone

from medblocks_connect.models import (
    AttemptEvent,
    CatalogSync,
    Facility,
    FacilityRequest,
    MissingFacility,
    PatientConnection,
    PatientConnectionAttempt,
    WebhookDelivery,
)
from tests.attempts.conftest import BASE_URL, answer, connection_json
from tests.facilities.test_sync import facility_json

pytestmark = pytest.mark.django_db(transaction=True)

OLD = timezone.now() - timedelta(days=7 * 366)
LONGEST_WAIT = 4.0  # seconds; SQLite refuses after 5
ROWS = 300


class Site:
    """Threads that write as a site does: a short transaction, and the next."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.written = 0
        self.longest = 0.0
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._write, args=(n,)) for n in range(2)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _write(self, number: int) -> None:
        try:
            attempt = PatientConnectionAttempt.objects.create(
                patient_id=f"site-{number}", status="failed", settled_at=timezone.now()
            )
            while not self._ended.wait(0.002):
                began = time.monotonic()
                self._write_once(attempt)
                self.longest = max(self.longest, time.monotonic() - began)
                self.written += 1
        except BaseException as error:  # noqa: BLE001 - whatever it is, the test tells it
            self.errors.append(error)
        finally:
            connections.close_all()

    def _write_once(self, attempt: PatientConnectionAttempt) -> None:
        with transaction.atomic():
            PatientConnectionAttempt.objects.filter(pk=attempt.pk).update(
                revision=F("revision") + 1
            )
            AttemptEvent.objects.create(
                attempt=attempt,
                source="site",
                kind="created",
                status="failed",
                fingerprint=f"{time.monotonic()}",
            )


@contextmanager
def site_that_writes() -> Iterator[Site]:
    """Have a site write until the block ends; then it was never refused, and waited for nobody."""
    site = Site()
    site.start()
    try:
        yield site
    finally:
        site.end()
    assert site.errors == []
    assert site.written > 1
    assert site.longest < LONGEST_WAIT


def run(name: str, **options) -> str:
    out = io.StringIO()
    call_command(name, stdout=out, stderr=out, **options)
    return out.getvalue()


@pytest.fixture
def host_reads():
    """A receiver of the host's that reads before a row is deleted."""

    def read(**kwargs):
        Facility.objects.exists()

    pre_delete.connect(read)
    yield
    pre_delete.disconnect(read)


def make_old_rows() -> None:
    attempts = PatientConnectionAttempt.objects.bulk_create(
        PatientConnectionAttempt(
            patient_id=f"p-{number}", patient_session_id=f"ps_{number}", created_at=OLD
        )
        for number in range(ROWS)
    )
    AttemptEvent.objects.bulk_create(
        AttemptEvent(attempt=attempt, source="site", kind=kind, status="created", fingerprint=kind)
        for attempt in attempts
        for kind in ("created", "started", "expired")
    )
    WebhookDelivery.objects.bulk_create(
        WebhookDelivery(event_id=f"{age}-{attempt.pk}", attempt=attempt, received_at=received)
        for attempt in attempts
        for age, received in (("old", OLD), ("new", timezone.now()))
    )
    PatientConnection.objects.bulk_create(
        PatientConnection(
            patient_id=attempt.patient_id,
            place_id=f"f-{age}",
            connection_id="f",
            state="lost",
            attempt=attempt,
            changed_at=changed,
        )
        for attempt in attempts
        for age, changed in (("old", OLD), ("new", timezone.now()))
    )
    missing = MissingFacility.objects.bulk_create(
        MissingFacility(text=f"{number}", folded=f"{number}", last_at=OLD) for number in range(ROWS)
    )
    FacilityRequest.objects.bulk_create(
        FacilityRequest(missing=each, created_at=OLD) for each in missing
    )


def test_prune_case_72_beside_a_site_that_writes_deletes_all_that_is_old(db, host_reads):
    make_old_rows()
    with site_that_writes():
        out = run("medblocks_prune", older_than="6y", batch_size=20)
    assert f"{ROWS} attempts deleted\n" in out
    site_alone = {"site-0", "site-1"}
    assert set(PatientConnectionAttempt.objects.values_list("patient_id", flat=True)) == site_alone
    assert not AttemptEvent.objects.exclude(attempt__patient_id__in=site_alone).exists()
    left = WebhookDelivery.objects.values_list("event_id", "attempt")
    assert len(left) == ROWS
    assert all(event.startswith("new-") and attempt is None for event, attempt in left)
    assert set(PatientConnection.objects.values_list("place_id", "attempt")) == {("f-new", None)}
    assert not FacilityRequest.objects.exists()
    assert not MissingFacility.objects.exists()


def test_reconcile_case_72_beside_a_site_that_writes_settles_all(medblocks, make_old):
    for number in range(60):
        make_old(number, patient_id=f"p-{number}")
        links = [connection_json(id=f"conn_{number}")]
        answer(medblocks, number, patient_id=f"p-{number}", status="complete", connections=links)
    with site_that_writes():
        out = run("medblocks_reconcile")
    assert "60 asked (60 Connected)" in out
    assert PatientConnection.objects.filter(state="connected").count() == 60
    assert not PatientConnectionAttempt.objects.exclude(leased_until=None).exists()


@pytest.fixture
def catalog(settings):
    """Medblocks with a catalog of 2,000 facilities, which a test may change."""
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "BASE_URL": BASE_URL}
    facilities = [facility_json(number) for number in range(2000)]

    def answer_page(request):
        start = int(request.params.get("starting_after", "") or 0)
        following = start + 100
        page = {
            "resource_type": "list",
            "data": facilities[start:following],
            "has_more": following < len(facilities),
            "next_cursor": str(following) if following < len(facilities) else None,
        }
        return 200, {}, json.dumps(page)

    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.add_callback(responses.GET, f"{BASE_URL}/connections", answer_page)
        yield facilities


def test_sync_case_72_beside_a_site_that_writes_brings_the_catalog(catalog):
    url = "https://fhir-1.example/r4"
    PatientConnectionAttempt.objects.create(patient_id="p-1", connection_id=url)
    with site_that_writes():
        first = run("medblocks_sync_facilities", pause=0)
        catalog[:1000] = [{**each, "name": f"{each['name']} now"} for each in catalog[:1000]]
        del catalog[1500:]
        second = run("medblocks_sync_facilities", pause=0)
        CatalogSync.objects.create(base_url="an old one", heard_at=None)
        third = run("medblocks_sync_facilities", pause=0, restart=True)
    assert "2000 new, 0 changed, 0 withdrawn" in first
    assert "0 new, 1000 changed, 500 withdrawn" in second
    assert "0 new, 0 changed, 0 withdrawn" in third
    assert not CatalogSync.objects.filter(finished_at=None).exists()
    attempt = PatientConnectionAttempt.objects.get(patient_id="p-1")
    assert attempt.place_id == "fhirsrc_1"
