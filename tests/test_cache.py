"""A cache that is down stops nobody, and every key is built in one place."""

from __future__ import annotations

import ast
import json
import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.cache import cache as hosts_cache
from django.utils import timezone

import medblocks_connect
from medblocks_connect import cache as cache_module
from medblocks_connect.api import MedblocksError
from medblocks_connect.cache import (
    AGES,
    LEFT_ALONE_SECONDS,
    build_key,
    cache,
    get_or_fetch,
)
from medblocks_connect.facilities.catalog import get_index
from medblocks_connect.facilities.lookup import get_facilities
from medblocks_connect.facilities.search import FacilitySearch, find_facilities
from medblocks_connect.models import CatalogSync
from medblocks_connect.patient_connections.listing import list_connections
from medblocks_connect.patient_connections.snapshot import forget_snapshot
from medblocks_connect.patients import Patient
from medblocks_connect.views.throttling import count_request
from tests.attempts.conftest import (
    BASE_URL,
    FACILITY,
    PORTAL_URL,
    medblocks,  # noqa: F401 - a fixture
    session_json,
)
from tests.broken_cache import BrokenCache
from tests.recording_cache import RecordingCache

WORKING = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
BROKEN = {"default": {"BACKEND": "tests.broken_cache.BrokenCache"}}
RECORDING = {"default": {"BACKEND": "tests.recording_cache.RecordingCache", "LOCATION": "recorded"}}
MODULES = sorted(Path(medblocks_connect.__file__).parent.rglob("*.py"))


@pytest.fixture(autouse=True)
def now(monkeypatch):
    """A clock that a test sets."""
    moment = [1000.0]
    monkeypatch.setattr(cache_module.time, "monotonic", lambda: moment[0])
    monkeypatch.setattr(BrokenCache, "asked", 0)
    return moment


@pytest.fixture
def broken(settings):
    settings.CACHES = BROKEN


def test_working_cache_keeps_counts_and_forgets():
    cache.set("a", 1, 60)
    cache.set_many({"b": 2}, 60)
    assert (cache.get("a"), cache.get_many(["a", "b"])) == (1, {"a": 1, "b": 2})
    assert (cache.add("a", 7, 60), cache.add("c", 7, 60)) == (False, True)
    assert (cache.incr("a", 60), cache.incr("nothing", 60)) == (2, None)
    cache.delete_many(["a", "b"])
    assert cache.get_many(["a", "b", "c"]) == {"c": 7}


@pytest.mark.parametrize(
    ("use", "answer"),
    [
        (lambda: cache.get("a"), None),
        (lambda: cache.get_many(["a"]), {}),
        (lambda: cache.set("a", 1, 60), None),
        (lambda: cache.set_many({"a": 1}, 60), None),
        (lambda: cache.add("a", 1, 60), None),
        (lambda: cache.incr("a", 60), None),
        (lambda: cache.delete_many(["a"]), None),
    ],
    ids=["get", "get_many", "set", "set_many", "add", "incr", "delete_many"],
)
def test_broken_cache_knows_nothing(broken, use, answer):
    assert use() == answer
    asked = BrokenCache.asked
    assert use() == answer
    assert BrokenCache.asked == asked


def test_broken_cache_is_left_alone_for_a_while(broken, now):
    cache.get("a")
    cache.get("a")
    assert BrokenCache.asked == 1
    now[0] += LEFT_ALONE_SECONDS
    cache.get("a")
    assert BrokenCache.asked == 2


def test_broken_cache_is_logged_once_an_outage_without_its_address(settings, broken, now, caplog):
    for _ in range(3):
        cache.get("a")
        now[0] += LEFT_ALONE_SECONDS
    assert [record.getMessage() for record in caplog.records] == [
        "The cache cannot be read: ConnectionError"
    ]
    settings.CACHES = WORKING
    cache.get("a")
    settings.CACHES = BROKEN
    cache.get("a")
    assert len(caplog.records) == 2


