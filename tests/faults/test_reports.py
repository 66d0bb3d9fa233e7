"""Case 44: a 500 in our code tells nobody whom it happened to."""

from __future__ import annotations

import json
import logging

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.db import IntegrityError
from django.test import AsyncRequestFactory, Client
from django.utils.log import AdminEmailHandler

from medblocks_connect.admin import attempt_detail, formatting, patient_pages
from medblocks_connect.admin.links import attempt_url, patient_url
from medblocks_connect.patients import FORM_FIELD, Patient, sign_form_patient
from medblocks_connect.sandbox import flows
from medblocks_connect.views import (
    attempt_page,
    connections_page,
    json_api,
    missing_facility,
    search_page,
    start_connection,
    webhook_receiver,
)
from tests.admin.conftest import ATTEMPTS
from tests.faults.clinic import KEY, RIVERSIDE, Clinic
from tests.faults.events import SECRET, completed, post_event

PATIENT_ID, EMAIL, NAME = "pat-7f3a91", "ann.lee@mail.example", "Ann Leeuwenhoek"
USERNAME = "ann.login@mail.example"
ACTOR = "nurse.kim@clinic.example"
PRIVATE = (KEY, SECRET, PATIENT_ID, EMAIL, NAME, USERNAME, "ann.login", ACTOR)

pytestmark = pytest.mark.django_db(transaction=True)


TOKEN = "0123456789abcdef"
DETAIL = " ".join(["DETAIL: Key (patient_id)=(", *PRIVATE, f"https://app.medblocks.com/c/{TOKEN}"])


def name_patient(request):
    if not request.user.is_authenticated:
        return None
    return Patient(PATIENT_ID, email=EMAIL, name=NAME, actor=ACTOR)


# A debug page shows the source around an error: keep the words above out of its reach. What is
# below breaks as a database does that quotes the row, with everything private in its frame: the
# driver's error is the cause of Django's. As some views take that for an answer, it is the context
# of another one.


def break_with_private_words(*args, **kwargs):
    private = PRIVATE
    try:
        raise IntegrityError(DETAIL) from ArithmeticError(DETAIL)  # noqa: TRY301
    except IntegrityError:
        raise LookupError(len(private))  # noqa: B904 - its context alone


@pytest.fixture
def broken(clinic, settings, monkeypatch) -> Clinic:
    """A clinic whose every view breaks in its middle, after a session was started."""
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "PATIENT_RESOLVER": f"{__name__}.name_patient",
    }
    settings.ADMINS = [("Admin", "admin@clinic.example")]
    user = get_user_model().objects.create_superuser(USERNAME, password="x", email=EMAIL)
    clinic.client.force_login(user)
    clinic.client.raise_request_exception = False
    clinic.started()
    for module, name in (
        (search_page, "show_results"),
        (start_connection, "build_return_url"),
        (attempt_page, "record_return"),
        (attempt_page, "find_attempt"),
        (json_api, "find_facilities"),
        (json_api, "build_return_url"),
        (webhook_receiver, "receive_delivery"),
        (connections_page, "list_connections"),
        (connections_page, "find_connection"),
        (missing_facility, "request_facility"),
        (formatting, "show_status"),  # while a list's template is rendered
        (attempt_detail, "summarize"),
        (patient_pages, "list_patient_attempts"),
    ):
        monkeypatch.setattr(module, name, break_with_private_words)
    return clinic


def send_webhook(clinic):
    client = Client(raise_request_exception=False)
    return post_event(client, completed(clinic.session))


BREAK = {
    "search": lambda clinic: clinic.client.get(
        "/records/search/", {"q": NAME}, headers={"Referer": clinic.session.url}
    ),
    "start": lambda clinic: clinic.post(
        "/records/start/", {"connection_id": RIVERSIDE, "patient_id": PATIENT_ID, "name": NAME}
    ),
    "return": lambda clinic: clinic.come_back(error=EMAIL),
    "attempt": lambda clinic: clinic.client.get(
        clinic.attempt.get_absolute_url(), {"patient_id": PATIENT_ID}
    ),
    "webhook": send_webhook,
    "api-connections": lambda clinic: clinic.client.get(
        "/records/api/connections/", {"q": NAME}, headers={"Referer": clinic.session.url}
    ),
    "connections": lambda clinic: clinic.client.get("/records/connections/", {"name": NAME}),
    "disconnect": lambda clinic: clinic.post(
        "/records/connections/disconnect/", {"connection": PATIENT_ID}
    ),
    "not-found": lambda clinic: clinic.post("/records/not-found/", {"text": NAME, "note": EMAIL}),
    "admin-attempts": lambda clinic: clinic.client.get(ATTEMPTS, {"q": PATIENT_ID}),
    "admin-attempt": lambda clinic: clinic.client.get(attempt_url(clinic.attempt.pk)),
    "admin-patient": lambda clinic: clinic.client.get(patient_url(clinic.attempt.pk)),
    "api-patient-sessions": lambda clinic: clinic.start_by_json(patient_id=PATIENT_ID),
}


