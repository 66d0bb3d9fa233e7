"""Guards and headers of every endpoint."""

import pytest
from django.test import Client
from django.urls import resolve

from tests.sandbox.conftest import BASE, KEY, Caller

pytestmark = pytest.mark.django_db


def test_health_without_key_answers(client):
    response = client.get(f"{BASE}/health")
    assert response.json()["ok"] is True
    assert response.json()["server_time"].endswith("Z")


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic bWI6a2V5"])
def test_key_missing_is_refused(client, header):
    headers = {} if header is None else {"Authorization": header}
    response = client.get(f"{BASE}/connections", headers=headers)
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "missing_api_key"
    assert response.json()["error"]["type"] == "authentication_error"


@pytest.mark.parametrize(
    "key", ["nonsense", "mb_sk_", "mb_sk_sbx_", "mb_sk_test_1", "xmb_sk_sbx_1"]
)
def test_key_of_wrong_shape_is_refused(client, key):
    response = client.get(f"{BASE}/connections", headers={"Authorization": f"Bearer {key}"})
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("key", ["mb_sk_sbx_anything", "mb_sk_live_anything"])
def test_key_of_right_shape_is_accepted(client, key):
    response = client.get(f"{BASE}/connections", headers={"Authorization": f"Bearer {key}"})
    assert response.status_code == 200


@pytest.mark.parametrize(("key", "status"), [("mb_sk_sbx_ours", 200), ("mb_sk_sbx_other", 401)])
def test_key_is_accepted_only_if_listed(client, settings, key, status):
    settings.MEDBLOCKS_SANDBOX = {"API_KEYS": ["mb_sk_sbx_ours"]}
    response = client.get(f"{BASE}/connections", headers={"Authorization": f"Bearer {key}"})
    assert response.status_code == status


def test_version_supported_is_accepted(caller):
    assert caller.get("/connections", {"Version": "2026-04-25"}).status_code == 200


def test_version_unsupported_is_refused(caller):
    response = caller.get("/connections", {"Version": "2019-01-01"})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "unsupported_api_version"


def test_error_has_envelope_with_request_id(caller):
    response = caller.get("/connections/fhirsrc_nowhere")
    error = response.json()["error"]
    assert set(error) == {"type", "code", "message", "param", "doc_url", "request_id"}
    assert error["request_id"] == response["X-Request-Id"]


def test_success_has_request_id_of_its_own(caller):
    first, second = caller.get("/connections"), caller.get("/connections")
    assert first["X-Request-Id"].startswith("req_")
    assert first["X-Request-Id"] != second["X-Request-Id"]


@pytest.mark.parametrize(
    "path", ["/nowhere", "/patient-sessions/", "/patients/", "/c/12", "/v1/health"]
)
def test_unknown_address_is_not_found(caller, path):
    response = caller.get(path)
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "resource_not_found"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/patient-sessions", "POST"),
        ("/patients/p/connections/conn_1", "DELETE"),
        ("/patients/p", "GET, PUT, DELETE"),
        ("/webhooks", "GET, POST"),
        ("/webhooks/wh_1", "GET, PATCH, DELETE"),
    ],
)
def test_wrong_method_names_allowed_ones(caller, path, allowed):
    response = caller.client.generic("TRACE", BASE + path, headers=KEY)
    assert response.status_code == 405
    assert response["Allow"] == allowed
    assert response.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/patients"), ("PUT", "/patients/p"), ("GET", "/launch-contexts/1")],
)
def test_operation_that_the_sandbox_cannot_do_says_so(caller, method, path):
    response = caller.client.generic(method, BASE + path, headers=KEY)
    error = response.json()["error"]
    assert response.status_code == 501
    assert (error["type"], error["code"]) == ("api_error", "not_implemented")
    assert error["message"].startswith("The sandbox does not ")
    assert caller.client.generic(method, BASE + path).status_code == 401


def test_body_too_large_is_refused(caller):
    response = caller.post("/patient-sessions", b"x" * 100_001)
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "payload_too_large"


@pytest.mark.parametrize("path", ["/", "/health", "/connections", "/nowhere", "/c/" + "0" * 32])
def test_debug_off_hides_every_address(caller, settings, path):
    settings.DEBUG = False
    response = caller.get(path)
    assert response.status_code == 404
    assert "X-Request-Id" not in response


def test_strict_host_middleware_lets_sandbox_through(settings, session):
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "django.contrib.auth.middleware.LoginRequiredMiddleware",
    ]
    strict = Caller(Client(enforce_csrf_checks=True))
    assert strict.start(patient_id="pat-2").patient_id == "pat-2"
    assert strict.client.get(f"{BASE}/c/{session.token}").status_code == 200


def test_views_are_outside_atomic_requests():
    for path in ("/patient-sessions", "/webhooks", "/c/" + "0" * 32 + "/decision"):
        assert resolve(BASE + path).func._non_atomic_requests == {"default"}
