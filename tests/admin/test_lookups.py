"""Case 70: an address narrows a list down by its filters alone, whatever else is written in it."""

from __future__ import annotations

import logging
from itertools import cycle

import pytest
from django.contrib import admin
from django.core import mail
from django.db.models import Lookup
from django.http import QueryDict
from django.urls import reverse

from medblocks_connect.admin.filters import AddressFilter
from medblocks_connect.models import (
    CatalogSync,
    Facility,
    FacilityRequest,
    MissingFacility,
    WebhookDelivery,
)
from tests.admin.conftest import ATTEMPTS, DELIVERIES

MODELS = [model for model in admin.site._registry if model._meta.app_label == "medblocks_connect"]
EXPORT = f"{ATTEMPTS}export/"
HIDDEN = "hidden-patient"
ODD = [
    "",
    "(((",
    "%",
    "\0",
    "0",
    "-1",
    "1e309",
    "\U0001f3e5",
    "true",
    "a,b",
    "x" * 9000,
    "a " * 1500,
    "2026-99-99",
]
OF_DJANGO = ["q", "o", "p", "all", "e", "_facets", "_popup", "_to_field", "_changelist_filters"]

each_list = pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.model_name)


def list_address(model) -> str:
    return reverse(f"admin:medblocks_connect_{model._meta.model_name}_changelist")


def list_names(model, depth=2) -> list[str]:
    """Return the names of every field that a lookup may begin with, across two relations."""
    names = ["pk"]
    for field in model._meta.get_fields(include_hidden=True):
        name = field.name
        names += [name, getattr(field, "attname", name)]
        if field.is_relation and depth:
            names += [f"{name}__{each}" for each in list_names(field.related_model, depth - 1)]
    return list(dict.fromkeys(names))


def list_comparisons() -> list[str]:
    """Return the names of all lookups and transforms that any field of Django's has."""
    found, waiting = set(), [Lookup]
    while waiting:
        each = waiting.pop()
        found.add(getattr(each, "lookup_name", None))
        waiting += each.__subclasses__()
    return ["", *sorted(filter(None, found)), "year__gte", "date", "length", "nonsense"]


COMPARISONS = list_comparisons()


def list_own_parameters(model) -> set[str]:
    filters = admin.site._registry[model].list_filter
    assert all(issubclass(each, AddressFilter) for each in filters)
    return {name for each in filters for name in each.expected_parameters()}


@pytest.fixture
def clerk(make_staff, make_attempt, settings):
    """Rows of every kind; return a browser of somebody with the one permission of a list."""
    settings.DEBUG = False
    for number, patient in enumerate(["p-1", HIDDEN]):
        lost = {"lost_at": "2026-01-02T03:04Z", "status": "succeeded"} if number else {}
        attempt = make_attempt(patient_id=patient, actor=f"{patient}-actor", **lost)
        WebhookDelivery.objects.create(
            event_id=f"evt_{number}",
            attempt=attempt,
            patient_session_id=f"ps_{number}",
            payload=f'{{"patient": "{patient}"}}',
        )
        Facility.objects.create(connection_id=f"fhirsrc_{number}", name=f"Hospital {number}")
        CatalogSync.objects.create(base_url=f"https://{patient}.test", cursor=patient)
        missing = MissingFacility.objects.create(text=f"{number}", folded=f"{number}")
        FacilityRequest.objects.create(missing=missing, patient_id=patient, note=patient)

    def sign_in(model):
        return make_staff(admin.site._registry[model].view_permission.partition(".")[2])

    return sign_in


@pytest.fixture(autouse=True)
def nobody_is_mailed(settings, caplog):
    settings.ADMINS = [("A", "admin@example.com")]
    yield
    assert mail.outbox == []
    assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


