"""Webhooks that do not come: their endpoint disabled or gone, and events that nobody delivered."""

from __future__ import annotations

import io
import json
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from medblocks_connect.models import OperationRun, PatientConnection, WebhookDelivery
from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.models import SandboxEvent, SandboxWebhookEndpoint
from medblocks_connect.sandbox.webhook_sender import event_body, send_until_given_up
from tests.faults.clinic import Clinic

pytestmark = pytest.mark.django_db(transaction=True)

SITE = "https://clinic.example"


@pytest.fixture
def endpoint(clinic, settings) -> SandboxWebhookEndpoint:
    """The clinic's endpoint, which fails every delivery: nothing comes by itself."""
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "SITE_URL": SITE}
    return SandboxWebhookEndpoint.objects.create(
        url=f"{SITE}/records/webhook/", events=["*"], fails_deliveries=True
    )


def reconcile() -> tuple[str, int]:
    """Run the command, as cron does; return its one line and its exit code."""
    out = io.StringIO()
    try:
        call_command("medblocks_reconcile", stdout=out)
    except CommandError as error:
        return str(error), error.returncode
    return out.getvalue(), 0


def pass_hours() -> None:
    past = timezone.now() - timedelta(hours=2)
    OperationRun.objects.exclude(ran_at=None).update(ran_at=past)


def connected(clinic: Clinic):
    """A connection of the clinic's patient, whose events nobody delivered."""
    clinic.started()
    link = flows.approve(clinic.session)
    clinic.come_back()
    assert clinic.attempt.status == "succeeded"
    return link


def undelivered() -> SandboxEvent:
    return SandboxEvent.objects.latest("pk")


def test_case_73_disabled_endpoint_is_noticed_and_its_events_fetched_once(clinic, endpoint, heard):
    flows.lose_access(connected(clinic))
    send_until_given_up(endpoint)
    line, code = reconcile()
    assert code == 1
    assert "2 missed events fetched" in line
    assert "Medblocks has stopped telling us since" in line
    assert "the webhook endpoint is disabled; run medblocks_webhooks enable" in line
    assert PatientConnection.objects.get().state == "lost"
    assert heard.count("connection_lost") == 1
    pass_hours()
    line, code = reconcile()
    assert (code, "fetched" in line) == (1, False)
    assert heard.count("connection_lost") == 1
    assert clinic.medblocks.count("GET", f"/webhooks/{endpoint.endpoint_id}/events") == 2


def test_case_73_enabled_again_is_no_error_any_more(clinic, endpoint):
    SandboxWebhookEndpoint.objects.update(status="disabled")
    assert reconcile()[1] == 1
    call_command("medblocks_webhooks", "enable", stdout=io.StringIO())
    assert reconcile() == ("medblocks_reconcile: 0 asked.\n", 0)
    endpoint.refresh_from_db()
    assert endpoint.status == "active"


def test_case_73_endpoint_that_is_gone_is_noticed(clinic, endpoint):
    assert reconcile()[1] == 0
    SandboxWebhookEndpoint.objects.update(deleted_at=timezone.now())
    pass_hours()
    line, code = reconcile()
    assert code == 1
    assert "the webhook endpoint is missing; run medblocks_webhooks register" in line


def test_case_73_event_of_90_days_ago_is_left_to_the_question_about_the_patient(
    clinic, endpoint, heard
):
    flows.lose_access(connected(clinic))
    SandboxEvent.objects.update(created_at=timezone.now() - timedelta(days=91))
    PatientConnection.objects.update(asked_at=timezone.now() - timedelta(days=91))
    line, code = reconcile()
    assert code == 0
    assert "2 missed events too old to fetch, 1 patients asked about their connections" in line
    assert "1 of them lost access" in line
    assert PatientConnection.objects.get().state == "lost"
    assert not WebhookDelivery.objects.exists()
    pass_hours()
    assert reconcile() == ("medblocks_reconcile: 0 asked.\n", 0)
    assert heard.count("connection_lost") == 1


@pytest.mark.parametrize("first", ["list", "delivery"])
def test_case_73_event_by_list_and_by_delivery_has_one_effect(clinic, endpoint, heard, first):
    flows.sync_records(connected(clinic))
    body = event_body(undelivered())
    ways = [reconcile, lambda: clinic.send(json.loads(body))]
    for way in ways if first == "list" else reversed(ways):
        way()
    stored = WebhookDelivery.objects.get(event_id=undelivered().event_id)
    assert (stored.state, stored.conflicts) == ("processed", 0)
    assert heard.count("records_synced") == 1


def test_case_73_event_by_list_waits_and_its_delivery_settles(clinic, endpoint, heard):
    """Fetched before its attempt was known, it is processed once, whoever is first then."""
    flows.sync_records(connected(clinic))
    connections = list(PatientConnection.objects.values_list("pk", flat=True))
    PatientConnection.objects.filter(pk__in=connections).update(patient_id="somebody else")
    clinic.attempt.__class__.objects.update(patient_id="somebody else")
    reconcile()
    stored = WebhookDelivery.objects.get(event_id=undelivered().event_id)
    assert stored.state == "received"
    PatientConnection.objects.filter(pk__in=connections).update(
        patient_id=clinic.session.patient_id
    )
    clinic.attempt.__class__.objects.update(patient_id=clinic.session.patient_id)
    clinic.send(json.loads(event_body(undelivered())))
    reconcile()
    stored.refresh_from_db()
    assert (stored.state, stored.conflicts) == ("processed", 0)
    assert heard.count("records_synced") == 1


def test_case_73_key_that_may_not_read_endpoints_is_said_once(clinic, endpoint):
    error = {"error": {"type": "permission_error", "code": "insufficient_scope", "message": "No"}}
    body = json.dumps(error).encode()
    clinic.medblocks.replace("GET", "/webhooks", body, status=403)
    line, code = reconcile()
    assert (code, "insufficient_scope" in line) == (0, True)
    pass_hours()
    assert reconcile() == ("medblocks_reconcile: 0 asked.\n", 0)


def test_case_73_run_that_medblocks_limits_goes_no_further(clinic, endpoint):
    connected(clinic)
    PatientConnection.objects.update(asked_at=timezone.now() - timedelta(days=91))
    clinic.medblocks.replace("GET", "/webhooks", b"{}", status=429)
    line, code = reconcile()
    assert code == 1
    assert "Medblocks asked us to slow down; the rest waits for the next run." in line
    assert clinic.medblocks.count("GET", "/patients/") == 0
