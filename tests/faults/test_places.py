"""Cases 50 and 53: a place is one, by whichever name it was chosen, with any number of links."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest
from django.test import Client
from django.utils import timezone

from medblocks_connect.attempts.place_ids import adopt_place_ids
from medblocks_connect.facilities.catalog import catalog_base_url
from medblocks_connect.models import (
    CatalogSync,
    Facility,
    PatientConnection,
    PatientConnectionAttempt,
)
from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.fictional_catalog import find_facility
from tests.faults.clinic import RIVERSIDE
from tests.faults.events import completed, lost

pytestmark = pytest.mark.django_db

FHIR_URL = find_facility(RIVERSIDE).fhir_base_url.rstrip("/")
NAMES = {"id": RIVERSIDE, "url": FHIR_URL, "url-with-a-slash": f"{FHIR_URL}/"}
QUEUE = "/admin/medblocks_connect/lostconnection/"


def win(clinic, name):
    """Connect the place by one of its names; return Medblocks' link."""
    clinic.started(NAMES[name])
    link = flows.approve(clinic.session)
    clinic.come_back()
    assert clinic.attempt.status == "succeeded"
    return link


def list_places(clinic):
    page = clinic.client.get("/records/connections/").context["connections"]
    return [place.state for place in page.places]


def list_queue(django_user_model):
    staff = Client()
    staff.force_login(django_user_model.objects.create_superuser("root", password="root"))
    return list(staff.get(QUEUE).context["cl"].result_list)


@pytest.mark.parametrize(
    ("first", "second"), [*permutations(NAMES, 2)], ids=lambda name: f"case-50-{name}"
)
def test_place_lost_by_one_name_and_won_back_by_another_is_one(
    clinic, django_user_model, first, second
):
    flows.lose_access(win(clinic, first))
    assert list_places(clinic) == ["lost"]
    win(clinic, second)
    assert list_places(clinic) == ["connected"]
    assert PatientConnection.objects.count() == 1
    assert list_queue(django_user_model) == []
    search = clinic.client.get("/records/search/").context["results"].suggested
    assert [group.reason for group in search] == ["connected"]


def test_place_case_50_known_by_its_url_gets_the_id_that_a_sync_tells(clinic):
    win(clinic, "id")
    # As a Medblocks that names nothing but the URL would have left it.
    PatientConnection.objects.update(place_id=FHIR_URL)
    PatientConnectionAttempt.objects.update(place_id=FHIR_URL)
    CatalogSync.objects.create(base_url=catalog_base_url(), finished_at=timezone.now())
    Facility.objects.create(connection_id=RIVERSIDE, name="R", fhir_base_url=f"{FHIR_URL}/")
    assert adopt_place_ids() == 1
    assert PatientConnection.objects.get().place_id == RIVERSIDE
    assert PatientConnectionAttempt.objects.get().place_id == RIVERSIDE
    assert adopt_place_ids() == 0


def test_place_case_50_failed_twice_by_two_names_failed_twice(clinic):
    for name in ("url", "id"):
        clinic.started(NAMES[name])
        flows.fail(clinic.session, "oauth_error")
        clinic.come_back()
    assert "It did not work twice now" in clinic.page()


def test_place_case_53_with_one_of_two_links_lost_is_connected(clinic, django_user_model):
    first = win(clinic, "id")
    old = clinic.attempt
    PatientConnectionAttempt.objects.update(created_at=timezone.now() - timedelta(days=1))
    win(clinic, "id")
    clinic.send(lost(first))
    first.status = "refresh_failed"
    first.save()
    assert list_places(clinic) == ["connected"]
    assert list_queue(django_user_model) == []
    for attempt in (old, clinic.attempt):
        page = clinic.client.get(attempt.get_absolute_url()).content.decode()
        assert "You are connected" in page
        assert "has ended" not in page


def test_place_case_53_is_disconnected_by_all_its_links(clinic):
    links = [win(clinic, "id"), win(clinic, "id")]
    assert {link.conn_id for link in links} == {
        link.patient_connection_id for link in PatientConnection.objects.get().links.all()
    }
    clinic.post("/records/connections/disconnect/", {"connection": links[0].conn_id})
    for link in links:
        link.refresh_from_db()
    assert {link.status for link in links} == {"disconnected"}
    assert list_places(clinic) == ["disconnected"]


def test_place_case_53_of_which_one_link_did_not_end_says_so(clinic):
    links = [win(clinic, "id"), win(clinic, "id")]
    second = f"/patients/{clinic.attempt.patient_id}/connections/{links[1].conn_id}"
    clinic.medblocks.replace("DELETE", second, b"", 500)
    clinic.medblocks.replace("GET", "/patients/", b"", 500)
    answered = clinic.post("/records/connections/disconnect/", {"connection": links[0].conn_id})
    assert answered.status_code == 503
    assert "A part of this connection has ended. Another part may still be there." in (
        answered.content.decode()
    )
    clinic.medblocks.mend()
    # Medblocks had done it, and its answer was lost.
    assert list_places(clinic) == ["disconnected"]


def test_place_case_53_told_late_of_its_success_stays_lost(clinic):
    """The event of the success, sent again after the loss, is older than it."""
    link = win(clinic, "id")
    clinic.send(lost(link))
    link.status = "refresh_failed"
    link.save()
    clinic.send(completed(clinic.session, "evt_again"))
    assert list_places(clinic) == ["lost"]