@each_list
def test_lookup_case_70_by_any_field_leads_to_the_list_without_it(clerk, model):
    client, address = clerk(model), list_address(model)
    own, odd = list_own_parameters(model), cycle(ODD)
    for name in list_names(model, depth=1):
        query = QueryDict(mutable=True)
        for comparison in COMPARISONS:
            parameter = f"{name}__{comparison}" if comparison else name
            if parameter not in own:
                query[parameter] = next(odd)
        response = client.get(f"{address}?{query.urlencode()}")
        assert (response.status_code, response.get("Location")) == (302, address), name


@each_list
def test_lookup_alone_leads_to_the_list_without_it(clerk, model):
    """One at a time: what some field has, no other lookup in the address has to lead away from."""
    model_admin, own = admin.site._registry[model], list_own_parameters(model)
    for name in list_names(model):
        for comparison in COMPARISONS:
            parameter = f"{name}__{comparison}" if comparison else name
            is_allowed = model_admin.lookup_allowed(parameter, "x", None)
            assert is_allowed == (parameter in own), parameter


@each_list
def test_lookup_leaves_the_lists_own_parameters(clerk, model):
    client, address = clerk(model), list_address(model)
    kept = f"q=a&{min(list_own_parameters(model))}=x&p=1"
    response = client.get(f"{address}?{kept}&pk__gt=0&nonsense=1")
    assert (response.status_code, response["Location"]) == (302, f"{address}?{kept}")
    shown = client.get(f"{address}?nonsense=1", follow=True)
    assert "a filter that this list does not have: it was left out" in shown.content.decode()
    assert shown.context["cl"].result_count == client.get(address).context["cl"].result_count


@each_list
@pytest.mark.parametrize("value", ODD, ids=lambda value: repr(value[:9]))
def test_odd_values_of_the_lists_own_parameters_are_no_errors(clerk, model, value):
    client, address = clerk(model), list_address(model)
    for name in [*list_own_parameters(model), *OF_DJANGO]:
        response = client.get(address, {name: value}, follow=True)
        assert response.status_code == 200, (name, value)
        assert all(status == 302 for _, status in response.redirect_chain)


@each_list
@pytest.mark.parametrize("name", ["patient_id", "payload", "attempt", "attempt__patient_id", "x"])
def test_to_field_that_is_no_key_is_left_out(clerk, model, name):
    client, address = clerk(model), list_address(model)
    response = client.get(address, {"_to_field": name, "q": "a"})
    assert (response.status_code, response["Location"]) == (302, f"{address}?q=a")
    assert client.get(address, {"_to_field": "id"}).status_code == 200
    key = model._default_manager.values_list("pk", flat=True).first()
    pages = admin.site._registry[model].urls
    if any(each.name and each.name.endswith("_change") for each in pages):
        page = f"{address}{key}/change/"
        assert client.get(page, {"_to_field": name})["Location"] == page
        assert client.get(page, {"payload__contains": "x"}).status_code in {200, 302}


@pytest.mark.parametrize(
    "lookup",
    [
        "payload__contains",
        "attempt__patient_id",
        "attempt__patient_id__startswith",
        "attempt__actor__gt",
        "patient_session_id__startswith",
        "digest__regex",
    ],
)
def test_lookup_case_70_among_deliveries_tells_nothing_of_patients(clerk, lookup):
    client = clerk(WebhookDelivery)
    pages = [
        client.get(DELIVERIES, {lookup: text}, follow=True) for text in ("h", HIDDEN, "zz", "(((")
    ]
    assert {page.context["cl"].result_count for page in pages} == {2}
    assert not any(HIDDEN in page.content.decode() for page in pages)


def test_lookup_without_permission_is_403(make_staff):
    response = make_staff().get(f"{DELIVERIES}?payload__contains=x")
    assert response.status_code == 403


def test_lookup_in_the_exports_address_exports_nothing(make_staff, make_attempt):
    make_attempt()
    client = make_staff("view_patientconnectionattempt", "export_patientconnectionattempt")
    response = client.post(f"{EXPORT}?patient_id__startswith=p", follow=True)
    assert response.redirect_chain == [(ATTEMPTS, 302)]
    assert "Nothing was exported" in response.content.decode()
