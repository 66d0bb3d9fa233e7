"""A form says whom it was made for: sent for somebody else, it starts and ends nothing."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse
from django.template import Context, engines
from django.test import Client, RequestFactory
from django.urls import include, path

import medblocks_connect
from medblocks_connect.models import MissingFacility, PatientConnectionAttempt
from medblocks_connect.patients import FORM_FIELD, Patient, sign_form_patient
from tests.attempts.conftest import BASE_URL, FACILITY, session_json
from tests.connected import create_attempt
from tests.views.search_pages import configure, text_of
from tests.views.test_base import assert_private

pytestmark = pytest.mark.django_db

ANN, BOB = Patient("chart-ann-7f3a91"), Patient("chart-bob-2b8c04")
TEMPLATES = Path(medblocks_connect.__file__).parent / "templates" / "medblocks_connect"
SEARCH, START = "/records/search/", "/records/start/"
ELSEWHERE, NOT_FOUND = "/records/start/elsewhere/", "/records/not-found/"
DISCONNECT, SESSIONS = "/records/connections/disconnect/", "/records/api/patient-sessions/"
SAYS_WHY = "This page was opened for somebody else"


def show_form(request):
    source = "{% load medblocks_connect %}<form method=post>{% medblocks_patient_field %}</form>"
    return HttpResponse(engines["django"].from_string(source).render({}, request))


urlpatterns = [
    path("records/", include("medblocks_connect.urls")),
    path("intake/", show_form),
]


@pytest.fixture
def kiosk(settings):
    """A browser whose patient is whoever the clinic's desk names, by a header."""
    configure(
        settings,
        PATIENT_RESOLVER="tests.resolvers.intake_form",
        HOSTED_FALLBACK=True,
        PINNED_FACILITIES=[FACILITY],
    )
    client = Client(enforce_csrf_checks=True)
    client.cookies["csrftoken"] = "t" * 32
    return client


@pytest.fixture
def portal(medblocks):
    """A Medblocks that starts what it is asked for, and disconnects."""

    def open_session(request):
        patient_id = json.loads(request.body)["patient_id"]
        session = session_json(patient_id=patient_id, id=f"ps_{len(medblocks.calls)}")
        return 200, {}, json.dumps(session)

    medblocks.add_callback("POST", f"{BASE_URL}/patient-sessions", open_session)
    reply = {"id": "conn_1", "resource_type": "connection", "disconnected": True}
    for patient in (ANN, BOB):
        url = f"{BASE_URL}/patients/{patient.patient_id}"
        medblocks.get(url, status=500, json={})
        medblocks.delete(f"{url}/connections/conn_1", json=reply)
        connect(patient)
    return medblocks


def connect(patient, **columns):
    place = {"connection_id": "fhirsrc_pine", "connection_name": "Pine Lake Clinic"}
    won = {"status": "succeeded", "patient_connection_id": "conn_1", "connection_status": "active"}
    return create_attempt(patient_id=patient.patient_id, **{**place, **won, **columns})


def open_page(client, patient, address, **headers):
    return client.get(address, headers={"X-Intake": patient.patient_id, **headers})


def send(client, patient, address, fields, **headers):
    sent = {"csrfmiddlewaretoken": "t" * 32, **fields}
    return client.post(address, sent, headers={"X-Intake": patient.patient_id, **headers})


def read_forms(page):
    """Return the fields of each form on a page that is posted, by where it is sent."""
    forms = re.findall(r'<form method="post" action="([^"]+)".*?</form>', page, re.DOTALL)
    bodies = re.findall(r'<form method="post".*?</form>', page, re.DOTALL)
    return [(action, read_fields(body)) for action, body in zip(forms, bodies, strict=True)]


def read_fields(form):
    tags = re.findall(r"<(?:input|button)[^>]*>", form)
    named = [
        (re.search(r' name="([^"]+)"', tag), re.search(r' value="([^"]*)"', tag)) for tag in tags
    ]
    return {name[1]: unescape(value[1]) for name, value in named if name and value}


