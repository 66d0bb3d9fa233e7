"""Webhook deliveries: what staff see of them, and a second try."""

from __future__ import annotations

import json
from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.contrib.admin.models import LogEntry
from django.utils import timezone

from medblocks_connect.admin.formatting import show_dotted
from medblocks_connect.admin.links import attempt_url, delivery_url
from medblocks_connect.admin.payload import show_payload
from medblocks_connect.models import PendingSignal, WebhookDelivery
from medblocks_connect.signals import records_synced
from medblocks_connect.views.webhook_receiver import read_delivery
from tests.admin.conftest import DELIVERIES


@pytest.fixture
def clerk(make_staff):
    return make_staff("view_webhookdelivery")


@pytest.fixture
def processor(make_staff):
    return make_staff("view_webhookdelivery", "process_webhookdelivery")


@pytest.fixture
def deliver(db):
    def make(about=None, **fields):
        number = WebhookDelivery.objects.count()
        event_type = fields.pop("event_type", "patient_session.completed")
        payload = {"id": f"evt_{number}", "type": event_type, "data": {"object": about or {}}}
        return WebhookDelivery.objects.create(
            event_id=f"evt_{number}",
            event_type=event_type,
            payload=json.dumps(payload),
            **fields,
        )

    return make


def _process_url(delivery) -> str:
    return f"{DELIVERIES}{delivery.pk}/process/"


def test_delivery_list_shows_state_and_failure(clerk, deliver, make_attempt):
    deliver(state="failed", failure="KeyError")
    deliver(state="processed", attempt=make_attempt())
    deliver()
    page = clerk.get(DELIVERIES).content.decode()
    for text in ("KeyError", "Processing failed", "Waits for its attempt", "evt_1"):
        assert text in page


def test_delivery_type_breaks_between_its_parts():
    assert show_dotted("a_b.c<") == "<bdi>a_<wbr>b.<wbr>c&lt;<wbr></bdi>"


def test_delivery_list_shows_number_of_tries(clerk, deliver):
    deliver(state="failed", tries=3)
    assert "tried 3 times" in clerk.get(DELIVERIES).content.decode()


def test_delivery_filters_and_search_find_one(clerk, deliver):
    failed = deliver(state="failed")
    synced = deliver(event_type="records.sync.completed")
    for query, wanted in (
        ("state__exact=failed", failed),
        ("event_type__exact=records.sync.completed", synced),
        (f"q={failed.event_id}", failed),
    ):
        rows = clerk.get(f"{DELIVERIES}?{query}").context["cl"].result_list
        assert [row.pk for row in rows] == [wanted.pk]


def test_delivery_page_has_no_personal_data(clerk, deliver):
    about = {
        "id": "ps_1",
        "patient_id": "ann@example.org",
        "metadata": {"ward": "Oncology"},
        "return_url": "https://clinic.example/ann",
        "connections": [{"id": "conn_1", "status": "failed", "failure_code": "oauth_error"}],
        "error_message": "Ann Example is locked",
        "a_new_field": "Ann Lee",
    }
    page = clerk.get(delivery_url(deliver(about).pk)).content.decode()
    for text in ("ps_1", "conn_1", "oauth_error", "(left out)"):
        assert text in page
    for secret in ("ann@example.org", "Oncology", "clinic.example", "Ann Lee"):
        assert secret not in page


def test_payload_of_an_unknown_type_shows_no_id_that_may_be_a_patients():
    about = {"resource_type": "patient", "id": "ann@example.org", "connection_id": "ann"}
    event = {"id": "evt_1", "type": "patient.updated", "data": {"object": about}}
    shown = show_payload(json.dumps(event))
    assert "evt_1" in shown
    assert "patient.updated" in shown
    assert "ann" not in shown


@pytest.mark.parametrize(
    ("event_type", "kept"),
    [("connection.token_refresh_failed", "ann"), ("patient.updated", ""), ("records.new", "")],
)
def test_connection_id_is_read_from_connection_events_alone(event_type, kept):
    delivery = read_delivery(
        json.dumps({"type": event_type, "data": {"object": {"id": "ann"}}}).encode()
    )
    assert delivery.patient_connection_id == kept


