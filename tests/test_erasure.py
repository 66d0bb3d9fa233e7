"""Erasure: nothing is left of a patient, whatever breaks in between, and nothing comes back."""

from __future__ import annotations

import io
import json
import logging
import time
from datetime import timedelta
from itertools import count
from urllib.parse import quote

import pytest
from django.contrib.admin.models import LogEntry
from django.core import serializers
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from medblocks_connect import erasure
from medblocks_connect.api import MedblocksError, NotFoundError
from medblocks_connect.attempts.action_counts import build_counter_key
from medblocks_connect.cache import cache
from medblocks_connect.conf import find_rate
from medblocks_connect.models import (
    ErasedIdentifier,
    ErasedPatient,
    FacilityRequest,
    PatientConnection,
    PatientConnectionAttempt,
    WebhookDelivery,
)
from medblocks_connect.patients import Patient
from medblocks_connect.views.throttling import count_request
from tests.attempts.conftest import BASE_URL, connection_json, make_attempt, medblocks
from tests.erased import NOT_FOUND, allow_erasure, count_left, fill, find_left

__all__ = ["make_attempt", "medblocks"]

pytestmark = pytest.mark.django_db(transaction=True)

URL = f"{BASE_URL}/patients/p-1"


def test_erased_patient_is_nowhere(medblocks):
    fill("p-1")
    assert "PatientConnectionAttempt.patient_id" in find_left("p-1")
    allow_erasure(medblocks)
    done = erasure.erase_patient("p-1")
    assert (find_left("p-1"), count_left()) == ([], {})
    assert done.deleted == {
        "webhook deliveries": 3,
        "attempts": 2,
        "connections": 1,
        "facility requests": 1,
    }
    assert [call.request.method for call in medblocks.calls] == ["GET", "DELETE"]


@pytest.mark.parametrize(
    "patient_id",
    ["ann@mail.example", "a/b c", "100%_x", 'q"uo\\te', "日本", "x" * 200, "(a+b)*", "0"],
)
def test_id_of_any_characters_is_nowhere(medblocks, patient_id):
    fill(patient_id)
    url = f"{BASE_URL}/patients/{quote(patient_id, safe='')}"
    medblocks.get(url, status=404, json=NOT_FOUND)
    medblocks.delete(url, json={"id": patient_id, "deleted": True})
    erasure.erase_patient(patient_id)
    assert count_left() == {}
    entries = LogEntry.objects.values_list("object_repr", "change_message")
    assert not [each for each in entries if patient_id in each and patient_id != "0"]
    assert not ErasedPatient.objects.exclude(unfinished_patient_id="").exists()


@pytest.mark.parametrize("patient_id", ["", "x" * 201, "a\x00b"])
def test_what_is_no_id_is_refused(patient_id):
    with pytest.raises(ValueError, match="1 to 200"):
        erasure.erase_patient(patient_id)


def test_other_patients_stay(medblocks, make_attempt):
    others = [
        make_attempt(patient_id=each, patient_session_id=f"ps_{each}") for each in ("p-11", "P-1")
    ]
    fill("p-1")
    allow_erasure(medblocks)
    erasure.erase_patient("p-1")
    assert set(PatientConnectionAttempt.objects.all()) == set(others)


def test_other_workspace_stays(medblocks, make_attempt):
    other = make_attempt(workspace="elsewhere", patient_session_id="ps_other")
    allow_erasure(medblocks)
    erasure.erase_patient("p-1")
    assert PatientConnectionAttempt.objects.get() == other


def test_patient_unknown_at_medblocks_is_erased_here(medblocks):
    fill("p-1")
    for method in ("GET", "DELETE"):
        medblocks.add(method, URL, status=404, json=NOT_FOUND)
    erasure.erase_patient("p-1")
    assert (find_left("p-1"), count_left()) == ([], {})


