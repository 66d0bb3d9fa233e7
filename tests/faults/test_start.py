"""Cases 1 to 7 and 12: what a browser may send, and that the row is there whatever happens."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.db import InterfaceError, OperationalError, connection, connections
from django.test import Client
from django.utils import timezone

from medblocks_connect.attempts import start as start_module
from medblocks_connect.attempts.reconcile import reconcile_attempts
from medblocks_connect.models import CatalogSync, Facility, PatientConnectionAttempt
from medblocks_connect.sandbox.fictional_catalog import find_facility
from medblocks_connect.sandbox.models import SandboxSession
from medblocks_connect.urls import urlpatterns
from tests.faults.clinic import BASE_URL, RIVERSIDE, Clinic

START, JSON_START = "/records/start/", "/records/api/patient-sessions/"
FORM = {"connection_id": RIVERSIDE}


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        pytest.param(START, "get", 405, id="case-1-start-get"),
        pytest.param(START, "put", 405, id="case-1-start-put"),
        pytest.param(START, "post", 403, id="case-1-start-without-csrf"),
        pytest.param(JSON_START, "get", 405, id="case-1-json-get"),
        pytest.param(JSON_START, "delete", 405, id="case-1-json-delete"),
        pytest.param(JSON_START, "post", 403, id="case-1-json-without-csrf"),
    ],
)
def test_start_with_the_wrong_method_or_no_token_is_refused(clinic, path, method, status):
    # Django asks for the token first, whatever the method.
    headers = {} if method == "post" else {"X-CSRFToken": clinic.csrf_token()}
    answered = getattr(clinic.client, method)(path, FORM, headers=headers)
    assert answered.status_code == status
    assert clinic.medblocks.calls == []
    assert not PatientConnectionAttempt.objects.exists()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("get", "/records/search/?q=riverside", id="case-2-search"),
        pytest.param("get", "/records/search/?next=//evil.example/", id="case-2-search-with-next"),
        pytest.param("post", START, id="case-2-start"),
        pytest.param("get", "/records/return/?patient_session_id=ps_1", id="case-2-return"),
        pytest.param("get", "/records/attempts/unknown/", id="case-2-attempt"),
    ],
)
def test_nobody_signed_in_is_sent_to_log_in(db, medblocks, method, path):
    answered = getattr(Client(), method)(path, FORM if method == "post" else {})
    assert answered.status_code == 302
    login = urlsplit(answered.headers["Location"])
    (onward,) = parse_qs(login.query)["next"]
    assert (login.netloc, login.path) == ("", "/accounts/login/")
    assert onward.startswith("/records/")
    assert medblocks.calls == []
    assert not PatientConnectionAttempt.objects.exists()


def test_nobody_signed_in_case_2_by_json_is_401(db, medblocks):
    answered = Client().post(JSON_START, FORM, content_type="application/json")
    assert answered.status_code == 401
    assert medblocks.calls == []
    assert not PatientConnectionAttempt.objects.exists()


def test_another_patients_id_case_3_by_json_is_403(clinic):
    assert clinic.start_by_json(patient_id="somebody-else").status_code == 403
    assert clinic.medblocks.calls == []
    assert not PatientConnectionAttempt.objects.exists()


def test_another_patients_id_case_3_by_form_is_ignored(clinic, user):
    clinic.post(START, {**FORM, "patient_id": "somebody-else"})
    assert clinic.attempt.patient_id == clinic.session.patient_id == str(user.pk)


@pytest.mark.parametrize(
    "connection_id",
    [
        pytest.param("", id="case-4-empty"),
        pytest.param("f" * 10_000, id="case-4-10-kb"),
        pytest.param("fhirsrc_\x00", id="case-4-nul"),
        pytest.param("fhirsrc\r\nX: y", id="case-4-line-break"),
        pytest.param("fhirsrc_\u202e", id="case-4-right-to-left"),
        pytest.param("\ud800", id="case-4-lone-surrogate"),
        pytest.param("../patients/1", id="case-4-dots"),
        pytest.param("..", id="case-4-two-dots"),
        pytest.param("/etc/passwd", id="case-4-path"),
        pytest.param(" fhirsrc_1 ", id="case-4-spaces"),
        pytest.param("https://evil.example/", id="case-4-url"),
        pytest.param("javascript:alert(1)", id="case-4-script"),
        pytest.param("https://u:p@ehr.example/fhir", id="case-4-url-with-password"),
        pytest.param("http://169.254.169.254/fhir", id="case-4-link-local-address"),
        pytest.param("http://127.0.0.1:8000/fhir", id="case-4-loopback"),
        pytest.param("http://localhost/fhir", id="case-4-localhost"),
        pytest.param("https://10.0.0.7/fhir/r4", id="case-4-private-address"),
        pytest.param("https://ehr.internal/fhir", id="case-4-inner-name"),
        pytest.param("https://[::1]/fhir", id="case-4-ipv6"),
        pytest.param("https://2130706433/fhir", id="case-4-address-in-disguise"),
        pytest.param(["fhirsrc_1"], id="case-4-list"),
        pytest.param(None, id="case-4-null"),
        pytest.param(7, id="case-4-number"),
    ],
)
def test_start_at_an_impossible_facility_is_400(clinic, connection_id):
    if isinstance(connection_id, str):
        form = {"connection_id": connection_id.encode("utf-8", "surrogatepass")}
        assert clinic.post(START, form).status_code == 400
    assert clinic.start_by_json(connection_id).status_code == 400
    assert clinic.medblocks.calls == []
    assert not PatientConnectionAttempt.objects.exists()


@pytest.mark.parametrize("repeated", ["connection_id=fhirsrc_x", "confirmed=1&confirmed="])
def test_start_case_4_with_a_repeated_field_is_400(clinic, repeated):
    """Two readers could read it differently."""
    form = f"csrfmiddlewaretoken={clinic.csrf_token()}&connection_id={RIVERSIDE}&{repeated}"
    kind = "application/x-www-form-urlencoded"
    assert clinic.client.post(START, form, content_type=kind).status_code == 400
    assert clinic.medblocks.calls == []


OURS = sorted({str(each.pattern).replace("<str:public_id>", "x") for each in urlpatterns})


@pytest.mark.parametrize("path", OURS)
def test_form_in_another_character_set_is_refused(clinic, path):
    """Django refuses it by an error, and its own page for errors reads the form again."""
    answered = clinic.client.post(
        f"/records/{path}",
        b"a=b",
        content_type="application/x-www-form-urlencoded; charset=utf-16",
        headers={"X-CSRFToken": clinic.csrf_token()},
    )
    assert answered.status_code in {400, 405}


def test_start_case_4_at_a_fhir_base_url_names_the_facility(clinic):
    base_url = find_facility(RIVERSIDE).fhir_base_url
    assert clinic.start(base_url).status_code == 303
    assert clinic.attempt.connection_name == "Riverside General"


def test_start_case_4_at_an_internal_url_of_a_sandbox_is_allowed(clinic, settings):
    """A Medblocks on this machine has facilities on this machine."""
    here = "http://127.0.0.1:9"
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "BASE_URL": here}
    assert clinic.start("http://127.0.0.1:9/fhir/riverside").status_code != 400


def test_start_case_4_at_a_url_not_in_the_catalog_is_400(clinic):
    """Where the whole catalog is here, nobody has to be asked for a URL that is not in it."""
    CatalogSync.objects.create(base_url=BASE_URL, finished_at=timezone.now())
    base_url = "https://fhir.riverside.example/r4"
    Facility.objects.create(connection_id=RIVERSIDE, fhir_base_url=base_url)
    assert clinic.start("https://evil.example/fhir").status_code == 400
    assert clinic.medblocks.calls == []
    statuses = [clinic.start(url).status_code for url in (base_url, f"{base_url}/")]
    assert [status == 400 for status in statuses] == [False] * 2


def test_start_case_5_by_a_double_click_makes_two_attempts(clinic):
    portals = {clinic.start().headers["Location"] for _ in range(2)}
    attempts = PatientConnectionAttempt.objects.all()
    assert {each.patient_session_id for each in attempts} == set(
        SandboxSession.objects.values_list("session_id", flat=True)
    )
    assert len(portals) == len(attempts) == 2


UNSAFE = [
    pytest.param("http://app.medblocks.com/c/1", "unsafe_url", id="case-6-http"),
    pytest.param("javascript:alert(1)", "unsafe_url", id="case-6-script"),
    pytest.param("data:text/html,x", "unsafe_url", id="case-6-data"),
    pytest.param("//evil.example/c/1", "unsafe_url", id="case-6-no-scheme"),
    pytest.param("/c/1", "unsafe_url", id="case-6-relative"),
    pytest.param("https://app.medblocks.com@evil.example/c/1", "unsafe_url", id="case-6-userinfo"),
    pytest.param("https:///c/1", "unsafe_url", id="case-6-no-host"),
    pytest.param("https://[::1/c/1", "unsafe_url", id="case-6-half-an-address"),
    pytest.param("https://evil.example\\@app.medblocks.com", "unsafe_url", id="case-6-backslash"),
    pytest.param("https://m\u0435dblocks.com/c/1", "unsafe_url", id="case-6-cyrillic"),
    pytest.param("http://127.0.0.1.evil.example/c/1", "unsafe_url", id="case-6-like-loopback"),
    pytest.param("https://a.example/\r\nX: y", "unexpected_reply", id="case-6-line-break"),
    pytest.param("", "unexpected_reply", id="case-6-empty"),
    pytest.param("https://a.example/" + "c" * 20_000, "unexpected_reply", id="case-6-20-kb"),
]


@pytest.mark.parametrize(("url", "error"), UNSAFE)
def test_start_with_an_unsafe_session_url_leads_nobody_there(clinic, url, error):
    clinic.medblocks.change("POST", "/patient-sessions", lambda session: {**session, "url": url})
    page = clinic.read_refusal(clinic.start())
    by_json = clinic.start_by_json()
    assert by_json.status_code == 502
    for told in (page, by_json.content.decode()):
        assert clinic.session.token not in told
    for attempt in PatientConnectionAttempt.objects.all():
        assert (attempt.status, attempt.error) == ("failed", error)


POISON = {
    "case-7-host": {"headers": {"host": "evil.example"}},
    "case-7-host-with-path": {"headers": {"host": "testserver/@evil.example"}},
    "case-7-port": {"headers": {"host": "testserver:80@evil.example"}},
}


@pytest.mark.parametrize("extra", [pytest.param(how, id=name) for name, how in POISON.items()])
def test_poisoned_host_is_refused(clinic, extra, settings):
    assert clinic.start(**extra).status_code == 400
    settings.MIDDLEWARE = [each for each in settings.MIDDLEWARE if "Common" not in each]
    assert clinic.start(**extra).status_code == 400
    assert clinic.medblocks.calls == []


def test_poisoned_host_case_7_with_return_url_set_is_ignored(clinic, settings):
    own = "https://clinic.example/records/return/"
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "RETURN_URL": own}
    settings.ALLOWED_HOSTS = ["*"]
    clinic.start(headers={"host": "evil.example"})
    assert clinic.session.return_url == own


def test_poisoned_host_case_7_in_forwarded_headers_is_ignored(clinic):
    clinic.start(headers={"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"})
    assert clinic.session.return_url == "http://testserver/records/return/"


def atomic_requests(monkeypatch):
    for alias in connections:
        monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", True)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "step",
    [
        pytest.param("_look_up_facility", id="case-12-before-asking"),
        pytest.param("_create_session", id="case-12-asking"),
        pytest.param("_settle_started", id="case-12-after-asking"),
        pytest.param("_settle_refusal", id="case-12-noting-a-refusal"),
    ],
)
def test_row_outlives_an_error_under_atomic_requests(clinic, monkeypatch, step):
    atomic_requests(monkeypatch)

    def fail(*args, **kwargs):
        raise RuntimeError

    monkeypatch.setattr(start_module, step, fail)
    if step == "_settle_refusal":
        clinic.medblocks.replace("POST", "/patient-sessions", b"null")
    clinic.client.raise_request_exception = False
    assert clinic.start().status_code == 500
    assert (clinic.attempt.status, clinic.attempt.error) == ("failed", "site_error")


@pytest.mark.django_db(transaction=True)
def test_row_outlives_case_12_a_refusal_under_atomic_requests(clinic, monkeypatch):
    atomic_requests(monkeypatch)
    clinic.medblocks.replace("POST", "/patient-sessions", b"null")
    clinic.read_refusal(clinic.start())
    assert clinic.attempt.error == "unexpected_reply"


class Cut:
    """The database's connection: cut once Medblocks has answered."""

    def __init__(self, error: type[Exception]) -> None:
        self.error = error
        self.is_cut = False

    def __call__(self, execute, sql, params, many, context):
        if self.is_cut:
            raise self.error("server closed the connection at 10.0.0.7")
        return execute(sql, params, many, context)

    def after_answer(self, answered):
        self.is_cut = True
        return answered


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("start", [Clinic.start, Clinic.start_by_json], ids=["form", "json"])
@pytest.mark.parametrize(
    "error",
    [
        pytest.param(OperationalError, id="case-12-database-gone"),
        pytest.param(InterfaceError, id="case-12-connection-closed"),
    ],
)
def test_start_with_the_database_gone_after_the_answer_is_503(clinic, start, error):
    cut = Cut(error)
    clinic.medblocks.intercept("POST", "/patient-sessions", cut.after_answer)
    with connection.execute_wrapper(cut):
        answered = start(clinic)
    assert answered.status_code == 503
    assert "Location" not in answered.headers
    assert not any(word in answered.content for word in (b"Traceback", b"10.0.0.7", b'"url"'))
    _a_while_ago(clinic.attempt)
    clinic.medblocks.mend()
    reconcile_attempts(limit=10)
    assert clinic.attempt.patient_session_id == clinic.session.session_id


def _a_while_ago(attempt: PatientConnectionAttempt) -> None:
    before = timezone.now() - timedelta(minutes=20)
    PatientConnectionAttempt.objects.filter(pk=attempt.pk).update(created_at=before)
