"""Who the patient is."""

from __future__ import annotations

import re
from uuid import UUID

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured

from medblocks_connect.patients import (
    ACTOR_MAX_LENGTH,
    Patient,
    is_form_of,
    resolve_patient,
    sign_form_patient,
)


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


@pytest.fixture
def resolve_to(rf, settings, monkeypatch):
    """Let the host's resolver name a patient, and ask it."""

    def resolve(patient):
        monkeypatch.setattr("tests.resolvers.nobody", lambda _request: patient)
        settings.MEDBLOCKS_CONNECT = settings.MEDBLOCKS_CONNECT | {
            "PATIENT_RESOLVER": "tests.resolvers.nobody"
        }
        return resolve_patient(rf.get("/"))

    return resolve


@pytest.mark.parametrize(
    "patient_id",
    ["abc ", " abc", "\u00a0abc", "Jose\u0301", "a\u200eb", "a\nb", "a\x00", "\ud800"],
    ids=["space-after", "space-before", "no-break-space", "nfd", "mark", "line", "nul", "half"],
)
def test_patient_id_that_is_not_stored_alike_everywhere_is_refused(resolve_to, patient_id):
    with pytest.raises(ImproperlyConfigured, match="NFC"):
        resolve_to(Patient(patient_id))


@pytest.mark.parametrize("patient_id", ["x" * 200, "a/b", "..", "Jos\u00e9", "a b"])
def test_patient_id_of_any_other_shape_is_taken(resolve_to, patient_id):
    assert resolve_to(Patient(patient_id)).patient_id == patient_id


@pytest.mark.parametrize(
    "metadata",
    [{"a": {1}}, {"a": float("nan")}, {"a": UUID(int=0)}, {("a",): 1}, None, [("a", 1)]],
    ids=["set", "nan", "uuid", "key", "none", "pairs"],
)
def test_metadata_that_json_cannot_hold_is_refused(resolve_to, metadata):
    with pytest.raises(ImproperlyConfigured, match="metadata"):
        resolve_to(Patient("p-1", metadata=metadata))


@pytest.mark.parametrize("actor", ["", "x" * ACTOR_MAX_LENGTH, "nurse 7", "ann@example.org"])
def test_actor_of_any_shape_is_taken(resolve_to, actor):
    assert resolve_to(Patient("p-1", actor=actor)).actor == actor


@pytest.mark.parametrize(
    "actor",
    ["x" * (ACTOR_MAX_LENGTH + 1), "nurse ", "Jose\u0301", "a\u200eb", "a\nb", "a\x00", 7, None],
    ids=["long", "space", "nfd", "mark", "line", "nul", "number", "none"],
)
def test_actor_that_is_not_kept_alike_everywhere_is_refused(resolve_to, actor):
    with pytest.raises(ImproperlyConfigured, match=r"actor.*str\(request.user.pk\)"):
        resolve_to(Patient("p-1", actor=actor))


def test_actor_refused_is_not_in_the_error(resolve_to):
    with pytest.raises(ImproperlyConfigured) as refused:
        resolve_to(Patient("p-1", actor="ann@example.org "))
    assert "ann@" not in str(refused.value)


def test_patient_repr_shows_nothing():
    patient = Patient("p-1", email="pat@example.org", name="Pat", metadata={"ward": 7}, actor="ann")
    assert repr(patient) == "Patient()"


# Whom a form was made for.


def test_token_tells_patients_apart_and_names_none():
    ids = ["7", "77", "7 7", "chart-7", "CHART-7", "Ωμέγα", "x" * 200]
    tokens = {sign_form_patient(Patient(each)) for each in ids}
    assert len(tokens) == len(ids)
    assert all(re.fullmatch(r"[0-9a-f]{64}", token) for token in tokens)
    for made_for in ids:
        token = sign_form_patient(Patient(made_for))
        assert [each for each in ids if is_form_of(Patient(each), token)] == [made_for]


def test_token_says_nothing_of_what_else_is_known_of_the_patient():
    assert is_form_of(Patient("7", email="a@b.example"), sign_form_patient(Patient("7")))


@pytest.mark.parametrize("key", ["another", b"another"])
def test_token_of_another_site_is_another(settings, key):
    here = sign_form_patient(Patient("ann"))
    settings.SECRET_KEY = key
    assert sign_form_patient(Patient("ann")) != here
    assert not is_form_of(Patient("ann"), here)


def test_token_is_taken_while_its_key_is_a_fallback(settings):
    token = sign_form_patient(Patient("ann"))
    settings.SECRET_KEY_FALLBACKS = ["older", settings.SECRET_KEY]
    settings.SECRET_KEY = "new"
    assert is_form_of(Patient("ann"), token)
    assert not is_form_of(Patient("bob"), token)
    assert sign_form_patient(Patient("ann")) != token
    settings.SECRET_KEY_FALLBACKS = []
    assert not is_form_of(Patient("ann"), token)