def test_404_that_is_not_medblocks_deletes_nothing(medblocks):
    fill("p-1")
    for method in ("GET", "DELETE"):
        medblocks.add(method, URL, status=404, body="<h1>Not here</h1>")
    with pytest.raises(NotFoundError):
        erasure.erase_patient("p-1")
    assert PatientConnectionAttempt.objects.count() == 2


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("status", [401, 429, 500, 0], ids=["key", "limit", "down", "no-answer"])
def test_medblocks_that_does_not_delete_keeps_what_is_here(medblocks, method, status):
    fill("p-1")
    before = count_left()
    allow_erasure(medblocks)
    if status:
        medblocks.replace(method, URL, status=status, json={})
    else:
        medblocks.replace(method, URL, body=ConnectionResetError())
    with pytest.raises(MedblocksError):
        erasure.erase_patient("p-1")
    assert count_left() == before
    assert erasure.find_erasure("p-1").unfinished_patient_id == "p-1"


def test_erasure_that_medblocks_held_up_is_finished_by_reconcile(medblocks):
    fill("p-1")
    medblocks.get(URL, status=503)
    with pytest.raises(MedblocksError):
        erasure.erase_patient("p-1")
    failed = erasure.repeat_erasures()
    assert (failed.finished, failed.failed) == (0, 1)
    medblocks.remove("GET", URL)
    allow_erasure(medblocks)
    out = io.StringIO()
    call_command("medblocks_reconcile", stdout=out)
    assert "1 erasures finished" in out.getvalue()
    assert (find_left("p-1"), count_left()) == ([], {})


class CrashError(BaseException):
    """The process dies."""


def crash_at(number: int):
    """Let the process die before it sends the database its statement ``number``."""
    numbers = count()

    def execute(run, *args):
        if next(numbers) == number:
            raise CrashError
        return run(*args)

    return connection.execute_wrapper(execute)


def test_crash_before_any_statement_is_made_good(medblocks):
    """By reconcile once the tombstone stands, else by asking again; Medblocks says 404 then."""
    medblocks.assert_all_requests_are_fired = False
    for number in count():
        medblocks.reset()
        fill("p-1")
        allow_erasure(medblocks)
        try:
            with crash_at(number):
                erasure.erase_patient("p-1")
        except CrashError:
            pass
        else:
            break
        if any(call.request.method == "DELETE" for call in medblocks.calls):
            for method in ("GET", "DELETE"):
                medblocks.replace(method, URL, status=404, json=NOT_FOUND)
        if ErasedPatient.objects.exists():
            assert erasure.repeat_erasures().failed == 0
        else:
            erasure.erase_patient("p-1")
        assert (find_left("p-1"), count_left()) == ([], {}), number
        assert ErasedIdentifier.objects.count() == 2, number
        LogEntry.objects.all().delete()
        ErasedPatient.objects.all().delete()
    assert number > 20


def test_erasure_in_a_transaction_is_refused(medblocks):
    fill("p-1")
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        erasure.erase_patient("p-1")
    assert not medblocks.calls


def erase(medblocks, **options) -> None:
    allow_erasure(medblocks, **options)
    erasure.erase_patient("p-1")


def test_erased_twice_is_erased_once_more(medblocks, make_attempt):
    erase(medblocks)
    first = ErasedPatient.objects.get().erased_at
    make_attempt()
    erasure.erase_patient("p-1")
    assert count_left() == {}
    assert ErasedPatient.objects.get().erased_at > first


def test_rows_of_a_backup_are_erased_again_by_reconcile(medblocks):
    fill("p-1")
    stream = io.StringIO()
    call_command("dumpdata", "medblocks_connect", "admin", stdout=stream)
    backup = [row for row in json.loads(stream.getvalue()) if "erased" not in row["model"]]
    erase(medblocks)
    for row in backup:
        restore(row)
    assert find_left("p-1")
    out = io.StringIO()
    call_command("medblocks_reconcile", stdout=out)
    assert "rows of erased patients deleted again" in out.getvalue()
    assert (find_left("p-1"), count_left()) == ([], {})


def restore(row: dict) -> None:
    """Load one row of a dump."""
    for each in serializers.deserialize("python", [row]):
        each.save()


def test_tombstones_beside_a_backup_are_loaded_after_it(medblocks, tmp_path):
    fill("p-1")
    erase(medblocks)
    kept = tmp_path / "erased.json"
    names = ["medblocks_connect.ErasedPatient", "medblocks_connect.ErasedIdentifier"]
    call_command("dumpdata", *names, output=str(kept), verbosity=0)
    assert "p-1" not in kept.read_text()
    ErasedPatient.objects.all().delete()  # the backup is older than they are
    LogEntry.objects.all().delete()
    fill("p-1")
    call_command("loaddata", str(kept), verbosity=0)
    PatientConnectionAttempt.objects.update(created_at=timezone.now() - timedelta(hours=1))
    PatientConnection.objects.update(changed_at=timezone.now() - timedelta(hours=1))
    erasure.repeat_erasures()
    assert (find_left("p-1"), count_left()) == ([], {})