@pytest.mark.parametrize(
    "about",
    [
        {"errors": ["Ann Example"]},
        {"status": "Ann Example"},
        {"connections": ["Ann"]},
        {"connections": [{"status": "Ann", "failure_code": "Ann 1950"}]},
        {"connections": {"Ann": 1}},
        {"Ann Example 1950": 1},
        {"connection_id": "https://x.example/fhir?patient=Ann"},
        {"created_at": "Ann"},
    ],
)
@pytest.mark.parametrize("event_type", ["patient_session.completed", "records.sync.failed", "new"])
def test_payload_value_of_wrong_shape_is_left_out(about, event_type):
    shown = show_payload(json.dumps({"type": event_type, "data": {"object": about}}))
    assert "Ann" not in shown
    assert "left out" in shown or "x.example" in shown


def test_payload_unknown_fields_are_counted():
    shown = json.loads(show_payload('{"a": 1, "b": 2}'))
    assert shown == {"2 more fields": "(left out)"}


def test_payload_numbers_are_numbers():
    about = {"total": 128, "errors": 0, "duration_ms": None, "patient_id": "p"}
    event = {"type": "records.sync.completed", "data": {"object": about}}
    shown = json.loads(show_payload(json.dumps(event)))["data"]["object"]
    assert shown == {"total": 128, "errors": 0, "duration_ms": None, "patient_id": "(left out)"}


def test_delivery_page_of_lone_surrogate_is_200(clerk, deliver):
    delivery = deliver({"id": "ps_1", "status": "\ud800"})
    assert clerk.get(delivery_url(delivery.pk)).status_code == 200


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "nonsense",
        "null",
        "[" * 50,
        "[" * 600 + "]" * 600,
        '{"data": {"data": {"data": {"data": {"data": 1}}}}}',
        '{"id": "\\ud800", "\\ud800": 1, "data": {"object": {"status": "\\ud800"}}}',
        '{"type": [], "data": {"object": {"total": 1e999, "errors": -9e99}}}',
    ],
    ids=[
        "nothing",
        "nonsense",
        "null",
        "cut-off",
        "nested-lists",
        "nested-objects",
        "surrogates",
        "numbers",
    ],
)
def test_payload_of_any_shape_is_text(payload):
    assert show_payload(payload).encode()


def test_payload_is_bounded():
    payload = json.dumps({"id": "x" * 100_000, "data": [{"id": "y"}] * 10_000})
    assert len(show_payload(payload)) < 10_000


def test_process_again_settles_the_attempt(processor, deliver, make_attempt):
    attempt = make_attempt(
        status="succeeded", patient_connection_id="conn_9", connection_status="active"
    )
    delivery = deliver(
        {"id": "conn_9", "status": "refresh_failed"},
        event_type="connection.token_refresh_failed",
        patient_connection_id="conn_9",
        state="failed",
    )
    page = processor.post(_process_url(delivery), follow=True)
    assert "Processed." in page.content.decode()
    delivery.refresh_from_db()
    attempt.refresh_from_db()
    assert delivery.state == "processed"
    assert attempt.lost_at is not None
    assert LogEntry.objects.get().change_message == "Processed again."


def test_process_again_without_attempt_is_kept(processor, deliver):
    delivery = deliver({"id": "ps_unknown", "status": "complete"})
    page = processor.post(_process_url(delivery), follow=True)
    assert page.status_code == 200
    delivery.refresh_from_db()
    assert delivery.state != "processed"


def test_process_again_of_processed_does_nothing(processor, deliver):
    delivery = deliver(state="processed")
    page = processor.post(_process_url(delivery), follow=True).content.decode()
    assert "Nothing was done" in page
    assert "Process again" not in page


@pytest.fixture
def receiver():
    """A receiver of ``records_synced`` that raises while it is told to."""
    calls, errors = [], []

    def receive(attempt, **kwargs):
        calls.append(kwargs["total"])
        if errors:
            raise errors.pop()

    records_synced.connect(receive)
    yield SimpleNamespace(calls=calls, errors=errors)
    records_synced.disconnect(receive)