def private_words_in(text: str, clinic: Clinic) -> list[str]:
    return [word for word in (*PRIVATE, TOKEN, clinic.session.token) if word in text]


@pytest.mark.parametrize("name", [pytest.param(each, id=f"case-44-{each}") for each in BREAK])
def test_report_on_the_debug_page_names_nobody(broken, name):
    answered = BREAK[name](broken)
    assert answered.status_code == 500
    text = answered.content.decode()
    assert "break_with_private_words" in text  # where it broke is told
    assert private_words_in(text, broken) == []


@pytest.mark.parametrize("name", [pytest.param(each, id=f"case-44-{each}") for each in BREAK])
def test_report_in_production_names_nobody(broken, name, settings):
    session = broken.session  # the sandbox answers no more without DEBUG
    settings.DEBUG = False
    answered = BREAK[name](broken)
    assert answered.status_code == 500
    assert b"Traceback" not in answered.content
    assert session.token not in answered.content.decode()
    assert private_words_in(answered.content.decode(), broken) == []


@pytest.fixture(params=["text", "html"])
def mailer(request):
    """Django's mail to ADMINS about errors, as a host switches it on."""
    handler = AdminEmailHandler(include_html=request.param == "html")
    handler.setLevel(logging.ERROR)
    logger = logging.getLogger("django.request")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def mails() -> str:
    parts = []
    for sent in mail.outbox:
        parts += [sent.subject, sent.body, *(content for content, _ in sent.alternatives)]
    return "\n".join(parts)


@pytest.mark.parametrize("debug", [True, False], ids=["debug", "production"])
@pytest.mark.parametrize("name", [pytest.param(each, id=f"case-44-{each}") for each in BREAK])
def test_report_by_mail_names_nobody(broken, name, mailer, debug, settings):
    settings.DEBUG = debug
    BREAK[name](broken)
    text = mails()
    assert "break_with_private_words" in text
    assert private_words_in(text, broken) == []


def fail_afterwards(get_response):
    """A middleware of the host's that breaks once the view has answered."""

    def fail(request):
        get_response(request)
        raise LookupError

    return fail


# The words of each form; the sandbox in the same process has the facility in its own address.
FORMS = {
    "/records/not-found/": {"text": "Saint Nowhere", "note": "said Ann"},
    "/records/start/": {"connection_id": RIVERSIDE, "name": "said Ann"},
    "/records/start/elsewhere/": {"shown": "said Ann"},
}


@pytest.fixture
def mailing(clinic, settings, mailer) -> Clinic:
    """A clinic in production that mails errors."""
    settings.DEBUG, settings.ADMINS = False, [("Admin", "admin@clinic.example")]
    settings.MEDBLOCKS_CONNECT = {
        **settings.MEDBLOCKS_CONNECT,
        "HOSTED_FALLBACK": True,
        "REQUEST_NOTES": True,
    }
    clinic.client.raise_request_exception = False
    return clinic


def lose_the_database(clinic, monkeypatch):
    def refuse(*args, **kwargs):
        raise IntegrityError(DETAIL)

    monkeypatch.setattr(missing_facility, "request_facility", refuse)
    monkeypatch.setattr(start_connection, "start_attempt", refuse)
    monkeypatch.setattr(json_api, "start_attempt", refuse)


def lose_answers(clinic, _monkeypatch):
    for method in ("GET", "POST", "DELETE"):
        clinic.medblocks.lose(method, "/")


def refuse_starts(clinic, _monkeypatch):
    refusal = {"error": {"code": "ann_leeuwenhoek", "message": NAME}}
    clinic.medblocks.replace("POST", "/patient-sessions", json.dumps(refusal).encode(), 500)


def disconnect(clinic):
    connection = clinic.attempt.patient_connection_id
    return clinic.post("/records/connections/disconnect/", {"connection": connection})


