"""A row belongs to the workspace of its time, and only that one's rows are used."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction

from medblocks_connect.facilities.catalog import find_catalog, find_in_catalog, get_index
from medblocks_connect.facilities.missing_facilities import count_search
from medblocks_connect.models import Facility, MissingFacility, filter_workspace

pytestmark = pytest.mark.django_db

LIVE = "mb_sk_live_1"


@pytest.fixture
def use(settings):
    """Change settings, as a site does that goes live."""

    def use_settings(**changes):
        settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, **changes}

    return use_settings


def test_row_is_of_the_keys_workspace(use):
    assert Facility.objects.create(connection_id="fhirsrc_1").workspace == "sandbox"
    use(API_KEY=LIVE)
    assert Facility.objects.create(connection_id="fhirsrc_2").workspace == "live"
    use(WORKSPACE="north")
    assert Facility.objects.create(connection_id="fhirsrc_3").workspace == "north"
    assert [row.connection_id for row in filter_workspace(Facility.objects.all())] == ["fhirsrc_3"]


def test_facility_is_once_in_each_workspace(use):
    Facility.objects.create(connection_id="fhirsrc_1")
    with pytest.raises(IntegrityError), transaction.atomic():
        Facility.objects.create(connection_id="fhirsrc_1")
    use(API_KEY=LIVE)
    Facility.objects.create(connection_id="fhirsrc_1")


def test_catalog_of_the_sandbox_is_none_of_the_live_key(add_catalog, use):
    rows = add_catalog(("Zebra Eye Institute", "epic"))
    assert find_in_catalog([rows[0].connection_id])
    use(API_KEY=LIVE)
    assert find_catalog() is None
    assert get_index() is None
    assert find_in_catalog([rows[0].connection_id]) is None


def test_catalog_stays_where_the_key_is_rotated(add_catalog, use):
    add_catalog()
    use(API_KEY="mb_sk_sbx_next")
    assert get_index() is not None


def test_two_workspaces_that_alternate_find_their_own_facilities_alone(add_catalog, use):
    add_catalog(("Zebra Eye Institute", "epic"))
    use(API_KEY=LIVE)
    add_catalog(("Lakeside Clinic", "epic"))
    for key, names in (("mb_sk_sbx_1", {"Zebra Eye Institute"}), (LIVE, {"Lakeside Clinic"})) * 2:
        use(API_KEY=key)
        index = get_index()
        assert {row.name for row in Facility.objects.in_bulk(list(index.keys)).values()} == names


def test_missing_facility_is_counted_in_each_workspace(use):
    count_search("Zebra Eye Institute")
    use(API_KEY=LIVE)
    count_search("Zebra Eye Institute")
    counts = MissingFacility.objects.order_by("id").values_list("workspace", "searches")
    assert list(counts) == [("sandbox", 1), ("live", 1)]


def test_admin_says_that_the_catalog_is_of_another_workspace(admin_client, add_catalog, use):
    add_catalog()
    page = "/admin/medblocks_connect/facility/"
    assert "is of the workspace" not in admin_client.get(page).text
    use(API_KEY=LIVE)
    text = admin_client.get(page).text
    assert "is of the workspace sandbox, and the API key opens live" in text
