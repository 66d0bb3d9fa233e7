"""Who the patient is."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured

from medblocks_connect.patients import Patient, resolve_patient


@pytest.fixture
def request_of(rf):
    def make(user):
        request = rf.get("/")
        request.user = user
        return request

    return make


def test_signed_in_user_is_the_patient_and_nothing_else(request_of, user):
    user.email = "pat@example.org"
    assert resolve_patient(request_of(user)) == Patient(patient_id=str(user.pk))


def test_anonymous_user_is_nobody(request_of):
    assert resolve_patient(request_of(AnonymousUser())) is None


def test_request_without_a_user_is_nobody(rf):
    assert resolve_patient(rf.get("/")) is None


@pytest.mark.parametrize(
    "resolver", ["return_text", "return_empty_id", "return_long_id", "return_number"]
)
def test_resolver_that_names_no_patient_is_told_so(rf, settings, resolver):
    settings.MEDBLOCKS_CONNECT = settings.MEDBLOCKS_CONNECT | {
        "PATIENT_RESOLVER": f"tests.resolvers.{resolver}"
    }
    with pytest.raises(ImproperlyConfigured, match="PATIENT_RESOLVER"):
        resolve_patient(rf.get("/"))


def test_patient_repr_shows_nothing():
    patient = Patient("p-1", email="pat@example.org", name="Pat", metadata={"ward": 7})
    assert repr(patient) == "Patient()"