MEANT = {
    **{
        f"database-{path}": (
            lose_the_database,
            lambda clinic, path=path: clinic.post(path, FORMS[path]),
        )
        for path in FORMS
    },
    "database-api-start": (lose_the_database, Clinic.start_by_json),
    "api-start": (lose_answers, Clinic.start_by_json),
    "api-start-refused": (refuse_starts, Clinic.start_by_json),
    "api-search": (
        lose_answers,
        lambda clinic: clinic.client.get("/records/api/connections/", {"q": NAME}),
    ),
    "disconnect": (lose_answers, disconnect),
}


@pytest.mark.parametrize("name", [pytest.param(each, id=f"case-71-{each}") for each in MEANT])
def test_502_or_503_that_we_mean_is_mailed_to_nobody_and_is_one_line(
    clinic, settings, mailer, monkeypatch, caplog, name
):
    settings.ADMINS = [("Admin", "admin@clinic.example")]
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "HOSTED_FALLBACK": True}
    clinic.started()
    flows.approve(clinic.session)
    clinic.come_back()
    private = [clinic.attempt.patient_connection_id, clinic.attempt.public_id]
    break_it, press = MEANT[name]
    break_it(clinic, monkeypatch)
    caplog.clear()
    assert press(clinic).status_code in {502, 503}
    assert mails() == ""
    (record,) = caplog.records
    assert record.name == "medblocks_connect.views"
    told = f"{record.getMessage()} {vars(record)!r}"
    private += ["said Ann", "Saint Nowhere", "conn_", RIVERSIDE, "ann_leeuwenhoek"]
    assert [word for word in private if word in told] == []
    assert private_words_in(told, clinic) == []


@pytest.mark.parametrize("path", [pytest.param(path, id=f"case-44-{path}") for path in FORMS])
def test_report_of_a_middleware_that_breaks_after_us_shows_no_form(mailing, settings, path):
    settings.MIDDLEWARE = [f"{__name__}.fail_afterwards", *settings.MIDDLEWARE]
    assert mailing.post(path, FORMS[path]).status_code == 500
    assert "fail_afterwards" in mails()
    assert "said Ann" not in mails()
    assert "Saint Nowhere" not in mails()


def test_report_case_52_shows_nothing_of_whom_a_form_was_made_for(broken, mailer):
    token = sign_form_patient(Patient(PATIENT_ID))
    answered = broken.post("/records/start/", {"connection_id": RIVERSIDE, FORM_FIELD: token})
    assert answered.status_code == 500
    assert "break_with_private_words" in answered.text
    assert token not in answered.text
    assert token not in mails()


def test_report_case_44_of_server_variables_names_nobody(broken):
    """Servers put the whole address into variables of their own."""
    address = f"/records/return/?patient_id={PATIENT_ID}&patient_session_id=ps_1"
    answered = broken.client.get(
        address, RAW_URI=address, REQUEST_URI=address, REMOTE_USER=EMAIL, HTTP_X_ORIGINAL=address
    )
    assert answered.status_code == 500
    assert private_words_in(answered.content.decode(), broken) == []


def test_report_case_44_of_an_asgi_scope_names_nobody(broken):
    """A collector reads the server's own words, which an ASGI request has beside its META."""
    address = f"/records/return/?patient_id={PATIENT_ID}&patient_session_id=ps_1"
    request = AsyncRequestFactory().get(address, headers={"Referer": broken.session.url})
    request.user = get_user_model().objects.get(username=USERNAME)
    with pytest.raises(LookupError):
        attempt_page.ReturnView.as_view()(request)
    assert private_words_in(repr(request.scope), broken) == []


@pytest.mark.parametrize("debug", [True, False], ids=["case-44-debug", "case-44-production"])
def test_report_of_a_refused_host_names_nobody(clinic, debug, settings, mailer):
    """Django mails about a forged Host header too, with the form."""
    settings.DEBUG, settings.ADMINS = debug, [("Admin", "admin@clinic.example")]
    settings.MIDDLEWARE = [each for each in settings.MIDDLEWARE if "Common" not in each]
    logging.getLogger("django.security.DisallowedHost").addHandler(mailer)
    try:
        answered = clinic.post(
            "/records/start/",
            {"connection_id": RIVERSIDE, "patient_id": PATIENT_ID},
            headers={"host": "evil.example"},
        )
    finally:
        logging.getLogger("django.security.DisallowedHost").removeHandler(mailer)
    assert answered.status_code == 400
    text = answered.content.decode() + mails()
    assert "DisallowedHost" in text
    assert not [word for word in (PATIENT_ID, KEY) if word in text]