def test_delivery_known_by_its_link_alone_is_erased_again(medblocks):
    fill("p-1")
    erase(medblocks)
    WebhookDelivery.objects.create(event_id="evt_9", patient_connection_id="conn_1")
    stays = WebhookDelivery.objects.create(event_id="evt_8", patient_connection_id="conn_8")
    assert erasure.repeat_erasures().rows == 1
    assert WebhookDelivery.objects.get() == stays


def test_repeat_leaves_a_new_start_alone(medblocks, make_attempt):
    fill("p-1")
    erase(medblocks)
    attempt = make_attempt(patient_session_id="ps_new")
    make_attempt(patient_session_id="ps_old", created_at=timezone.now() - timedelta(hours=2))
    assert erasure.repeat_erasures().rows == 1
    assert PatientConnectionAttempt.objects.get() == attempt
    deletes = [call for call in medblocks.calls if call.request.method == "DELETE"]
    assert len(deletes) == 1


def test_repeat_without_erasures_asks_one_query_each(django_assert_max_num_queries):
    with django_assert_max_num_queries(2):
        assert erasure.repeat_erasures() == erasure.RepeatedErasures()


def test_repeat_whose_time_is_over_begins_nothing(medblocks):
    fill("p-1")
    medblocks.get(URL, status=503)
    with pytest.raises(MedblocksError):
        erasure.erase_patient("p-1")
    assert erasure.repeat_erasures(max_seconds=0) == erasure.RepeatedErasures()


def test_erasure_is_found_after_the_key_was_replaced(medblocks, settings):
    erase(medblocks)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", [settings.SECRET_KEY]
    assert erasure.find_erasure("p-1") is not None
    fill("p-1")
    rows = {FacilityRequest: "created_at", PatientConnectionAttempt: "created_at"}
    for model, moment in rows.items():
        model.objects.update(**{moment: timezone.now() - timedelta(hours=1)})
    assert erasure.repeat_erasures().rows > 0


def test_erasure_is_not_found_once_the_old_key_is_dropped(medblocks, settings):
    erase(medblocks)
    settings.SECRET_KEY = "new"
    assert erasure.find_erasure("p-1") is None


def test_log_says_who_looked_at_a_pseudonym(medblocks):
    fill("p-1")
    erase(medblocks)
    pseudonym = ErasedPatient.objects.get().pseudonym
    view, export = LogEntry.objects.order_by("id")
    assert view.object_repr == pseudonym
    quoted = pseudonym.replace(":", "%3A")
    assert export.change_message == f"Exported: status=failed&q={quoted}+riverside"


def test_links_that_medblocks_alone_knows_are_kept_as_signatures(medblocks):
    listed = {**connection_json(id="conn_elsewhere"), "resource_type": "connection"}
    listed |= {"patient_session_id": None, "scopes": [], "updated_at": listed["created_at"]}
    erase(medblocks, connections=[listed])
    assert ErasedIdentifier.objects.count() == 1


def test_what_the_cache_counts_of_them_is_forgotten(medblocks):
    key = build_counter_key("p-1", "search", find_rate("search").find_end(time.time()))
    assert count_request(Patient("p-1"), "search") == 0
    assert cache.get(key) == 1
    erase(medblocks)
    assert cache.get(key) is None


def test_log_lines_have_nothing_of_the_id(medblocks, caplog):
    caplog.set_level(logging.DEBUG, "medblocks_connect")
    fill("p-1")
    medblocks.get(URL, status=503)
    with pytest.raises(MedblocksError):
        erasure.erase_patient("p-1")
    erasure.repeat_erasures()
    assert "An erasure is not finished" in caplog.text
    assert "p-1" not in caplog.text


def test_without_the_admin_it_is_erased(medblocks, settings):
    fill("p-1")
    settings.INSTALLED_APPS = [name for name in settings.INSTALLED_APPS if "admin" not in name]
    erase(medblocks)
    assert count_left() == {}
