"""The filters and columns of every list have what themes of the admin read and set."""

from __future__ import annotations

import pytest

from medblocks_connect import admin
from medblocks_connect.models import CatalogSync, Facility, MissingFacility

ADMIN = "/admin/medblocks_connect"


@pytest.mark.parametrize(
    "model",
    [
        "patientconnectionattempt",
        "patienthistory",
        "lostconnection",
        "webhookdelivery",
        "facility",
        "catalogsync",
        "missingfacility",
    ],
)
def test_filter_of_every_list_has_what_themes_read(root, model):
    """django-unfold and django-jazzmin render filters themselves, some by ``parameter_name``."""
    CatalogSync.objects.create(workspace="north")
    MissingFacility.objects.create(workspace="north", text="a", folded="a")
    filters = root.get(f"{ADMIN}/{model}/").context["cl"].filter_specs
    assert filters
    for shown in filters:
        assert str(shown.title)
        assert shown.parameter_name in shown.expected_parameters()
        assert isinstance(shown.used_parameters, dict)
        assert shown.template


@pytest.mark.parametrize(("workspace", "shown"), [("", 2), ("north", 1), ("south", 0)])
def test_facilities_are_filtered_by_workspace(root, workspace, shown):
    for name in ("north", "sandbox"):
        Facility.objects.create(workspace=name, connection_id="fhirsrc_1")
    page = root.get(f"{ADMIN}/facility/?workspace__exact={workspace}")
    assert page.context["cl"].result_count == shown


@pytest.mark.parametrize("name", admin.__all__)
def test_column_of_no_list_is_named_request(name):
    """django-unfold's ``ModelAdmin`` keeps the request in ``self.request``, over such a column."""
    assert "request" not in getattr(admin, name).list_display