def find_form(page, action):
    return next(fields for address, fields in read_forms(page) if address == action)


# Where each form stands, and what a patient adds to it.
FORMS = {
    START: (SEARCH, {}),
    ELSEWHERE: (SEARCH, {}),
    NOT_FOUND: (SEARCH, {"text": "Far Hill"}),
    DISCONNECT: (f"{DISCONNECT}?connection=conn_1", {}),
}


def fill_in(client, patient, action, **headers):
    """Open the page of a form as ``patient``; return what a press on its button sends."""
    address, typed = FORMS[action]
    fields = find_form(open_page(client, patient, address, **headers).text, action)
    return {**fields, **typed}


def state():
    """Everything that a form could have changed."""
    return [
        list(PatientConnectionAttempt.objects.order_by("pk").values()),
        list(MissingFacility.objects.values()),
    ]


def assert_says_why(response):
    assert response.status_code == 409
    assert_private(response)
    assert SAYS_WHY in response.text
    assert f'href="{SEARCH}"' in response.text
    assert 'href="/records/connections/"' in response.text
    assert not {"chart", "ann", "bob", "ada"} & set(
        re.findall(r"\w+", text_of(response.text).lower())
    )


@pytest.mark.parametrize("action", FORMS)
def test_form_case_52_of_the_patient_who_opened_it_is_taken(kiosk, portal, action):
    response = send(kiosk, ANN, action, fill_in(kiosk, ANN, action))
    assert response.status_code == 303


@pytest.mark.parametrize("action", FORMS)
def test_form_case_52_of_somebody_else_does_nothing_and_says_why(kiosk, portal, action):
    fields = fill_in(kiosk, ANN, action)
    before, asked = state(), len(portal.calls)
    assert_says_why(send(kiosk, BOB, action, fields))
    assert state() == before
    assert len(portal.calls) == asked


@pytest.mark.parametrize("action", FORMS)
def test_form_case_52_without_the_field_is_taken_as_a_hosts_own(kiosk, portal, action):
    fields = fill_in(kiosk, ANN, action)
    del fields[FORM_FIELD]
    assert send(kiosk, BOB, action, fields).status_code == 303


@pytest.mark.parametrize("action", FORMS)
@pytest.mark.parametrize("token", ["", "chart-bob-2b8c04", "x" * 64, "é", "\0", "a" * 100_000])
def test_form_case_52_of_nobody_does_nothing(kiosk, portal, action, token):
    fields = fill_in(kiosk, BOB, action)
    before = state()
    assert_says_why(send(kiosk, BOB, action, {**fields, FORM_FIELD: token}))
    assert state() == before


@pytest.mark.parametrize("action", FORMS)
def test_form_case_52_that_says_two_things_is_400(kiosk, portal, action):
    fields = fill_in(kiosk, ANN, action)
    before = state()
    twice = [fields[FORM_FIELD], fields[FORM_FIELD]]
    assert send(kiosk, ANN, action, {**fields, FORM_FIELD: twice}).status_code == 400
    assert state() == before


def test_form_case_52_in_an_odd_character_set_does_nothing(kiosk):
    """UTF-7 can say half a surrogate pair, which no comparison of bytes takes."""
    part = 'Content-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    parts = [part.format(FORM_FIELD, "+2AA-"), part.format("csrfmiddlewaretoken", "t" * 32)]
    body = "--b\r\n" + "--b\r\n".join(parts) + "--b--\r\n"
    kind = "multipart/form-data; boundary=b; charset=utf-7"
    headers = {"X-Intake": ANN.patient_id}
    # post() would write the body in that character set anew.
    assert_says_why(kiosk.generic("POST", START, body.encode(), kind, headers=headers))


def test_start_case_52_counts_for_nobodys_throttle(kiosk, portal, settings):
    configure(settings, THROTTLES={"start": "1/d"})
    fields = fill_in(kiosk, ANN, START)
    assert [send(kiosk, BOB, START, fields).status_code for _ in range(3)] == [409] * 3
    assert [send(kiosk, ANN, START, fields).status_code for _ in range(2)] == [303, 429]


