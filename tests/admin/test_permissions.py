"""Permissions: whoever may look sees the pages, and nobody changes anything."""

from __future__ import annotations

import re

import pytest
from django.core.management import call_command
from django.utils import timezone

from medblocks_connect.admin.links import attempt_url
from medblocks_connect.models import PatientConnectionAttempt
from tests.admin.conftest import ATTEMPTS, patient_page


def test_admin_passes_djangos_checks(db):
    call_command("check")


@pytest.fixture
def pages(make_attempt):
    attempt = make_attempt()
    return [
        ATTEMPTS,
        f"{ATTEMPTS}overview/",
        "/admin/medblocks_connect/patienthistory/",
        "/admin/medblocks_connect/lostconnection/",
        attempt_url(attempt.pk),
        patient_page(),
    ]


def test_pages_with_view_permission_are_200(staff, pages):
    assert [staff.get(page).status_code for page in pages] == [200] * len(pages)


def test_pages_without_permission_are_403(make_staff, pages):
    client = make_staff()
    assert [client.get(page).status_code for page in pages] == [403] * len(pages)


def test_pages_signed_out_redirect_to_login(client, pages):
    for page in pages:
        assert client.get(page)["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("superuser", [False, True])
def test_attempt_change_is_403_for_everybody(make_staff, make_attempt, superuser):
    client = make_staff(
        "add_patientconnectionattempt",
        "change_patientconnectionattempt",
        "delete_patientconnectionattempt",
        "view_patientconnectionattempt",
        superuser=superuser,
    )
    attempt = make_attempt(status="failed", error="user_denied")
    page = client.get(attempt_url(attempt.pk)).content.decode()
    assert 'name="_save"' not in page
    assert client.get(f"{ATTEMPTS}add/").status_code == 403
    assert client.post(f"{ATTEMPTS}add/", {"patient_id": "x"}).status_code == 403
    changed = client.post(attempt_url(attempt.pk), {"status": "succeeded"})
    assert changed.status_code == 403
    assert client.post(f"{ATTEMPTS}{attempt.pk}/delete/", {"post": "yes"}).status_code == 403
    action = {"action": "delete_selected", "_selected_action": [attempt.pk], "post": "yes"}
    client.post(ATTEMPTS, action)
    assert PatientConnectionAttempt.objects.get().status == "failed"


def test_first_page_without_permission_hides_the_section(make_staff, db):
    page = make_staff().get("/admin/").content.decode()
    assert "medblocks_connect" not in page


def test_section_page_links_to_permitted_pages(staff, db):
    page = staff.get("/admin/medblocks_connect/").content.decode()
    assert f"{ATTEMPTS}overview/" in page
    assert "webhookdelivery" not in page


def test_section_shows_on_the_first_page(staff, db):
    assert ATTEMPTS in staff.get("/admin/").content.decode()


def test_pages_without_time_zones_are_200(staff, settings, make_attempt):
    settings.USE_TZ = False
    now = timezone.now()
    attempt = make_attempt(
        status="succeeded", created_at=now, returned_at=now, lost_at=now, expires_at=now
    )
    for page in (
        ATTEMPTS,
        f"{ATTEMPTS}?since={now:%Y-%m-%d}",
        f"{ATTEMPTS}overview/",
        "/admin/medblocks_connect/patienthistory/",
        "/admin/medblocks_connect/lostconnection/",
        attempt_url(attempt.pk),
        patient_page(),
    ):
        assert staff.get(page).status_code == 200, page


def test_pages_have_no_inline_script_or_style(root, make_attempt):
    attempt = make_attempt(status="failed", error="x", patient_session_id="ps_1", request_id="r")
    for page in (
        ATTEMPTS,
        f"{ATTEMPTS}overview/",
        "/admin/medblocks_connect/patienthistory/",
        attempt_url(attempt.pk),
        patient_page(),
    ):
        html = root.get(page).content.decode()
        assert not re.search(r"<style|<script(?![^>]*\bsrc=)[^>]*>|\sstyle=|\son\w+=", html), page
