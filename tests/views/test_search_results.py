"""What a patient is told of a place: among the results, and before typing."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from medblocks_connect.models import PatientConnection
from tests.views.search_pages import TYPING, configure, names, search, text_of

pytestmark = pytest.mark.django_db


def test_state_is_said_and_the_prefix_is_not(client_in, add_catalog):
    add_catalog()
    page = search(client_in, "NY rebecca fishman")
    told = text_of(page)
    assert "Rebecca Fishman MD New York" in told
    assert "You will sign in at Rebecca Fishman MD\u2019s own portal and come back here." in told
    assert "NY - Rebecca" not in told


def test_facility_alone_tells_no_portal(client_in, add_catalog):
    add_catalog(("Mercy", "epic"), portal_url="https://www.mychart.east.example/login")
    page = text_of(search(client_in, "mercy"))
    assert "Portal:" not in page


def test_same_names_of_different_portals_show_the_portals(client_in, add_catalog):
    rows = add_catalog(("Mercy", "epic"), ("MERCY", "epic"))
    for row, host in zip(rows, ("east", "west"), strict=True):
        row.portal_url = f"https://www.{host}.example/login"
        row.save()
    page = text_of(search(client_in, "mercy"))
    assert "Portal: east.example" in page
    assert "Portal: west.example" in page
    assert "Entry" not in page


def test_same_names_without_portals_show_the_servers(client_in, add_catalog):
    add_catalog(("Mercy", "epic"), ("Mercy", "epic"), fhir_base_url="https://fhir.east.example/r4")
    page = text_of(search(client_in, "mercy"))
    assert page.count("Server: fhir.east.example") == 2


def test_same_names_that_nothing_tells_apart_are_numbered(client_in, add_catalog):
    add_catalog(("Mercy", "epic"), ("Mercy", "epic"))
    page = text_of(search(client_in, "mercy"))
    assert "Place 1 of 2 with this name" in page
    assert "Place 2 of 2 with this name" in page


def test_same_names_are_numbered_over_all_pages(client_in, add_catalog):
    add_catalog(*[("Mercy", "epic")] * 25)
    first = text_of(search(client_in, "mercy", TYPING))
    second = text_of(search(client_in, "mercy", TYPING, starting_after="local:20"))
    assert "Place 20 of 25 with this name" in first
    assert "Place 21 of 25 with this name" in second


def test_same_name_on_the_next_page_is_told_apart(client_in, add_catalog):
    rows = add_catalog(*[("Mercy", "epic")] * 21)
    for number, row in enumerate(rows):
        row.portal_url = f"https://portal-{number}.example/login"
        row.save()
    second = text_of(search(client_in, "mercy", TYPING, starting_after="local:20"))
    assert second.count("Portal: portal-") == 1


def test_same_names_of_two_groups_are_told_apart(client_in, add_catalog, connect, settings):
    add_catalog(("Mercy", "epic"), ("Mercy", "epic"))
    connect(0, lost_at=timezone.now())
    configure(settings, PINNED_FACILITIES=["fhirsrc_1"])
    page = text_of(search(client_in, ""))
    assert "Place 1 of 2 with this name" in page
    assert "Place 2 of 2 with this name" in page


def test_place_found_by_an_alias_says_so(client_in, add_catalog, settings):
    configure(settings, FACILITY_ALIASES={"the Brigham": "fhirsrc_11"})
    add_catalog()
    page = search(client_in, "brigham", TYPING)
    assert "Northwestern Memorial Hospital Also called the Brigham" in text_of(page)
    assert "<mark>Brigham</mark>" in page


def test_pinned_place_says_what_it_is_called_too(client_in, add_catalog, settings):
    aliases = {"the Brigham": "fhirsrc_11"}
    configure(settings, FACILITY_ALIASES=aliases, PINNED_FACILITIES=["fhirsrc_11"])
    add_catalog()
    assert "Also called the Brigham" in text_of(search(client_in, ""))


def test_hostile_portal_is_not_shown(client_in, add_catalog):
    add_catalog(("Mercy", "epic"), ("Mercy", "epic"), portal_url="javascript://evil.example/x")
    assert "evil.example" not in search(client_in, "mercy")


def test_hostile_name_is_escaped(client_in, add_catalog):
    add_catalog(("<script>alert(1)</script> Mercy", "epic"))
    page = search(client_in, "mercy script")
    assert "<script>alert" not in page


def test_places_used_before_come_before_typing(client_in, add_catalog, connect):
    add_catalog()
    connect(2, lost_at=timezone.now())
    page = search(client_in, "")
    assert "Connect again to a place you used before" in page
    assert "You are connected to" not in page
    assert names(page) == ["Riverside Dental, LLC"]


def test_places_connected_now_are_named_and_not_offered(client_in, add_catalog, connect):
    add_catalog()
    connect(2)
    page = search(client_in, "")
    assert "You are connected to Riverside Dental, LLC" in text_of(page)
    assert "Connect again" not in page
    assert names(page) == []


def test_pinned_place_that_is_connected_is_not_offered(client_in, add_catalog, connect, settings):
    add_catalog()
    connect(1)
    configure(settings, PINNED_FACILITIES=["fhirsrc_1", "fhirsrc_2"])
    assert names(search(client_in, "")) == ["Riverside Dental, LLC"]


def test_result_says_that_it_is_connected(client_in, add_catalog, connect):
    add_catalog(("Mercy", "epic"), ("Mercy Clinic", "epic"))
    connect(0)
    page = text_of(search(client_in, "mercy", TYPING))
    assert page.count("You are connected") == 1
    assert "Mercy You are connected Record system" in page


def test_retry_that_failed_ends_no_connection(client_in, add_catalog, connect):
    add_catalog(("Mercy", "epic"))
    connect(0)
    connect(0, status="failed")
    assert "You are connected" in search(client_in, "mercy", TYPING)


@pytest.mark.parametrize("columns", [{"state": "lost"}, {"patient_id": "somebody"}])
def test_lost_and_others_connections_are_not_told(client_in, add_catalog, connect, columns):
    add_catalog(("Mercy", "epic"))
    connect(0)
    PatientConnection.objects.update(**columns)
    assert "You are connected" not in search(client_in, "mercy", TYPING)


def test_connections_cost_one_query_a_page(client_in, add_catalog, connect):
    add_catalog(*((f"Mercy {number}", "epic") for number in range(45)))
    connect(*range(45))
    search(client_in, "mercy", TYPING)
    with CaptureQueriesContext(connection) as asked:
        page = search(client_in, "mercy", TYPING)
    assert page.count("You are connected") == 20
    ours = PatientConnection._meta.db_table
    assert len([each for each in asked if f'"{ours}"' in each["sql"].replace("`", '"')]) == 1


def test_hosts_places_come_before_typing(client_in, add_catalog, settings):
    add_catalog()
    configure(settings, PINNED_FACILITIES=["fhirsrc_1"])
    assert names(search(client_in, "")) == ["Riverside Health System"]
