"""Case 51: one hosted session connects several places, and each hears its own events."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest
from django.core.cache import cache
from django.core.management import call_command
from django.db.models import F
from django.utils import timezone

from medblocks_connect import signals
from medblocks_connect.attempts.reconcile import reconcile_attempts
from medblocks_connect.models import (
    CatalogSync,
    Facility,
    PatientConnection,
    PatientConnectionAttempt,
    WebhookDelivery,
)
from medblocks_connect.patient_connections.snapshot import forget_snapshot
from medblocks_connect.patients import Patient
from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.models import SandboxConnection
from medblocks_connect.sandbox.portal import return_url_with_outcome
from tests.faults.clinic import RIVERSIDE
from tests.faults.events import completed, lost, synced

pytestmark = pytest.mark.django_db(transaction=True)

LANTERN = "fhirsrc_lantern_hill_clinic"
LANTERN_OF_THE_SAME_NAME = "fhirsrc_lantern_hill_clinic_cerner"
KESTREL = "fhirsrc_kestrel_health_northport"
LONG_AGO = timedelta(minutes=5)


@pytest.fixture
def hosted(clinic, settings):
    """A clinic whose patient failed at one place on the hosted page and connected two others."""
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "HOSTED_FALLBACK": True}
    call_command("medblocks_sync_facilities", pause=0, verbosity=0)
    clinic.start_hosted()
    flows.fail(clinic.session, "oauth_error", LANTERN)
    flows.approve(clinic.session, RIVERSIDE)
    flows.approve(clinic.session, KESTREL)
    # No request has it in hand any more.
    PatientConnectionAttempt.objects.update(created_at=F("created_at") - LONG_AGO)
    # The sandbox tells milliseconds, and the connections may be no longer apart.
    for minutes, facility in enumerate((KESTREL, RIVERSIDE, LANTERN), 1):
        made = SandboxConnection.objects.filter(connection_id=facility)
        made.update(created_at=F("created_at") - timedelta(minutes=minutes))
    return clinic


def link_to(facility):
    return SandboxConnection.objects.get(connection_id=facility, status="active")


def places():
    rows = PatientConnection.objects.order_by("place_id")
    return {row.place_id: (row.state, row.attempt_id) for row in rows}


def connected(attempt, *facilities):
    return dict.fromkeys(facilities, ("connected", attempt.pk))


def lines(attempt, source="medblocks"):
    events = attempt.events.filter(source=source).exclude(kind__in=["started", "still_open"])
    return sorted((event.kind, event.error, event.detail) for event in events)


TOLD = [
    ("connected", "", ""),
    ("connected", "", "Kestrel Health Northport"),
    ("failed", "oauth_error", "Lantern Hill Clinic"),
]


def reconcile():
    PatientConnectionAttempt.objects.update(asked_at=None)
    return reconcile_attempts(limit=10)


def press_done(clinic):
    flows.finish(clinic.session)


def test_hosted_case_51_nothing_settles_before_done(hosted, heard):
    for _ in range(3):
        assert reconcile().statuses == {"succeeded": 1}
    attempt = hosted.attempt
    assert (attempt.status, attempt.connection_id, attempt.settled_at) == (
        "succeeded", RIVERSIDE, None,
    )  # fmt: skip
    assert attempt.connection_name == "Riverside General"
    assert places() == connected(attempt, RIVERSIDE, KESTREL)
    assert lines(attempt) == TOLD
    assert heard.count("attempt_succeeded") == 1


def test_hosted_case_51_is_settled_after_done(hosted, heard):
    reconcile()
    press_done(hosted)
    reconcile()
    assert hosted.attempt.settled_at is not None
    assert reconcile().asked == 0
    assert places() == connected(hosted.attempt, RIVERSIDE, KESTREL)
    assert lines(hosted.attempt) == TOLD
    assert heard == ["attempt_started", "attempt_succeeded"][-len(heard) :]


def test_hosted_case_51_each_step_of_the_session_is_told_once(clinic, settings, heard):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "HOSTED_FALLBACK": True}
    clinic.start_hosted()
    PatientConnectionAttempt.objects.update(created_at=F("created_at") - LONG_AGO)
    flows.fail(clinic.session, "oauth_error", LANTERN)
    assert reconcile().statuses == {"failed": 1}
    assert clinic.attempt.settled_at is None
    flows.approve(clinic.session, RIVERSIDE)
    assert reconcile().statuses == {"succeeded": 1}
    flows.approve(clinic.session, KESTREL)
    reconcile()
    reconcile()
    assert lines(clinic.attempt) == TOLD
    assert heard.count("attempt_succeeded") == heard.count("attempt_failed") == 1


def tell_by_webhook(clinic):
    assert clinic.send(completed(clinic.session)).status_code == 200


def tell_by_return(clinic):
    answered = clinic.come_back()
    assert (answered.status_code, answered["Location"]) == (
        303,
        clinic.attempt.get_absolute_url(),
    )


def tell_by_poll(clinic):
    reconcile()


@pytest.mark.parametrize("order", [*permutations([tell_by_webhook, tell_by_return, tell_by_poll])])
def test_hosted_case_51_ends_alike_in_every_order(hosted, heard, order):
    press_done(hosted)
    for tell in order:
        tell(hosted)
    attempt = hosted.attempt
    assert (attempt.status, attempt.connection_id, attempt.patient_connection_id) == (
        "succeeded", RIVERSIDE, link_to(RIVERSIDE).conn_id,
    )  # fmt: skip
    assert attempt.settled_at is not None
    assert (attempt.claimed_success, attempt.claimed_error) == (False, "")
    assert places() == connected(attempt, RIVERSIDE, KESTREL)
    for source in ("webhook", "medblocks"):
        told = lines(attempt, source)
        assert told == TOLD or (source == "medblocks" and told == [])
    assert lines(attempt, "return") == [("came_back", "", "")]
    assert heard.count("attempt_succeeded") == 1
    assert "attempt_failed" not in heard


def test_hosted_case_51_return_has_the_two_ids_alone(hosted):
    press_done(hosted)
    query = return_url_with_outcome(hosted.session).partition("?")[2]
    assert [pair.partition("=")[0] for pair in query.split("&")] == [
        "patient_id",
        "patient_session_id",
    ]


def test_hosted_case_51_patient_sees_each_place(hosted):
    tell_by_poll(hosted)
    page = hosted.client.get("/records/connections/").content.decode()
    assert "Riverside General" in page
    assert "Kestrel Health Northport" in page
    assert "Lantern Hill Clinic" not in page


@pytest.mark.parametrize("is_done", [True, False], ids=["after-done", "before-done"])
@pytest.mark.parametrize("first", [RIVERSIDE, KESTREL])
def test_hosted_case_51_each_place_hears_its_loss(hosted, heard, first, is_done):
    if is_done:
        press_done(hosted)
    reconcile()
    second = KESTREL if first == RIVERSIDE else RIVERSIDE
    hosted.send(lost(link_to(first), "evt_1"))
    assert places()[first][0] == "lost"
    assert places()[second][0] == "connected"
    assert (hosted.attempt.lost_at is not None) == (first == RIVERSIDE)
    hosted.send(lost(link_to(second), "evt_2"))
    hosted.send(lost(link_to(second), "evt_2"))
    assert {state for state, _ in places().values()} == {"lost"}
    attempt = hosted.attempt
    assert lines(attempt, "webhook") == [
        ("lost", "token_unavailable", ""),
        ("lost", "token_unavailable", "Kestrel Health Northport"),
    ]
    assert set(attempt.events.filter(kind="lost").values_list("connection_status")) == {
        ("refresh_failed",)
    }
    assert heard.count("connection_lost") == 2
    assert (attempt.status, attempt.patient_connection_id) == (
        "succeeded",
        link_to(RIVERSIDE).conn_id,
    )


def test_hosted_case_51_loss_of_a_further_place_names_the_attempt(hosted):
    reconcile()
    named = []

    def receive(attempt, actor, **_kwargs):
        named.append((attempt.pk, actor))

    signals.connection_lost.connect(receive)
    try:
        hosted.send(lost(link_to(KESTREL)))
    finally:
        signals.connection_lost.disconnect(receive)
    assert named == [(hosted.attempt.pk, "")]
    assert WebhookDelivery.objects.get().attempt_id == hosted.attempt.pk
    assert WebhookDelivery.objects.get().state == "processed"


@pytest.mark.parametrize("tell", [tell_by_webhook, tell_by_return, tell_by_poll])
def test_hosted_case_51_loss_told_too_early_is_heard(hosted, heard, tell):
    """Before anybody told of the connection, its loss comes."""
    press_done(hosted)
    told = completed(hosted.session)
    hosted.send(lost(link_to(KESTREL)))
    assert not places()
    if tell is tell_by_webhook:
        hosted.send(told)
    else:
        tell(hosted)
    reconcile()
    assert {place: state for place, (state, _) in places().items()} == {
        RIVERSIDE: "connected",
        KESTREL: "lost",
    }
    assert ("lost", "token_unavailable", "Kestrel Health Northport") in lines(
        hosted.attempt, "webhook"
    )
    assert heard.count("connection_lost") == 1
    assert hosted.attempt.lost_at is None


def test_hosted_case_51_records_are_of_their_place(hosted, heard):
    reconcile()
    for facility in (KESTREL, RIVERSIDE):
        hosted.send(synced(link_to(facility), f"evt_{facility}"))
    failed = synced(link_to(KESTREL), "evt_failed")
    failed["type"] = "records.sync.failed"
    failed["data"]["object"]["error_message"] = "The server stopped."
    failed["created_at"] = "2026-11-02T10:00:00.000Z"
    hosted.send(failed)
    assert lines(hosted.attempt, "webhook") == [
        ("records_sync_failed", "", "Kestrel Health Northport: The server stopped."),
        ("records_synced", "", "Kestrel Health Northport: total 128, errors 0"),
        ("records_synced", "", "total 128, errors 0"),
    ]
    rows = {row.place_id: row for row in PatientConnection.objects.all()}
    assert rows[KESTREL].lacks_records
    assert rows[RIVERSIDE].records_at
    assert not rows[RIVERSIDE].records_failed_at
    assert heard[-3:] == ["records_synced", "records_synced", "records_sync_failed"]


def test_hosted_case_51_loss_that_no_webhook_told_is_heard(hosted, heard, user):
    reconcile()
    flows.lose_access(link_to(KESTREL))
    for _ in range(2):
        forget_snapshot(Patient(str(user.pk)))
        hosted.client.get("/records/connections/")
    assert places()[KESTREL][0] == "lost"
    assert ("lost", "", "Kestrel Health Northport") in lines(hosted.attempt)
    assert heard.count("connection_lost") == 1
    assert hosted.attempt.lost_at is None


def test_hosted_case_51_place_that_the_list_told_first_comes_of_the_attempt(hosted, heard, user):
    hosted.client.get("/records/connections/")
    assert {attempt for _, attempt in places().values()} == {None}
    link = link_to(KESTREL)
    flows.lose_access(link)
    forget_snapshot(Patient(str(user.pk)))
    hosted.client.get("/records/connections/")
    assert "connection_lost" not in heard
    reconcile()
    assert places() == {
        KESTREL: ("lost", hosted.attempt.pk),
        RIVERSIDE: ("connected", hosted.attempt.pk),
    }
    assert ("lost", "", "Kestrel Health Northport") in lines(hosted.attempt)
    assert heard.count("connection_lost") == 1


@pytest.mark.parametrize("place", [RIVERSIDE, KESTREL])
def test_hosted_case_51_each_place_is_disconnected_here(hosted, heard, place):
    reconcile()
    link = link_to(place)
    hosted.post("/records/connections/disconnect/", {"connection": link.conn_id})
    other = KESTREL if place == RIVERSIDE else RIVERSIDE
    assert {place: state for place, (state, _) in places().items()} == {
        place: "disconnected",
        other: "connected",
    }
    named = "Kestrel Health Northport" if place == KESTREL else ""
    assert lines(hosted.attempt, "site")[-1] == ("disconnected", "", named)
    assert heard.count("connection_lost") == 1


@pytest.mark.parametrize("is_holder_first", [True, False])
def test_hosted_case_51_two_links_of_a_place_are_one_place(hosted, heard, is_holder_first):
    flows.approve(hosted.session, RIVERSIDE)
    flows.approve(hosted.session, KESTREL)
    reconcile()
    assert places() == connected(hosted.attempt, RIVERSIDE, KESTREL)
    assert lines(hosted.attempt) == TOLD
    page = hosted.client.get("/records/connections/").content.decode()
    assert page.count("Riverside General</") == page.count("Kestrel Health Northport</")
    for number, facility in enumerate((RIVERSIDE, KESTREL)):
        links = SandboxConnection.objects.filter(connection_id=facility)
        holder = hosted.attempt.patient_connection_id
        first, second = sorted(links, key=lambda link: (link.conn_id == holder) != is_holder_first)
        hosted.send(lost(first, f"evt_{number}_1"))
        assert places()[facility][0] == "connected"
        assert heard.count("connection_lost") == number
        hosted.send(lost(second, f"evt_{number}_2"))
        assert places()[facility][0] == "lost"
        assert heard.count("connection_lost") == number + 1
    assert hosted.attempt.lost_at is not None


def test_hosted_case_51_two_links_of_each_place_are_disconnected_here(hosted, heard):
    flows.approve(hosted.session, RIVERSIDE)
    flows.approve(hosted.session, KESTREL)
    reconcile()
    for number, facility in enumerate((RIVERSIDE, KESTREL), 1):
        link = SandboxConnection.objects.filter(connection_id=facility).first()
        hosted.post("/records/connections/disconnect/", {"connection": link.conn_id})
        assert places()[facility][0] == "disconnected"
        assert heard.count("connection_lost") == number
    assert hosted.attempt.lost_at is not None


def test_hosted_case_51_two_links_that_no_webhook_told_lost(hosted, heard, user):
    flows.approve(hosted.session, RIVERSIDE)
    reconcile()
    links = SandboxConnection.objects.filter(connection_id=RIVERSIDE)
    for number, link in enumerate(links.order_by("-conn_id")):  # the attempt's own first
        assert heard.count("connection_lost") == 0
        flows.lose_access(link)
        for _ in range(2):
            forget_snapshot(Patient(str(user.pk)))
            hosted.client.get("/records/connections/")
        assert (hosted.attempt.lost_at is not None) == (number == 1)
    assert heard.count("connection_lost") == 1
    assert hosted.attempt.events.filter(kind="lost").count() == 2


@pytest.mark.parametrize("is_first_lost", [True, False])
def test_hosted_case_51_link_that_replaced_another_is_the_attempts(hosted, heard, is_first_lost):
    """Connecting a place anew in the session may end its first link."""
    flows.approve(hosted.session, RIVERSIDE)
    links = SandboxConnection.objects.filter(connection_id=RIVERSIDE).order_by("pk")
    gone, works = links if is_first_lost else reversed(links)
    flows.disconnect(gone)
    press_done(hosted)
    tell_by_return(hosted)
    attempt = hosted.attempt
    assert (attempt.connection_status, attempt.patient_connection_id) == (
        "active",
        works.conn_id,
    )
    assert attempt.lost_at is None
    assert "connection_lost" not in heard


def test_hosted_case_51_session_that_expired_with_a_connection_succeeded(hosted, heard):
    flows.let_expire(hosted.session)
    reconcile()
    attempt = hosted.attempt
    assert (attempt.status, attempt.settled_at is not None) == ("succeeded", True)
    assert places() == connected(attempt, RIVERSIDE, KESTREL)
    assert "attempt_expired" not in heard


def test_hosted_case_51_places_of_one_name_are_told_apart(hosted):
    flows.approve(hosted.session, LANTERN)
    flows.approve(hosted.session, LANTERN_OF_THE_SAME_NAME)
    reconcile()
    connected = [line for line in lines(hosted.attempt) if line[0] == "connected"]
    assert connected.count(("connected", "", "Lantern Hill Clinic")) == 2
    for number, facility in enumerate((LANTERN, LANTERN_OF_THE_SAME_NAME)):
        hosted.send(synced(link_to(facility), f"evt_{number}"))
    assert len(lines(hosted.attempt, "webhook")) == 2


def test_hosted_case_51_name_that_is_told_later_tells_no_line_anew(hosted):
    press_done(hosted)
    Facility.objects.all().delete()
    CatalogSync.objects.all().delete()
    cache.clear()
    tell_by_webhook(hosted)
    assert ("connected", "", KESTREL) in lines(hosted.attempt, "webhook")
    reconcile()
    again = {**completed(hosted.session), "id": "evt_again"}
    hosted.send(again)
    assert len(lines(hosted.attempt, "webhook")) == len(TOLD)
    assert lines(hosted.attempt) in ([], TOLD)


def test_hosted_case_51_status_that_was_never_seen_says_nothing(hosted, medblocks):
    def show_pending(session):
        for row in session.get("connections", []):
            if row["connection_id"] == KESTREL:
                row |= {"status": "pending", "id": None}
        return session

    medblocks.change("GET", "/patient-sessions/", show_pending)
    reconcile()
    assert lines(hosted.attempt) == [TOLD[0], TOLD[2]]
    medblocks.mend()
    reconcile()
    assert lines(hosted.attempt) == TOLD


def test_hosted_case_51_first_place_is_the_one_that_was_connected_first(hosted, medblocks):
    """In whatever order Medblocks lists them."""
    SandboxConnection.objects.filter(connection_id=KESTREL).update(
        created_at=timezone.now() - timedelta(hours=1)
    )
    reconcile()
    attempt = hosted.attempt
    assert (attempt.connection_id, attempt.place_id) == (KESTREL, KESTREL)
    assert places() == connected(attempt, RIVERSIDE, KESTREL)