@pytest.fixture
def owing(deliver, make_attempt):
    """A delivery that was processed, and whose receivers have not been told."""
    delivery = deliver(state="processed", attempt=make_attempt(status="succeeded"))

    def owe(**changes):
        fields = {"name": "records_synced", "arguments": '{"total": 3}', "failure": "KeyError"}
        due_at = timezone.now() + timedelta(days=1)
        fields = {**fields, "tries": 3, "due_at": due_at, **changes}
        PendingSignal.objects.create(attempt=delivery.attempt, delivery=delivery, **fields)
        return delivery

    return owe


@pytest.mark.parametrize(
    ("changes", "texts"),
    [
        ({}, ["KeyError"]),
        ({"due_at": timezone.now()}, ["KeyError", "With the next run"]),
        ({"failure": ""}, ["Is being sent."]),
        ({"failure": "", "due_at": timezone.now()}, ["Waits to be sent.", "With the next run"]),
        ({"tries": 15}, ["KeyError", "Not by itself any more"]),
        ({"failure": "<b>"}, ["&lt;b&gt;"]),
    ],
)
def test_pending_signals_are_on_both_pages(make_staff, owing, changes, texts):
    clerk = make_staff("view_webhookdelivery", "view_patientconnectionattempt")
    delivery = owing(**changes)
    for url in (delivery_url(delivery.pk), attempt_url(delivery.attempt_id)):
        page = clerk.get(url).text
        for text in ("Signals not sent yet", "records_<wbr>synced", *texts):
            assert text in page


def test_pages_without_pending_signals_say_nothing_of_them(make_staff, deliver, make_attempt):
    clerk = make_staff("view_webhookdelivery", "view_patientconnectionattempt")
    delivery = deliver(state="processed", attempt=make_attempt(status="succeeded"))
    for url in (delivery_url(delivery.pk), attempt_url(delivery.attempt_id)):
        assert "Signals not sent yet" not in clerk.get(url).text


def test_process_again_sends_what_is_pending(processor, owing, receiver):
    delivery = owing()
    assert "Process again" in processor.get(delivery_url(delivery.pk)).text
    page = processor.post(_process_url(delivery), follow=True).text
    assert "The signals were sent." in page
    assert receiver.calls == [3]
    assert not PendingSignal.objects.exists()
    assert LogEntry.objects.get().change_message == "Processed again."


def test_process_again_whose_receiver_raises_again_says_so(processor, owing, receiver):
    receiver.errors.append(ValueError("ann@mail.example"))
    page = processor.post(_process_url(owing()), follow=True).text
    assert "A receiver failed again" in page
    assert "ValueError" in page
    assert "ann@mail.example" not in page


def test_process_again_of_what_is_being_sent_sends_nothing(processor, owing, receiver):
    page = processor.post(_process_url(owing(failure="")), follow=True).text
    assert "being sent right now" in page
    assert receiver.calls == []


def test_process_again_of_another_workspace_sends_nothing(processor, owing, receiver):
    delivery = owing()
    WebhookDelivery.objects.update(workspace="north")
    processor.post(_process_url(delivery))
    assert receiver.calls == []


def test_process_again_without_permission_is_403(clerk, deliver):
    delivery = deliver(state="failed")
    assert clerk.post(_process_url(delivery)).status_code == 403
    assert "Process again" not in clerk.get(delivery_url(delivery.pk)).content.decode()


def test_process_again_by_get_is_405(processor, deliver):
    assert processor.get(_process_url(deliver())).status_code == 405


def test_process_again_by_get_without_permission_is_403(clerk, deliver):
    assert clerk.get(_process_url(deliver())).status_code == 403


def test_deliveries_changed_by_superuser_are_403(root, deliver):
    delivery = deliver()
    assert root.post(f"{DELIVERIES}{delivery.pk}/delete/", {"post": "yes"}).status_code == 403
    assert root.post(delivery_url(delivery.pk), {"state": "processed"}).status_code == 403


def test_deliveries_without_their_permission_are_403(staff, deliver):
    assert staff.get(DELIVERIES).status_code == 403
    assert staff.get(delivery_url(deliver().pk)).status_code == 403


def test_deliveries_ask_few_queries(clerk, deliver, make_attempt, django_assert_max_num_queries):
    for _ in range(60):
        deliver(attempt=make_attempt())
    with django_assert_max_num_queries(8):
        clerk.get(DELIVERIES)