def test_start_case_52_says_so_before_the_form_is_looked_at(kiosk):
    fields = {"connection_id": "../x", FORM_FIELD: sign_form_patient(ANN)}
    assert_says_why(send(kiosk, BOB, START, fields))
    assert send(kiosk, ANN, START, fields).status_code == 400


def test_start_case_52_without_a_csrf_token_is_too_old_first(kiosk):
    fields = {"csrfmiddlewaretoken": "", FORM_FIELD: sign_form_patient(ANN)}
    response = send(kiosk, BOB, START, fields)
    assert response.status_code == 403
    assert "This page was open too long" in response.text


def test_start_case_52_after_another_login_in_the_same_browser_starts_nothing(
    client, user, settings, medblocks
):
    """The login gives the browser another CSRF token, so the page that says so comes first."""
    configure(settings, PINNED_FACILITIES=[FACILITY])
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    fields = find_form(client.get(SEARCH).text, START)
    get_user_model().objects.create_user("sam", password="sam")
    client.get("/accounts/login/")
    client.post(
        "/accounts/login/?next=/records/search/",
        {
            "username": "sam",
            "password": "sam",
            "csrfmiddlewaretoken": client.cookies["csrftoken"].value,
        },
    )
    stale = client.post(START, fields)
    assert (stale.status_code, "Nothing was done." in stale.text) == (403, True)
    fresh = client.cookies["csrftoken"].value  # as a host that keeps the token at a login has it
    assert_says_why(client.post(START, {**fields, "csrfmiddlewaretoken": fresh}))
    assert not PatientConnectionAttempt.objects.exists()


def test_start_case_52_from_a_page_that_the_browser_fetched_ahead(kiosk, portal):
    ahead = {"Sec-Purpose": "prefetch"}
    fields = fill_in(kiosk, ANN, START, **ahead)
    assert_says_why(send(kiosk, BOB, START, fields, **ahead))


def test_start_case_52_confirmed_for_one_patient_starts_for_no_other(kiosk, portal, settings):
    configure(settings, CONFIRM_BEFORE_PORTAL=True)
    confirm = send(kiosk, ANN, START, fill_in(kiosk, ANN, START))
    fields = find_form(confirm.text, START)
    assert fields["confirmed"] == "yes"
    assert_says_why(send(kiosk, BOB, START, fields))
    assert send(kiosk, ANN, START, fields).status_code == 303


@pytest.mark.parametrize(
    "columns",
    [
        {"status": "failed", "error": "oauth_error", "patient_connection_id": ""},
        {"status": "started", "patient_connection_id": ""},
        {"status": "expired", "patient_connection_id": ""},
        {"connection_status": "refresh_failed", "lost_at": "2026-11-22T12:00:00Z"},
    ],
    ids=["failed", "unfinished", "expired", "lost"],
)
def test_try_again_case_52_starts_for_no_other(kiosk, portal, columns):
    attempt = connect(ANN, connection_id="fhirsrc_oak", **columns)
    fields = find_form(open_page(kiosk, ANN, attempt.get_absolute_url()).text, START)
    assert_says_why(send(kiosk, BOB, START, fields))


def test_connect_again_case_52_starts_for_no_other(kiosk, medblocks):
    connect(ANN, connection_status="refresh_failed", lost_at="2026-11-22T12:00:00Z")
    fields = find_form(open_page(kiosk, ANN, "/records/connections/").text, START)
    assert_says_why(send(kiosk, BOB, START, fields))


def test_not_found_case_52_shown_again_is_still_of_its_patient(kiosk):
    again = send(kiosk, ANN, NOT_FOUND, {FORM_FIELD: sign_form_patient(ANN), "text": ""})
    fields = find_form(again.text, NOT_FOUND)
    assert_says_why(send(kiosk, BOB, NOT_FOUND, {**fields, "text": "Far Hill"}))
    assert not MissingFacility.objects.exists()