def test_broken_cache_is_tried_by_one_caller_after_its_time(broken, now, monkeypatch):
    cache.get("a")
    now[0] += LEFT_ALONE_SECONDS
    meanwhile = []

    def fail(*_args):
        meanwhile.append(cache.get("b"))  # as another thread would
        raise ConnectionError

    monkeypatch.setattr(BrokenCache, "get", fail)
    cache.get("a")
    assert meanwhile == [None]


@pytest.mark.django_db
def test_broken_cache_stops_no_search(browser, medblocks, broken):  # noqa: F811
    page = {"resource_type": "list", "data": [], "has_more": False, "next_cursor": None}
    medblocks.get(f"{BASE_URL}/connections", json=page)
    assert browser.get("/records/search/").status_code == 200
    assert "We found nothing" in browser.get("/records/search/?q=river").text
    assert browser.get("/records/api/connections/?q=river").json()["data"] == []


@pytest.mark.django_db
@pytest.mark.parametrize("as_json", [False, True], ids=["form", "json"])
def test_broken_cache_stops_no_start(browser, user, medblocks, broken, as_json):  # noqa: F811
    medblocks.post(f"{BASE_URL}/patient-sessions", json=session_json(patient_id=str(user.pk)))
    if as_json:
        body = json.dumps({"connection_id": FACILITY})
        started = browser.post(
            "/records/api/patient-sessions/", body, content_type="application/json"
        )
        assert started.json() == {"url": PORTAL_URL}
    else:
        started = browser.post("/records/start/", {"connection_id": FACILITY})
        assert started["Location"] == PORTAL_URL


@pytest.mark.django_db
def test_broken_cache_stops_no_list_of_connections(browser, user, medblocks, broken):  # noqa: F811
    medblocks.get(f"{BASE_URL}/patients/{user.pk}", status=404, json={})
    assert browser.get("/records/connections/").status_code == 200


def test_hosts_cache_is_the_one_that_is_used():
    cache.set("a", 1, 60)
    assert hosts_cache.get("a") == 1


def find_literal_keys(tree):
    """Yield the lines that give the cache a key which is written out there."""
    text = (ast.Constant, ast.JoinedStr, ast.BinOp)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            user = node.func.value
            is_cache = isinstance(user, ast.Name) and user.id in {"cache", "hosts_cache"}
            given = node.args[0]
            keys = getattr(given, "keys", getattr(given, "elts", [given]))
            if is_cache and any(isinstance(key, text) for key in keys):
                yield node.lineno


@pytest.mark.parametrize(
    "path", MODULES, ids=lambda path: f"{path.parent.name}/{path.name}".removesuffix(".py")
)
def test_module_writes_out_no_cache_key(path):
    source = path.read_text(encoding="utf-8")
    lines = [*find_literal_keys(ast.parse(source))]
    assert not lines, f"{path}: build_key builds every key: lines {lines}"
    assert "medblocks_connect:{" not in source or path.name == "cache.py"


@pytest.mark.parametrize("key", ['"a"', 'f"a{b}"', '"a" + b', '{"a": 1}', '["a", b]'])
def test_literal_cache_key_is_noticed(key):
    assert [*find_literal_keys(ast.parse(f"cache.get({key}, 1)"))] == [1]


def search_medblocks_twice(mock):
    facility = {"id": "fhirsrc_1", "name": "Riverside", "fhir_base_url": "https://fhir.example/r4"}
    mock.get(f"{BASE_URL}/connections", json={"data": [facility], "has_more": False})
    for text in ("river", "riverside"):
        find_facilities(FacilitySearch.of(text))


def search_old_catalog(_mock):
    week_ago = timezone.now() - timedelta(days=8)
    CatalogSync.objects.create(base_url=BASE_URL, finished_at=week_ago)
    assert get_index() is not None
    find_facilities(FacilitySearch.of("river"))


def test_cache_for_0_seconds_keeps_nothing(settings, tmp_path):
    in_files = "django.core.cache.backends.filebased.FileBasedCache"
    settings.CACHES = {"default": {"BACKEND": in_files, "LOCATION": str(tmp_path)}}
    cache.set("medblocks_connect:test", "kept", 0)
    assert [*tmp_path.iterdir()] == []


