"""The output of ``medblocks_reconcile`` for cron: one line, and an exit code."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from medblocks_connect.attempts import reconcile
from medblocks_connect.models import OperationRun, PatientConnection
from tests.api.strict import page
from tests.attempts.conftest import (
    ACTIVE,
    BASE_URL,
    answer,
    store_delivery,
)
from tests.connected import create_attempt


def run(**options) -> tuple[str, int]:
    """Run the command; return its one line and its exit code."""
    out = io.StringIO()
    try:
        call_command("medblocks_reconcile", stdout=out, **options)
    except CommandError as error:
        assert not out.getvalue()
        return str(error), error.returncode
    return out.getvalue(), 0


def test_reconcile_prints_one_line(medblocks, make_old):
    make_old(1)
    make_old(2)
    answer(medblocks, 1, **ACTIVE)
    answer(medblocks, 2)
    line, code = run()
    assert line == "medblocks_reconcile: 2 asked (1 At the portal, 1 Connected).\n"
    assert code == 0


def test_reconcile_without_attempts_prints_zero(db):
    assert run() == ("medblocks_reconcile: 0 asked.\n", 0)
    assert run(verbosity=0) == ("", 0)


def test_reconcile_throttled_exits_1(medblocks, make_old):
    make_old()
    medblocks.get(f"{BASE_URL}/patient-sessions/ps_1", status=429)
    line, code = run()
    assert "asked us to slow down" in line
    assert "\n" not in line
    assert code == 1


def test_reconcile_on_a_terminal_shows_progress(medblocks, make_old):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for number in range(3):
        make_old(number)
        answer(medblocks, number, **ACTIVE)
    terminal = Terminal()
    run(stderr=terminal, no_color=True)
    assert "3 of 3" in terminal.getvalue()


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (401, "invalid_api_key", "Medblocks refused the API key"),
        (403, "insufficient_scope", "Medblocks refused the API key"),
        (429, "throttled", "Medblocks asked us to slow down"),
    ],
)
def test_reconcile_stopped_prints_the_reason(medblocks, make_old, status, code, words):
    for number in range(3):
        make_old(number)
        error = {"error": {"type": "", "code": code}}
        medblocks.get(f"{BASE_URL}/patient-sessions/ps_{number}", json=error, status=status)
    line, exit_code = run()
    assert f"1 asked (1 without a usable answer). {words}" in line
    assert exit_code == 1


def test_reconcile_counts_a_delivery_that_fails_again(medblocks, make_old):
    make_old()
    answer(medblocks, **ACTIVE)
    store_delivery("ps_1", {"id": "ps_1", "connections": "none"}, state="failed", tries=1)
    line, code = run()
    assert "1 webhook deliveries failed again" in line
    assert "processed" not in line
    assert code == 1
    assert run() == ("medblocks_reconcile: 0 asked.\n", 0)


def test_reconcile_counts_the_signals_that_it_sends(make_old, owe, breaking):
    attempt = make_old(status="succeeded", settled_at=timezone.now())
    for _ in range(2):
        owe(attempt)
    assert run() == ("medblocks_reconcile: 0 asked (2 signals sent).\n", 0)
    owe(attempt)
    breaking.append(1)
    line = "medblocks_reconcile: 0 asked (1 signals failed again)."
    assert run() == (line, 1)


@pytest.mark.parametrize("limit", [0, -1])
def test_reconcile_refuses_a_limit_below_1(db, limit):
    with pytest.raises(CommandError, match="--limit"):
        call_command("medblocks_reconcile", limit=limit)


def test_reconcile_with_an_error_here_exits_1(medblocks, make_old, breaks_once):
    make_old()
    answer(medblocks, **ACTIVE)
    breaks_once(reconcile, "settle_with_waiting_deliveries")
    line, code = run()
    assert "1 not settled because of an error here" in line
    assert code == 1


@pytest.fixture
def listening(medblocks, settings):
    """A site that takes webhooks, and whose Medblocks lists no endpoint."""
    secrets = {"WEBHOOK_SECRETS": ["whsec_1"]}
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, **secrets}
    return medblocks.get(f"{BASE_URL}/webhooks", json=page())


@pytest.mark.parametrize(("status", "looks"), [(429, 0), (401, 0), (404, 1)])
def test_reconcile_that_had_to_stop_asks_nothing_more(
    listening, medblocks, make_old, status, looks
):
    make_old()
    medblocks.get(f"{BASE_URL}/patient-sessions/ps_1", status=status)
    run()
    assert listening.call_count == looks


def test_reconcile_that_does_not_know_its_endpoint_names_the_setting(listening, db):
    line, code = run()
    assert (code, "set SITE_URL." in line) == (0, True)


def test_reconcile_counts_patients_whose_list_is_odd(medblocks, db):
    create_attempt(
        patient_id="p-1",
        connection_id="fhirsrc_1",
        status="succeeded",
        patient_connection_id="conn_1",
    )
    PatientConnection.objects.update(asked_at=timezone.now() - timedelta(days=2))
    medblocks.get(f"{BASE_URL}/patients/p-1", body="<html>")
    told = "1 patients asked about their connections, 1 of them without a usable answer"
    assert run() == (f"medblocks_reconcile: 0 asked ({told}).", 1)


def test_reconcile_without_a_key_has_nothing_to_ask(settings, db):
    settings.MEDBLOCKS_CONNECT = {}
    assert run() == ("medblocks_reconcile: 0 asked.\n", 0)


def test_reconcile_notes_when_it_ran(db):
    run()
    ran = OperationRun.objects.order_by("name").values_list("name", flat=True)
    assert list(ran) == ["poll_connections", "reconcile"]
