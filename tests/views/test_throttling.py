"""Throttles: counted per patient, action and window; the search's in the host's cache."""

from __future__ import annotations

import pytest
from django.core.cache import cache as hosts_cache

from medblocks_connect.patients import Patient
from medblocks_connect.views import start_connection, throttling
from medblocks_connect.views.throttling import count_request

ANN, BOB = Patient("ann"), Patient("bob")

pytestmark = pytest.mark.django_db


def count_allowed(patient: Patient, action: str, times: int = 30) -> int:
    return [count_request(patient, action) for _ in range(times)].count(0)


@pytest.mark.parametrize("action", ["search", "start", "return", "disconnect"])
def test_throttle_allows_the_rate(now, rate, action):
    rate(**{action: "3/m"})
    assert count_allowed(ANN, action) == 3


@pytest.mark.parametrize(
    ("action", "allowed"), [("search", 120), ("start", 20), ("return", 60), ("disconnect", 20)]
)
def test_throttle_by_default_allows_so_many(now, action, allowed):
    assert count_allowed(ANN, action, allowed + 5) == allowed


def test_throttle_of_another_patient_is_untouched(now, rate):
    rate(start="1/m")
    assert [count_request(ANN, "start"), count_request(BOB, "start")] == [0, 0]
    assert count_request(ANN, "start") > 0


def test_throttle_of_another_action_is_untouched(now, rate):
    rate(start="1/m", search="1/m")
    assert [count_request(ANN, "start"), count_request(ANN, "search")] == [0, 0]


def test_throttle_after_its_window_allows_again(now, rate):
    rate(start="1/m")
    count_request(ANN, "start")
    wait = count_request(ANN, "start")
    now[0] += wait
    assert count_request(ANN, "start") == 0


@pytest.mark.parametrize(("passed", "wait"), [(0, 61), (59.5, 1), (30, 31)])
def test_throttle_says_how_long(now, rate, passed, wait):
    rate(start="1/m")
    now[0] += passed
    count_request(ANN, "start")
    assert count_request(ANN, "start") == wait


@pytest.mark.parametrize(("unit", "seconds"), [("s", 1), ("m", 60), ("h", 3600), ("d", 86400)])
def test_throttle_by_unit_lasts_that_long(now, rate, unit, seconds):
    rate(start=f"1/{unit}")
    now[0] -= now[0] % seconds
    count_request(ANN, "start")
    assert count_request(ANN, "start") == seconds + 1


def test_throttle_of_none_allows_all(now, rate):
    rate(start=None)
    assert count_allowed(ANN, "start", 50) == 50


def test_search_throttle_key_names_nobody(now, rate, monkeypatch):
    keys = []
    monkeypatch.setattr(throttling.cache, "add", lambda key, *_rest: keys.append(key) or True)
    count_request(Patient("ann@mail.example"), "search")
    assert "ann" not in keys[0]


def test_search_throttle_whose_counter_vanishes_allows(now, rate, monkeypatch):
    """Evicted between two steps: better one request too many than an error."""
    rate(search="1/m")
    count_request(ANN, "search")

    monkeypatch.setattr(throttling.cache, "incr", lambda *_given: None)
    assert count_request(ANN, "search") == 0


def test_search_throttle_outlives_the_caches_own_time(now, rate, settings, tmp_path):
    """Caches in files and databases count by keeping anew, for as long as the site's TIMEOUT."""
    in_files = "django.core.cache.backends.filebased.FileBasedCache"
    settings.CACHES = {"default": {"BACKEND": in_files, "LOCATION": str(tmp_path)}}
    rate(search="3/h")
    now[0] -= now[0] % 3600
    assert count_allowed(ANN, "search", 5) == 3
    now[0] += 400
    assert count_allowed(ANN, "search", 5) == 0


@pytest.mark.parametrize("action", ["start", "return", "disconnect"])
def test_throttle_that_must_hold_survives_a_cleared_cache(now, rate, action):
    rate(**{action: "1/m"})
    count_request(ANN, action)
    hosts_cache.clear()
    assert count_request(ANN, action) > 0


@pytest.mark.parametrize(
    ("path", "action"),
    [
        pytest.param("/records/search/?q=riverside", "search", id="case-40-search"),
        pytest.param("/records/api/connections/?q=riverside", "search", id="case-40-json"),
    ],
)
def test_throttled_search_is_429_with_retry_after(patient_client, now, rate, path, action):
    rate(search="1/m")
    patient_client.get(path)
    answered = patient_client.get(path)
    assert answered.status_code == 429
    assert 1 <= int(answered.headers["Retry-After"]) <= 61
    assert "medblocks-outcome-bad" not in answered.content.decode()


@pytest.mark.parametrize("path", ["/records/start/", "/records/api/patient-sessions/"])
def test_throttled_start_is_429(patient_client, now, rate, path, settings):
    rate(start="1/m")
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "MAX_RETRIES": 0}
    patient_client.cookies["csrftoken"] = "c" * 32
    headers = {"X-CSRFToken": "c" * 32}
    kind = "application/json" if "api" in path else "application/x-www-form-urlencoded"
    body = '{"connection_id": "fhirsrc_1"}' if "api" in path else "connection_id=fhirsrc_1"
    statuses = [
        patient_client.post(path, body, content_type=kind, headers=headers).status_code
        for _ in range(2)
    ]
    assert statuses == [503 if "api" in path else 303, 429]


def test_throttled_confirmation_names_no_place(patient_client, now, rate, settings, monkeypatch):
    """To name the place on it may ask Medblocks, so it counts as a start."""
    rate(start="2/m")
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "CONFIRM_BEFORE_PORTAL": True}
    named = []
    monkeypatch.setattr(
        start_connection, "describe_place", lambda each: named.append(each) or {"name": each}
    )
    patient_client.handler.enforce_csrf_checks = False
    answers = [
        patient_client.post("/records/start/", {"connection_id": f"fhirsrc_{number}"}).status_code
        for number in range(5)
    ]
    assert (answers, len(named)) == ([200, 200, 429, 429, 429], 2)