def look_facilities_up(mock):
    mock.get(f"{BASE_URL}/connections/fhirsrc_gone", status=404, json={})
    get_facilities([FACILITY, "fhirsrc_gone"])


def list_connections_without_medblocks(mock):
    patient = Patient("ann@mail.example")
    mock.get(f"{BASE_URL}/patients/ann@mail.example", status=500, json={})
    list_connections(patient)
    forget_snapshot(patient)


def count_requests(_mock):
    for _request in range(2):
        count_request(Patient("ann@mail.example"), "search")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("use", "kinds"),
    [
        (
            search_medblocks_twice,
            {"facility", "search-fresh", "search-last-good"},
        ),
        (
            search_old_catalog,
            {"catalog-age-warning", "patients-by-facility", "patients-by-primary-key"},
        ),
        (look_facilities_up, {"facility", "failed-lookup"}),
        (
            list_connections_without_medblocks,
            {"connections-asked"},
        ),
        (count_requests, {"throttle"}),
    ],
)
def test_use_of_the_cache_gives_hashed_keys_alone(settings, medblocks, use, kinds):  # noqa: F811
    settings.CACHES = RECORDING
    hosts_cache.clear()
    RecordingCache.keys.clear()
    use(medblocks)
    keys = [
        re.fullmatch(r"medblocks_connect:([a-z-]+):[0-9a-f]{64}", key)
        for key in RecordingCache.keys
    ]
    assert None not in keys, RecordingCache.keys
    assert {key[1] for key in keys} == kinds


def test_key_differs_for_each_kind_part_and_medblocks(settings):
    keys = {build_key("a"), build_key("b"), build_key("a", "b"), build_key("a", "b", "c")}
    keys |= {build_key("a", "bc"), build_key("a", "b\0c"), build_key("a", "\ud800")}
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "BASE_URL": BASE_URL}
    assert len(keys | {build_key("a")}) == 8


def test_key_differs_for_each_installation(monkeypatch):
    """Two sites on one cache, which Django's default gives no prefix."""
    key = build_key("a")
    monkeypatch.setattr(cache_module, "find_installation_id", lambda: "another")
    assert build_key("a") != key


@pytest.mark.parametrize("changed", [{"API_KEY": "mb_sk_live_1"}, {"WORKSPACE": "north"}], ids=str)
def test_key_differs_for_each_workspace(settings, changed):
    key = build_key("a")
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, **changed}
    assert build_key("a") != key


def test_key_stays_where_the_api_key_is_rotated(settings):
    key = build_key("a")
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "API_KEY": "mb_sk_sbx_next"}
    assert build_key("a") == key


def test_key_differs_for_each_version(monkeypatch):
    key = build_key("a")
    monkeypatch.setattr(cache_module, "__version__", "0")
    assert build_key("a") != key


@pytest.fixture
def fetch():
    """Return what is fetched: the answer that a test gives, or its error."""

    def fetch(answer, kept=AGES):
        def ask():
            if isinstance(answer, Exception):
                raise answer
            return answer

        def keep(answer):
            for age in kept:
                cache.set(build_key(age), answer, 60)

        return get_or_fetch(lambda age: cache.get(build_key(age)), ask, keep)

    return fetch


def test_fresh_answer_is_not_fetched_again(fetch):
    assert [fetch(1), fetch(2)] == [1, 1]


def test_error_gives_the_last_good_answer(fetch):
    fetch(1, kept=("last-good",))
    assert fetch(MedblocksError("no")) == 1


def test_error_without_a_last_good_answer_is_raised(fetch):
    fetch(1, kept=())
    with pytest.raises(MedblocksError):
        fetch(MedblocksError("no"))


def test_error_that_is_not_medblocks_is_raised(fetch):
    fetch(1, kept=("last-good",))
    with pytest.raises(ZeroDivisionError):
        fetch(ZeroDivisionError())
