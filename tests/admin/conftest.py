"""Staff, and attempts made as bare rows: the admin must show whatever is in the table."""

from __future__ import annotations

import secrets

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client

from medblocks_connect.admin.links import patient_url
from medblocks_connect.models import PatientConnectionAttempt
from tests import connected

ATTEMPTS = "/admin/medblocks_connect/patientconnectionattempt/"
PATIENTS = "/admin/medblocks_connect/patienthistory/"
QUEUE = "/admin/medblocks_connect/lostconnection/"
DELIVERIES = "/admin/medblocks_connect/webhookdelivery/"


def patient_page(patient_id: str = "p-1") -> str:
    """Return the address of a patient's page."""
    attempts = PatientConnectionAttempt.objects.filter(patient_id=patient_id)
    return patient_url(attempts.latest("pk").pk)


def create_attempt(**fields) -> PatientConnectionAttempt:
    """Make an attempt as a host's code may: from its bare fields, with a session once it began."""
    if fields.get("status", "created") != "created":
        fields.setdefault("patient_session_id", f"ps_{secrets.token_hex(8)}")
    fields = {
        "patient_id": "p-1",
        "connection_id": "fhirsrc_riverside",
        "connection_name": "Riverside General",
        "connection_type": "epic",
        **fields,
    }
    return connected.create_attempt(**fields)


@pytest.fixture
def make_attempt(db):
    return create_attempt


@pytest.fixture
def make_staff(db):
    """Return a browser in which a member of staff with just these permissions is signed in."""

    def make(*codenames: str, superuser: bool = False) -> Client:
        name = f"staff-{get_user_model().objects.count()}"
        create = get_user_model().objects.create_user
        user = create(name, password=name, is_staff=True, is_superuser=superuser)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        assert user.user_permissions.count() == len(codenames)
        client = Client()
        client.force_login(user)
        client.staff = user
        return client

    return make


@pytest.fixture
def staff(make_staff):
    """A clerk: Django's view permission and nothing more."""
    return make_staff("view_patientconnectionattempt")


@pytest.fixture
def root(make_staff):
    """A superuser."""
    return make_staff(superuser=True)
