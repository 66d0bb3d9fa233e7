"""The admin of the catalog and of missing facilities."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.utils import timezone

from medblocks_connect.models import CatalogSync, FacilityRequest, MissingFacility

pytestmark = pytest.mark.django_db

ADMIN = "/admin/medblocks_connect"


@pytest.fixture
def staff(client):
    """Return a browser of staff with the permissions named."""

    def sign_in(*permissions):
        user = get_user_model().objects.create_user("staff", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client.force_login(user)
        return client

    return sign_in


def show(client, path):
    response = client.get(f"{ADMIN}/{path}")
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.parametrize("path", ["facility/", "catalogsync/", "missingfacility/"])
def test_facility_lists_without_permission_are_403(staff, path):
    assert staff("view_patientconnectionattempt").get(f"{ADMIN}/{path}").status_code == 403


def test_facility_is_found_by_part_of_its_name(staff, add_catalog):
    add_catalog()
    page = show(staff("view_facility"), "facility/?q=sinai")
    assert "Mt Sinai Heart &amp; Lung" in page
    assert "Riverside" not in page


def test_withdrawn_facilities_have_a_list_of_their_own(staff, add_catalog):
    rows = add_catalog()
    rows[0].withdrawn_at = timezone.now()
    rows[0].save()
    page = show(staff("view_facility"), "facility/?withdrawn=yes")
    assert "Riverside General Hospital" in page
    assert "Riverside Health System" not in page


def test_fresh_catalog_shows_no_warning(staff, add_catalog):
    add_catalog()
    assert "medblocks_sync_facilities" not in show(staff("view_facility"), "facility/")


def test_old_catalog_shows_a_warning(staff, add_catalog):
    add_catalog()
    CatalogSync.objects.update(finished_at=timezone.now() - timedelta(days=8))
    page = show(staff("view_facility"), "facility/")
    assert "The catalog is older than 7 days. Run manage.py medblocks_sync_facilities." in page


def test_missing_catalog_shows_a_hint(staff, db):
    assert "There is no local catalog" in show(staff("view_facility"), "facility/")


def test_syncs_are_listed(staff, add_catalog):
    add_catalog()
    assert ">18<" in show(staff("view_catalogsync"), "catalogsync/")


def test_missing_facilities_come_the_most_wanted_first(staff):
    MissingFacility.objects.create(text="Seldom", folded="seldom", searches=9)
    MissingFacility.objects.create(text="Wanted", folded="wanted", requests=2)
    page = show(staff("view_missingfacility"), "missingfacility/")
    assert page.index("Wanted") < page.index("Seldom")


def test_names_beyond_the_limit_are_one_row_that_says_so(staff):
    row = MissingFacility.objects.create(text="", folded="", searches=9)
    client = staff("view_missingfacility")
    for path in ("missingfacility/", f"missingfacility/{row.pk}/change/"):
        assert "(further names, once the list was full)" in show(client, path)


def test_note_is_shown_with_the_missing_facility(staff):
    row = MissingFacility.objects.create(text="Wanted", folded="wanted", requests=1)
    FacilityRequest.objects.create(missing=row, note="in <b>town</b>")
    client = staff("view_missingfacility", "view_facilityrequest")
    page = show(client, f"missingfacility/{row.pk}/change/")
    assert "in &lt;b&gt;town&lt;/b&gt;" in page


def test_missing_facility_is_deleted_by_whoever_may(staff):
    row = MissingFacility.objects.create(text="Wanted", folded="wanted", requests=1)
    client = staff("view_missingfacility", "delete_missingfacility", "delete_facilityrequest")
    client.post(f"{ADMIN}/missingfacility/{row.pk}/delete/", {"post": "yes"})
    assert not MissingFacility.objects.exists()


def test_missing_facility_is_not_deleted_by_others(staff):
    row = MissingFacility.objects.create(text="Wanted", folded="wanted", requests=1)
    client = staff("view_missingfacility")
    assert client.post(f"{ADMIN}/missingfacility/{row.pk}/delete/").status_code == 403