def test_results_while_typing_say_whom_they_are_for(kiosk, add_catalog):
    add_catalog()
    headers = {"X-Medblocks-Fragment": "results"}
    answer = open_page(kiosk, ANN, f"{SEARCH}?q=hospital", **headers)
    assert find_form(answer.text, START)[FORM_FIELD] == sign_form_patient(ANN)


def test_json_case_52_compares_the_patient_id_alone(kiosk, portal):
    sent = {"connection_id": FACILITY, FORM_FIELD: sign_form_patient(BOB)}
    headers = {"X-Intake": ANN.patient_id, "X-CSRFToken": "t" * 32}
    kind = {"content_type": "application/json", "headers": headers}
    assert kiosk.post(SESSIONS, sent, **kind).status_code == 200
    foreign = {**sent, "patient_id": BOB.patient_id}
    assert kiosk.post(SESSIONS, foreign, **kind).status_code == 403


@pytest.mark.parametrize("name", ["ANN", "BOB"])
def test_form_case_52_is_of_whom_a_hosts_view_names(name, settings, monkeypatch):
    """The view's word counts, also where the setting names somebody else."""
    from medblocks_connect.views.search_page import SearchView

    patient = {"ANN": ANN, "BOB": BOB}[name]
    monkeypatch.setattr(SearchView, "get_patient", lambda _self: patient)
    request = RequestFactory().get(SEARCH, headers={"X-Intake": "somebody"})
    configure(settings, PATIENT_RESOLVER="tests.resolvers.intake_form")
    fields = find_form(SearchView.as_view()(request).text, NOT_FOUND)
    assert fields[FORM_FIELD] == sign_form_patient(patient)


def test_start_case_52_holds_while_the_secret_key_is_rotated(kiosk, portal, settings):
    fields = fill_in(kiosk, ANN, START)
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "new"
    assert_says_why(send(kiosk, BOB, START, fields))
    assert send(kiosk, ANN, START, fields).status_code == 303


# The templates.

POSTED = [
    (file, form)
    for file in sorted(TEMPLATES.rglob("*.html"))
    for form in re.findall(
        r"<form\b.*?</form>", file.read_text(encoding="utf-8"), re.DOTALL | re.IGNORECASE
    )
]


@pytest.mark.parametrize(("file", "form"), POSTED, ids=lambda value: getattr(value, "name", ""))
def test_form_of_ours_says_whom_it_was_made_for_where_it_is_posted(file, form):
    opening = form[: form.index(">")].lower()
    is_posted = 'method="post"' in opening
    assert is_posted or 'method="get"' in opening
    assert form.count("{% csrf_token %}{% medblocks_patient_field %}") == is_posted
    assert form.count("medblocks_patient_field") == is_posted


def test_forms_of_ours_were_found():
    assert len(POSTED) >= 10
    forms = sum(
        file.read_text(encoding="utf-8").lower().count("<form")
        for file in TEMPLATES.rglob("*.html")
    )
    assert len(POSTED) == forms


# A page of the host's.


def test_hosts_page_gives_its_form_the_field(kiosk, settings):
    settings.ROOT_URLCONF = __name__
    assert FORM_FIELD in open_page(kiosk, ANN, "/intake/").text
    fields = read_fields(open_page(kiosk, ANN, "/intake/").text)
    assert fields == {FORM_FIELD: sign_form_patient(ANN)}
    assert_says_why(send(kiosk, BOB, START, {**fields, "connection_id": FACILITY}))


def test_hosts_page_without_a_patient_has_no_field(kiosk, settings):
    settings.ROOT_URLCONF = __name__
    assert kiosk.get("/intake/").text == "<form method=post></form>"


def render_field(context):
    source = "{% load medblocks_connect %}{% medblocks_patient_field %}"
    return engines["django"].engine.from_string(source).render(context)


def test_field_needs_no_context_processor(user, settings):
    request = RequestFactory().get("/")
    request.user = user
    assert render_field(Context()) == ""
    token = sign_form_patient(Patient(str(user.pk)))
    assert token in render_field(Context({"request": request}))
    request.user = AnonymousUser()
    assert render_field(Context({"request": request})) == ""
