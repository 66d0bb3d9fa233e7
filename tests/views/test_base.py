"""What a patient gets where there is no page for them."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.views import LoginView
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.test import Client
from django.urls import include, path

from medblocks_connect.models import MissingFacility, PatientConnectionAttempt
from medblocks_connect.views.search_page import SearchView
from tests.attempts.conftest import BASE_URL, FACILITY, session_json

pytestmark = pytest.mark.django_db

SEARCH = "/records/search/"
START = "/records/start/"
RETURN = "/records/return/"
CONNECTIONS = "/records/api/connections/"
SESSIONS = "/records/api/patient-sessions/"
PAGES = [
    SEARCH,
    f"{SEARCH}?q=riverside",
    "/records/return/?patient_session_id=ps_1",
    "/records/attempts/none/",
    "/records/connections/",
    "/records/connections/disconnect/?connection=conn_1",
    "/records/not-found/thanks/",
]
FORMS = [
    "/records/start/",
    "/records/start/elsewhere/",
    "/records/not-found/",
    "/records/connections/disconnect/",
]
GONE = [
    "/records/return/?patient_session_id=ps_none&success=true&patient_id=7",
    "/records/attempts/none/",
]

urlpatterns = [
    path("accounts/login/", LoginView.as_view(redirect_authenticated_user=True)),
    path("records/", include("medblocks_connect.urls")),
]


@pytest.fixture
def no_patient(settings):
    """A host whose resolver knows no patient."""
    settings.MEDBLOCKS_CONNECT = settings.MEDBLOCKS_CONNECT | {
        "PATIENT_RESOLVER": "tests.resolvers.nobody"
    }


def assert_private(response):
    assert "no-store" in response["Cache-Control"]
    assert response["Referrer-Policy"] == "no-referrer"


# Frames.


@pytest.fixture
def without_frame_middleware(settings):
    """A host that has taken Django's middleware out."""
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "clickjacking" not in name]


@pytest.mark.parametrize("url", [*PAGES, CONNECTIONS])
def test_page_in_a_host_without_the_middleware_is_framed_by_nobody(
    browser, without_frame_middleware, url
):
    assert browser.get(url)["X-Frame-Options"] == "DENY"


@pytest.mark.parametrize("is_without", [True, False], ids=["without-middleware", "with-middleware"])
@pytest.mark.parametrize("says", ["SAMEORIGIN", "DENY"])
def test_page_is_framed_by_whom_the_hosts_setting_says(browser, settings, says, is_without):
    settings.X_FRAME_OPTIONS = says.lower()
    if is_without:
        settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "clickjacking" not in name]
    assert browser.get(SEARCH)["X-Frame-Options"] == says


def test_page_of_a_host_whose_setting_is_empty_has_no_such_header(
    browser, settings, without_frame_middleware
):
    settings.X_FRAME_OPTIONS = ""
    assert "X-Frame-Options" not in browser.get(SEARCH)


@pytest.mark.parametrize(("says", "header"), [("SAMEORIGIN", "SAMEORIGIN"), ("", None)])
def test_page_of_a_hosts_subclass_is_framed_by_whom_it_says(rf, user, says, header):
    request = rf.get(SEARCH)
    request.user = user
    view = XFrameOptionsMiddleware(SearchView.as_view(frame_options=says))
    assert view(request).headers.get("X-Frame-Options") == header


# The wrong method.


@pytest.mark.parametrize(
    ("method", "url", "allowed"),
    [
        ("get", "/records/start/", "POST"),
        ("get", "/records/start/elsewhere/", "POST"),
        ("get", "/records/not-found/", "POST"),
        ("post", SEARCH, "GET, HEAD"),
        ("put", "/records/return/", "GET, HEAD"),
        ("delete", "/records/attempts/none/", "GET, HEAD"),
        ("post", "/records/connections/", "GET, HEAD"),
        ("put", "/records/connections/disconnect/", "GET, HEAD, POST"),
        ("post", "/records/not-found/thanks/", "GET, HEAD"),
    ],
)
def test_wrong_method_gets_a_page_with_a_way_back(browser, method, url, allowed):
    response = getattr(browser, method)(url)
    assert (response.status_code, response["Allow"]) == (405, allowed)
    assert f'href="{SEARCH}"' in response.text


# What cannot be read.


