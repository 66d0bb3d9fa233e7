"""The guards before every view: none of ours is routed without them, and a host's keep them."""

from __future__ import annotations

import pkgutil
import sys
from importlib import import_module

import pytest
from django.db import connections
from django.test import Client
from django.views import View

from medblocks_connect import urls, views
from medblocks_connect.patients import FORM_FIELD, Patient, sign_form_patient
from medblocks_connect.views import base
from medblocks_connect.views.base import HostIndependentView, PatientView
from medblocks_connect.views.webhook_receiver import WebhookView
from tests.views.host_view import GuardedView
from tests.views.test_base import FORM, SESSIONS, assert_private

pytestmark = pytest.mark.django_db

# The guards.


def list_views():
    """Return every view class that ``views/`` defines."""
    modules = [
        import_module(f"{views.__name__}.{module.name}")
        for module in pkgutil.iter_modules(views.__path__)
    ]
    return {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, View) and value.__module__ in sys.modules
        if value.__module__.startswith(views.__name__)
    }


@pytest.mark.parametrize("view", sorted(list_views(), key=lambda view: view.__name__))
def test_view_case_12_as_view_is_outside_the_hosts_middleware_and_transactions(view):
    routed = view.as_view()
    assert issubclass(view, HostIndependentView)
    assert routed.login_required is False
    assert routed.csrf_exempt is True
    assert set(connections) <= routed._non_atomic_requests


@pytest.mark.parametrize("pattern", urls.urlpatterns, ids=lambda pattern: str(pattern.pattern))
def test_url_leads_to_a_patients_view_or_to_the_webhook(pattern):
    view = pattern.callback.view_class
    assert issubclass(view, PatientView) or view is WebhookView
    assert view in list_views()


@pytest.mark.parametrize("view", sorted(list_views(), key=lambda view: view.__name__))
def test_view_leaves_the_order_of_guards_to_the_base(view):
    """A view of ours answers in its handlers: one that had a way around the guards would not."""
    own = {name for name in vars(view) if view.__module__ != base.__name__}
    assert own.isdisjoint({"as_view", "_pass_guards", "_answer_patient", "setup"})


@pytest.fixture
def send(settings):
    """Send a form to the host's view; return what was asked, and the answer."""
    settings.ROOT_URLCONF = "tests.views.host_view"
    settings.MEDBLOCKS_CONNECT = settings.MEDBLOCKS_CONNECT | {"THROTTLES": {"start": "1/d"}}
    client = Client(enforce_csrf_checks=True)
    client.cookies["csrftoken"] = "c" * 32

    def send(query="", token="c" * 32, **options):
        GuardedView.asked.clear()
        response = client.post(f"/own/{query}", headers={"X-CSRFToken": token}, **options)
        return GuardedView.asked[:], response

    return send


def test_host_view_without_a_patient_asks_nothing_more(send):
    asked, response = send("?nobody", token="")
    assert (asked, response.status_code) == (["patient"], 401)


def test_host_view_without_a_token_counts_nothing(send):
    asked, response = send(token="")
    assert (asked, response.status_code) == (["patient"], 403)
    assert send()[1].status_code == 200


def test_host_view_beyond_the_throttle_calls_no_handler(send):
    assert send(data={"text": "hello"})[1].text == "hello"
    asked, response = send()
    assert (asked, response.status_code) == (["patient", "form", "throttle"], 429)


def test_host_view_case_52_with_somebody_elses_form_counts_nothing(send):
    asked, response = send(data={FORM_FIELD: sign_form_patient(Patient("p-2"))})
    assert (asked, response.status_code) == (["patient", "form"], 409)
    assert response.text == "the host's own surprise"
    assert send(data={FORM_FIELD: sign_form_patient(Patient("p-1"))})[1].status_code == 200


def test_host_view_with_an_unreadable_form_answers_in_the_hosts_words(send):
    _asked, response = send(data=b"a=a&" * 1500, content_type=FORM)
    assert (response.status_code, response.text) == (400, "the host's own helplessness")


@pytest.mark.parametrize("query", ["", "?nobody"])
def test_host_view_is_private_whatever_it_answers(send, query):
    assert_private(send(query)[1])


@pytest.mark.parametrize("token", ["", "c" * 32])
def test_json_start_without_a_patient_is_401_with_and_without_a_token(token):
    client = Client(enforce_csrf_checks=True)
    client.cookies["csrftoken"] = "c" * 32
    response = client.post(SESSIONS, headers={"X-CSRFToken": token})
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "not_authenticated"


def test_json_start_without_a_token_is_403_however_often(patient_client, settings):
    settings.MEDBLOCKS_CONNECT = settings.MEDBLOCKS_CONNECT | {"THROTTLES": {"start": "1/d"}}
    statuses = [patient_client.post(SESSIONS).status_code for _ in range(3)]
    assert statuses == [403, 403, 403]
