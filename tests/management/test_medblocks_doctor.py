"""The doctor: it is content with a right site, and finds each fault that was planted."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
import requests
from django.core.management import call_command
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from medblocks_connect.attempts.outbox import MAX_TRIES
from medblocks_connect.management.diagnosis import Level, diagnose
from medblocks_connect.models import CatalogSync, PendingSignal
from tests.attempts.conftest import BASE_URL, make_delivery

__all__ = ["make_delivery"]

pytestmark = pytest.mark.django_db

EMPTY = {"resource_type": "list", "data": [], "has_more": False, "next_cursor": None}
READS = ("connections", "patients", "webhooks")


def refuse(code, status, kind):
    body = {"type": kind, "code": code, "message": "no", "param": None, "request_id": "req_1"}
    return {"status": status, "json": {"error": body}}


@pytest.fixture
def site(medblocks, settings, db):
    """A site of which nothing is wrong, and the answers of its Medblocks."""
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "WEBHOOK_SECRETS": ["whsec_1"],
        "RETURN_URL": "https://clinic.example/records/return/",
    }
    now = timezone.now()
    CatalogSync.objects.create(base_url=BASE_URL, finished_at=now, fetched=3)
    medblocks.get(f"{BASE_URL}/health", json={"ok": True, "server_time": now.isoformat()})
    for path in READS:
        medblocks.get(f"{BASE_URL}/{path}", json=EMPTY)
    return medblocks


def find_faults():
    faults = [each for each in diagnose() if each.level in {Level.WARNING, Level.ERROR}]
    assert all(fault.mend for fault in faults)
    return {fault.name for fault in faults}


def run(**options):
    said = io.StringIO()
    code = 0
    try:
        call_command("medblocks_doctor", stdout=said, **options)
    except SystemExit as ended:
        code = ended.code
    return code, said.getvalue()


def test_right_site_has_no_fault(site):
    assert find_faults() == set()
    assert run()[0] == 0


def test_right_site_is_asked_for_reads_alone(site):
    diagnose()
    assert {call.request.method for call in site.calls} == {"GET"}


def test_writes_are_listed_as_not_tried(site):
    assert "not tried" in {finding.level.value for finding in diagnose()}


def change(site, path, **answer):
    site.replace("GET", f"{BASE_URL}/{path}", **answer)


def be_unreachable(site, **_fixtures):
    change(site, "health", body=requests.ConnectionError())


def be_unwell(site, **_fixtures):
    change(site, "health", json={"ok": False, "server_time": timezone.now().isoformat()})


def be_late(site, **_fixtures):
    earlier = timezone.now() - timedelta(minutes=1)
    change(site, "health", json={"ok": True, "server_time": earlier.isoformat()})


def be_very_late(site, **_fixtures):
    earlier = timezone.now() - timedelta(minutes=9)
    change(site, "health", json={"ok": True, "server_time": earlier.isoformat()})


def refuse_key(site, **_fixtures):
    change(site, "connections", **refuse("invalid_api_key", 401, "authentication_error"))


def refuse_version(site, **_fixtures):
    answer = refuse("unsupported_api_version", 400, "invalid_request_error")
    change(site, "connections", **answer)


def forbid_facilities(site, **_fixtures):
    change(site, "connections", **refuse("insufficient_scope", 403, "permission_error"))


def forbid_patients(site, **_fixtures):
    change(site, "patients", **refuse("insufficient_scope", 403, "permission_error"))


def forbid_endpoints(site, **_fixtures):
    change(site, "webhooks", **refuse("insufficient_scope", 403, "permission_error"))


def break_reading(site, **_fixtures):
    change(site, "patients", **refuse("internal_error", 500, "api_error"))


def misspell_setting(settings, **_fixtures):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "TIMOUT": 3}


def misuse_setting(settings, **_fixtures):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "MAX_WAITING": 0}


def lack_secrets(settings, **_fixtures):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "WEBHOOK_SECRETS": []}


def lack_key(settings, **_fixtures):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "API_KEY": ""}


def break_cache(settings, **_fixtures):
    backend = "django.core.cache.backends.dummy.DummyCache"
    settings.CACHES = {"default": {"BACKEND": backend}}


def lack_catalog(**_fixtures):
    CatalogSync.objects.all().delete()


def let_catalog_age(**_fixtures):
    CatalogSync.objects.update(finished_at=timezone.now() - timedelta(days=30))


def change_workspace(**_fixtures):
    CatalogSync.objects.update(workspace="other")


def miss_migration(**_fixtures):
    MigrationRecorder.Migration.objects.filter(app="medblocks_connect").delete()


def give_signals_up(make_attempt, owe, **_fixtures):
    owe(make_attempt(), tries=MAX_TRIES)


def leave_signals(make_attempt, owe, **_fixtures):
    owe(make_attempt(), due_at=timezone.now() - timedelta(hours=1))


def fail_delivery(make_delivery, **_fixtures):
    make_delivery(state="failed")


def forget_attempts(make_old, **_fixtures):
    make_old(created_at=timezone.now() - timedelta(hours=3))


def reserve_id(make_attempt, **_fixtures):
    make_attempt(patient_id="pat_17", status="failed")


@pytest.mark.parametrize(
    ("plant", "found"),
    [
        (be_unreachable, {"medblocks"}),
        (be_unwell, {"medblocks"}),
        (be_late, {"clock"}),
        (be_very_late, {"clock"}),
        (refuse_key, {"key"}),
        (refuse_version, {"version"}),
        (forbid_facilities, {"read_facilities"}),
        (forbid_patients, {"read_patients"}),
        (forbid_endpoints, {"read_webhook_endpoints"}),
        (break_reading, {"read_patients"}),
        (misspell_setting, {"settings"}),
        (misuse_setting, {"settings"}),
        (lack_secrets, {"webhook_secrets"}),
        (lack_key, {"settings", "medblocks"}),
        (break_cache, {"cache"}),
        (lack_catalog, {"catalog"}),
        (let_catalog_age, {"catalog"}),
        (change_workspace, {"catalog"}),
        (miss_migration, {"migrations"}),
        (give_signals_up, {"signals"}),
        (leave_signals, {"overdue_signals"}),
        (fail_delivery, {"deliveries"}),
        (forget_attempts, {"reconcile"}),
        (reserve_id, {"patient_ids"}),
    ],
)
def test_planted_fault_is_found(
    site, settings, make_attempt, make_old, make_delivery, owe, plant, found
):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "MAX_RETRIES": 0}
    plant(
        site=site,
        settings=settings,
        make_attempt=make_attempt,
        make_old=make_old,
        make_delivery=make_delivery,
        owe=owe,
    )
    assert find_faults() == found


def test_json_is_what_was_found(site):
    code, said = run(json=True)
    findings = json.loads(said)
    assert code == 0
    assert {"name", "level", "text", "mend"} == set(findings[0])
    assert "ok" in {finding["level"] for finding in findings}


def test_warning_is_exit_code_1(site):
    CatalogSync.objects.all().delete()
    assert run()[0] == 1


def test_error_is_exit_code_2_with_its_mend(site):
    forbid_patients(site)
    code, said = run()
    assert code == 2
    assert "insufficient_scope" in said
    assert "-> Give the key that scope" in said


def test_nothing_names_a_patient(site, make_attempt):
    make_attempt(patient_id="pat_ann@mail.example", status="failed")
    PendingSignal.objects.all().delete()
    assert "ann" not in run()[1]