FORM, PARTS = "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"
FILE = b'--b\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\na\r\n'
UNREADABLE = [
    pytest.param(FORM, b"a=" + b"a" * 3_000_000, 413, id="large"),
    pytest.param(FORM, b"a=a&" * 1500, 400, id="many"),
    pytest.param(PARTS, FILE * 150 + b"--b--", 400, id="files"),
    pytest.param("multipart/form-data", b"a", 400, id="no-boundary"),
]


@pytest.mark.parametrize("url", [*FORMS, "/records/api/patient-sessions/"])
@pytest.mark.parametrize(("kind", "body", "status"), UNREADABLE)
def test_form_that_cannot_be_read_gets_an_answer_of_ours(patient_client, url, kind, body, status):
    patient_client.cookies["csrftoken"] = "c" * 32
    token = {"X-CSRFToken": "c" * 32}
    response = patient_client.post(url, body, content_type=kind, headers=token)
    assert response.status_code == status
    assert_private(response)
    if "api" in url:
        assert response.json()["error"]["code"] == "bad_request"
    else:
        assert f'href="{SEARCH}"' in response.text


@pytest.mark.parametrize("url", [SEARCH, "/records/return/", "/records/api/connections/"])
def test_address_that_says_too_much_gets_an_answer_of_ours(browser, url):
    response = browser.get(url, query_params={f"a{number}": "a" for number in range(1500)})
    assert response.status_code == 400
    assert "no-store" in response["Cache-Control"]


class CutOff:
    """The body of a browser that goes away in the middle of sending it."""

    def read(self, *_size):
        raise ConnectionResetError

    readline = read


@pytest.mark.parametrize("url", ["/records/api/patient-sessions/", "/records/webhook/"])
def test_body_that_is_cut_off_is_no_error_of_the_sites(browser, url):
    sent = {"wsgi.input": CutOff(), "CONTENT_LENGTH": "9"}
    assert browser.post(url, b"", content_type="application/json", **sent).status_code == 400


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("get", "/records/connections/disconnect/"),
        ("post", "/records/connections/disconnect/"),
        ("post", "/records/not-found/"),
    ],
)
def test_what_says_two_things_is_400(browser, method, url):
    sent = {"connection": ["conn_1", "conn_2"], "text": ["Far Hill", "Near Hill"]}
    assert getattr(browser, method)(url, sent).status_code == 400
    assert not MissingFacility.objects.exists()


# A form that is older than the last login.


@pytest.mark.parametrize("url", FORMS)
def test_form_without_a_token_gets_a_page_and_does_nothing(patient_client, url):
    sent = {"connection_id": "fhirsrc_1", "connection": "conn_1", "text": "Far Hill"}
    response = patient_client.post(url, sent)
    assert response.status_code == 403
    assert_private(response)
    assert "This page was open too long" in response.text
    assert not PatientConnectionAttempt.objects.exists()
    assert not MissingFacility.objects.exists()


def test_form_without_a_token_leads_back_to_what_was_searched_for(patient_client):
    came_from = f"http://testserver{SEARCH}?q=river&type=epic"
    response = patient_client.post("/records/start/", headers={"Referer": came_from})
    assert f'href="{SEARCH}?q=river&amp;type=epic"' in response.text


def test_form_without_a_token_is_refused_without_the_hosts_middleware(patient_client, settings):
    settings.MIDDLEWARE = [each for each in settings.MIDDLEWARE if "csrf" not in each.lower()]
    assert patient_client.post("/records/start/").status_code == 403


def test_form_of_somebody_signed_out_comes_back_to_what_was_searched_for(client):
    came_from = f"http://testserver{SEARCH}?q=river"
    response = client.post("/records/start/", headers={"Referer": came_from})
    assert response["Location"] == f"/accounts/login/?next={SEARCH}%3Fq%3Driver"


# What is not there.


@pytest.mark.parametrize("url", GONE)
def test_what_is_not_there_gets_a_private_page_with_a_way_on(browser, url):
    response = browser.get(url)
    assert response.status_code == 404
    assert_private(response)
    assert "We cannot show this page" in response.text
    assert f'href="{SEARCH}"' in response.text


