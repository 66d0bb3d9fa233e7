"""Cases 42 and 43: what staff may take away, and that they can change nothing."""

from __future__ import annotations

import csv
import io
import re

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from medblocks_connect.models import PatientConnectionAttempt

OURS = [model for model in admin.site._registry if model._meta.app_label == "medblocks_connect"]


def sign_in(*codenames: str) -> Client:
    staff = get_user_model().objects.create_user("clerk", is_staff=True)
    staff.user_permissions.set(
        Permission.objects.filter(
            content_type__app_label="medblocks_connect", codename__in=codenames
        )
    )
    client = Client()
    client.force_login(staff)
    return client


def address(model: type, page: str, *args: object) -> str:
    return reverse(f"admin:medblocks_connect_{model._meta.model_name}_{page}", args=args)


@pytest.fixture
def attempt(db):
    return PatientConnectionAttempt.objects.create(
        patient_id="p-1", status="failed", error="user_denied", patient_session_id="ps_1"
    )


@pytest.mark.parametrize(
    "start",
    [
        pytest.param("=1+1", id="case-42-equals"),
        pytest.param("+1", id="case-42-plus"),
        pytest.param("-1", id="case-42-minus"),
        pytest.param("@SUM(A1)", id="case-42-at"),
        pytest.param("\t=1", id="case-42-tab"),
        pytest.param("\r=1", id="case-42-return"),
    ],
)
def test_export_holds_no_formula(attempt, start):
    PatientConnectionAttempt.objects.update(
        patient_id=start, error=start, error_description=start, connection_name=start
    )
    client = sign_in("view_patientconnectionattempt", "export_patientconnectionattempt")
    answered = client.post(f"{address(PatientConnectionAttempt, 'changelist')}export/")
    text = b"".join(answered).decode("utf-8-sig")
    (_, row) = csv.reader(io.StringIO(text, newline=""))
    assert row.count(f"'{start}") >= 3
    assert not [cell for cell in row if cell[:1] in "=+-@\t\r" and cell]


@pytest.mark.parametrize(
    "model", [pytest.param(each, id=f"case-43-{each._meta.model_name}") for each in OURS]
)
def test_staff_without_permission_are_refused(attempt, model):
    client = sign_in()
    lists = address(model, "changelist")
    assert client.get(lists).status_code == 403
    assert client.get(f"{lists}{attempt.pk}/change/").status_code in {403, 404}
    assert (
        client.post(address(model, "changelist"), {"action": "delete_selected"}).status_code == 403
    )


@pytest.mark.parametrize(
    "model", [pytest.param(each, id=f"case-43-{each._meta.model_name}") for each in OURS]
)
def test_staff_with_view_permission_change_nothing(attempt, model):
    views = [f"view_{each._meta.model_name}" for each in OURS]
    client = sign_in(*views)
    page = client.get(address(model, "changelist"))
    assert page.status_code == 200
    assert set(forms_posted(page.content.decode())) <= {reverse("admin:logout")}
    assert 'name="_save"' not in page.content.decode()


CAN_BE_SENT = re.compile(
    r"""<button\b(?![^>]*type=["']?button)|type=["']?(submit|image)""", re.IGNORECASE
)


def forms_posted(page: str) -> list[str]:
    """Return where each form of ``page`` that can be sent by POST goes."""
    targets = []
    for tag, inside in re.findall(r"(<form\b[^>]*>)(.*?)</form>", page, re.DOTALL | re.IGNORECASE):
        is_posted = re.search(r"""\bmethod=["']?post""", tag, re.IGNORECASE)
        address = re.search(r"""\baction=["']?([^"'\s>]*)""", tag, re.IGNORECASE)
        if is_posted and (address or CAN_BE_SENT.search(inside)):
            targets.append(address[1] if address else "to itself")
    targets += re.findall(r"""\bformaction=["']?([^"'\s>]*)""", page, re.IGNORECASE)
    return targets


@pytest.mark.parametrize(
    ("form", "targets"),
    [
        ('<form method="post" action="/a/"></form>', ["/a/"]),
        ("<form action=/a/ method=POST><input></form>", ["/a/"]),
        ('<form id="x"\n method="post"><button>Go</button></form>', ["to itself"]),
        ('<form method="post"><input type="submit"></form>', ["to itself"]),
        ('<form method="post"><button type="button">x</button></form>', []),
        ('<form method="get" action="/a/"><button>Go</button></form>', []),
        (
            '<form method="get"><button formaction="/b/" formmethod="post">Go</button></form>',
            ["/b/"],
        ),
    ],
)
def test_forms_posted_finds_every_form(form, targets):
    assert forms_posted(form) == targets