@pytest.mark.parametrize(
    "address",
    ["/records/attempts/{public_id}/", "/records/return/?patient_session_id=ps_theirs"],
    ids=["attempt", "return"],
)
def test_what_is_somebody_elses_is_refused_exactly_like_what_is_not_there(
    browser, other_user, address
):
    theirs = PatientConnectionAttempt.objects.create(
        patient_id=str(other_user.pk), patient_session_id="ps_theirs", connection_id="fhirsrc_1"
    )
    url = address.format(public_id=theirs.public_id)
    before = browser.get(url)
    theirs.delete()
    after = browser.get(url)
    assert (before.status_code, before.text, dict(before.headers)) == (
        after.status_code,
        after.text,
        dict(after.headers),
    )


# Nobody, and nobody's account.


@pytest.mark.parametrize("url", PAGES)
def test_signed_in_user_without_a_patient_gets_a_page(browser, no_patient, url):
    response = browser.get(url)
    assert response.status_code == 403
    assert "We cannot find you as a patient" in response.text


@pytest.mark.parametrize("url", FORMS)
def test_signed_in_user_without_a_patient_sends_nothing(browser, no_patient, url):
    assert browser.post(url, {"connection_id": "fhirsrc_1"}).status_code == 403
    assert not PatientConnectionAttempt.objects.exists()


def test_signed_in_user_without_a_patient_is_not_sent_in_a_circle(browser, no_patient, settings):
    """The login page sends who is signed in back at once."""
    settings.ROOT_URLCONF = "tests.views.test_base"
    assert browser.get(SEARCH, follow=True).redirect_chain == []


def test_signed_in_user_without_a_patient_is_led_to_the_hosts_contact(
    browser, no_patient, settings
):
    assert "Contact us" not in browser.get(SEARCH).text
    settings.MEDBLOCKS_CONNECT = settings.MEDBLOCKS_CONNECT | {"CONTACT_URL": "tel:+15550100"}
    assert 'href="tel:+15550100"' in browser.get(SEARCH).text


@pytest.mark.parametrize("url", PAGES)
def test_visitor_without_a_patient_is_asked_to_log_in(client, no_patient, url):
    response = client.get(url)
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/?next=/records/")


@pytest.mark.parametrize(
    ("method", "url"),
    [("get", "/records/api/connections/?q=river"), ("post", "/records/api/patient-sessions/")],
)
def test_json_tells_a_visitor_from_an_account_without_a_patient(
    client, browser, no_patient, method, url
):
    anonymous, signed_in = getattr(client, method)(url), getattr(browser, method)(url)
    assert (anonymous.status_code, anonymous.json()["error"]["code"]) == (401, "not_authenticated")
    assert (signed_in.status_code, signed_in.json()["error"]["code"]) == (403, "no_patient")


@pytest.mark.parametrize("url", [SEARCH, f"{SEARCH}?q=riverside", RETURN + "?patient_session_id=x"])
def test_page_without_a_patient_leads_to_the_login_and_back(client, url):
    response = client.get(url)
    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/?next=/records/")


@pytest.mark.parametrize(("method", "url"), [("get", CONNECTIONS + "?q=river"), ("post", SESSIONS)])
def test_json_without_a_patient_is_401(client, method, url):
    response = getattr(client, method)(url)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "not_authenticated"


@pytest.mark.parametrize("url", [START, SESSIONS])
def test_start_case_1_get_is_405(browser, url):
    assert browser.get(url).status_code == 405


@pytest.mark.parametrize("url", [START, SESSIONS])
def test_start_case_1_without_csrf_token_is_403(patient_client, url):
    assert patient_client.post(url, {"connection_id": FACILITY}).status_code == 403
    assert not PatientConnectionAttempt.objects.exists()


def test_start_with_a_hosts_resolver_is_for_its_patient(browser, medblocks, settings):
    settings.MEDBLOCKS_CONNECT = settings.MEDBLOCKS_CONNECT | {
        "PATIENT_RESOLVER": "tests.resolvers.intake_form"
    }
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json(patient_id="intake-7"))
    Client().post(START, {"connection_id": FACILITY}, headers={"X-Intake": "intake-7"})
    sent = json.loads(medblocks.calls[-1].request.body)
    assert sent["patient_id"] == "intake-7"
    assert sent["patient_name"] == "Ada L."
    assert PatientConnectionAttempt.objects.get().patient_id == "intake-7"
