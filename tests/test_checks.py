"""Every misuse of the settings is reported, with its mend."""

from __future__ import annotations

import copy
from pathlib import Path

import certifi
import pytest
from django.core.checks import ERROR, Error, run_checks
from django.core.checks import Warning as CheckWarning
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from django.utils.translation import gettext_lazy

from medblocks_connect.checks import check_catalog, check_deployment, check_settings
from medblocks_connect.conf import DEFAULTS, conf
from medblocks_connect.models import CatalogSync

GOOD = {"API_KEY": "mb_sk_live_1"}


@pytest.fixture(autouse=True)
def production(settings):
    """A site that serves patients: behind a proxy that ends TLS, with a cache for all processes."""
    settings.DEBUG = False
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}


def check(settings, **changes):
    settings.MEDBLOCKS_CONNECT = {**GOOD, **changes}
    return check_settings(None)


def test_good_settings_pass(settings):
    assert check(settings) == []


def test_defaults_lack_the_key_alone(settings):
    """A warning: to migrate, to collect static files and to test takes no key."""
    settings.MEDBLOCKS_CONNECT = dict(DEFAULTS)
    assert [message.id for message in check_settings(None)] == ["medblocks_connect.W005"]


def test_defaults_lack_the_key_in_production(settings):
    settings.MEDBLOCKS_CONNECT = dict(DEFAULTS)
    assert [message.id for message in check_deployment(None)] == ["medblocks_connect.E002"]


@pytest.mark.parametrize("key", ["API_KEY", "WORKSPACE", "BASE_URL", "RETURN_URL", "SITE_URL"])
def test_callable_passes_and_is_not_called(settings, key):
    """It may take a tenant, which there is none of when a site is checked."""
    callables = {"WORKSPACE": f"{__name__}.fail", key: f"{__name__}.fail"}
    assert check(settings, **callables) == []
    assert check_deployment(None) == []


def test_callable_secrets_pass(settings):
    assert check(settings, WEBHOOK_SECRETS=f"{__name__}.fail") == []


def fail():
    raise AssertionError("A check called it.")


def test_settings_that_are_no_dict_are_one_error(settings):
    settings.MEDBLOCKS_CONNECT = ["API_KEY"]
    assert [message.id for message in check_settings(None)] == ["medblocks_connect.E001"]


@pytest.mark.parametrize(
    ("changes", "identifier"),
    [
        ({"API_KEI": "x"}, "W001"),
        ({"API_KEY": "whsec_1"}, "E002"),
        ({"API_KEY": "mb_sk_sbx_a b"}, "E002"),
        ({"API_KEY": "mb_sk_sbx_a\n"}, "E002"),
        ({"WORKSPACE": "north live"}, "E024"),
        ({"WORKSPACE": 7}, "E024"),
        ({"WORKSPACE": "clinic.nowhere.get_workspace"}, "E025"),
        ({"BASE_URL": "tests.test_checks.GOOD"}, "E025"),
        ({"WEBHOOK_SECRETS": "clinic.nowhere.get_secrets"}, "E025"),
        ({"API_KEY": "tests.test_checks.fail"}, "E026"),
        ({"WORKSPACE": "n" * 51}, "E024"),
        ({"API_VERSION": "2026 04"}, "E018"),
        ({"TIMEOUT": 0}, "E003"),
        ({"TIMEOUT": "10"}, "E003"),
        ({"TIMEOUT": True}, "E003"),
        ({"MAX_RETRIES": -1}, "E004"),
        ({"MAX_RETRIES": 1.5}, "E004"),
        ({"MAX_WAITING": 0}, "E027"),
        ({"MAX_WAITING": 65}, "E027"),
        ({"MAX_WAITING": "4"}, "E027"),
        ({"SESSION_EXPIRES_IN": 59}, "E005"),
        ({"SESSION_EXPIRES_IN": 86401}, "E005"),
        ({"SEARCH_CACHE_SECONDS": -1}, "E006"),
        ({"BASE_URL": "http://app.medblocks.com"}, "E007"),
        ({"BASE_URL": "app.medblocks.com"}, "E025"),
        ({"BASE_URL": "https://key@app.medblocks.com"}, "E007"),
        ({"BASE_URL": "https://app.medblocks.com:99999"}, "E007"),
        ({"BASE_URL": "https://app.medblocks.com\n"}, "E007"),
        ({"BASE_URL": "https://app .medblocks.com"}, "E007"),
        ({"BASE_URL": "https://.medblocks.com"}, "E007"),
        ({"PROXY": "proxy.example:3128"}, "E029"),
        ({"PROXY": "https://proxy.example"}, "E029"),
        ({"PROXY": 3128}, "E029"),
        ({"PROXY": "proxy.example"}, "E025"),
        ({"CA_BUNDLE": "/nowhere/ca.pem"}, "E030"),
        ({"CA_BUNDLE": Path(__file__)}, "E030"),
        ({"CA_BUNDLE": 7}, "E030"),
        ({"RETURN_BUTTON_LABEL": "n" * 61}, "E031"),
        ({"RETURN_BUTTON_LABEL": "two\nlines"}, "E031"),
        ({"RETURN_URL": "https://clinic.example/\treturn/"}, "E008"),
        ({"RETURN_URL": "http://clinic.example/return/"}, "E008"),
        ({"RETURN_URL": "/records/return/"}, "E008"),
        ({"RETURN_URL": "https://clinic.example/return/?a=b"}, "E008"),
        ({"PATIENT_RESOLVER": "tests.nowhere.at_all"}, "E009"),
        ({"PATIENT_RESOLVER": "tests.resolvers.__doc__"}, "E009"),
        ({"LOGOS": "yes"}, "E010"),
        ({"LOG_PATIENT_VIEWS": 1}, "E013"),
        ({"WEBHOOK_SECRETS": "whsec_1"}, "E011"),
        ({"WEBHOOK_SECRETS": [None]}, "E011"),
        ({"THROTTLES": "20/m"}, "E012"),
        ({"THROTTLES": {"start": "20 per minute"}}, "E012"),
        ({"THROTTLES": {"begin": "20/m"}}, "E012"),
        ({"CONNECTIONS_CACHE_SECONDS": -1}, "E014"),
        ({"BASE_TEMPLATE": "nowhere.html"}, "E015"),
        ({"BASE_TEMPLATE": "medblocks_connect/frame.html", "BASE_BLOCK": "nothing"}, "E015"),
        ({"BASE_TEMPLATE": "hosts/bare.html", "BASE_BLOCK": "main"}, "W002"),
        ({"CONFIRM_BEFORE_PORTAL": "yes"}, "E016"),
        ({"CONTACT_URL": "javascript:alert(1)"}, "E017"),
        ({"SITE_URL": "http://clinic.example"}, "E033"),
        ({"SITE_URL": "https://clinic.example/records/"}, "E033"),
        ({"SITE_URL": "https://clinic.example?a=b"}, "E033"),
        ({"SITE_URL": "//clinic.example"}, "E033"),
        ({"SITE_URL": 7}, "E033"),
        ({"SITE_URL": "clinic.example"}, "E025"),
        ({"POLL_PER_RUN": -1}, "E034"),
        ({"POLL_PER_RUN": 10_001}, "E034"),
        ({"POLL_PER_RUN": "500"}, "E034"),
    ],
)
def test_misuse_is_reported_with_its_mend(settings, changes, identifier):
    messages = check(settings, **changes)
    assert [message.id for message in messages] == [f"medblocks_connect.{identifier}"]
    assert next(iter(changes)) in messages[0].msg
    assert messages[0].hint


@pytest.mark.parametrize(
    "changes",
    [
        {"BASE_URL": "http://127.0.0.1:8000/medblocks-sandbox"},
        {"RETURN_URL": "https://clinic.example/records/return/"},
        {"SITE_URL": "https://clinic.example"},
        {"SITE_URL": "https://clinic.example/"},
        {"SITE_URL": "http://localhost:8000"},
        {"SITE_URL": None, "POLL_PER_RUN": 0},
        {"PROXY": "http://user:p%40ss@proxy.example:3128/"},
        {"PROXY": None, "CA_BUNDLE": None, "RETURN_BUTTON_LABEL": None},
        {"PROXY": "tests.test_checks.fail"},
        {"CA_BUNDLE": certifi.where()},
        {"CA_BUNDLE": Path(certifi.where())},
        {"RETURN_BUTTON_LABEL": "n" * 60},
        {"RETURN_BUTTON_LABEL": gettext_lazy("Riverbend Clinic")},
        {"THROTTLES": {"start": None}},
        {"BASE_TEMPLATE": "admin/base.html"},
        {"BASE_TEMPLATE": "hosts/plain.html"},
        {"BASE_TEMPLATE": ""},
        {"CONTACT_URL": "tel:+15550100"},
        {"WEBHOOK_SECRETS": ["whsec_1", "whsec_2"]},
    ],
)
def test_good_use_passes(settings, changes):
    assert check(settings, **changes) == []


def test_base_without_a_title_is_no_matter_where_it_is_not_used(settings, tmp_path):
    """A site that replaces our base.html has a frame, and a title, of its own."""
    (tmp_path / "medblocks_connect").mkdir()
    (tmp_path / "medblocks_connect" / "base.html").write_text("<title>Mine</title>")
    engines = copy.deepcopy(settings.TEMPLATES)
    engines[0]["DIRS"].insert(0, tmp_path)
    settings.TEMPLATES = engines
    assert check(settings, BASE_TEMPLATE="hosts/bare.html", BASE_BLOCK="main") == []


def test_proxy_that_is_none_is_not_quoted(settings):
    """A password may be in it."""
    (message,) = check(settings, PROXY="https://clinic:opensesame@proxy.example")
    assert "opensesame" not in f"{message}"


RETURN_URL = "https://clinic.example/records/return/"


@pytest.mark.parametrize(
    ("hosts", "return_url", "found"),
    [
        (["*"], "", ["medblocks_connect.W003"]),
        (["clinic.example", "*"], "", ["medblocks_connect.W003"]),
        (["*"], RETURN_URL, []),
        (["clinic.example"], "", []),
        ([".clinic.example"], "", []),
    ],
)
def test_hosts_that_anybody_may_name_are_warned_of(settings, hosts, return_url, found):
    settings.ALLOWED_HOSTS = hosts
    settings.MEDBLOCKS_CONNECT = {**GOOD, "RETURN_URL": return_url}
    messages = check_deployment(None)
    assert [message.id for message in messages] == found
    assert all("RETURN_URL" in message.msg and message.hint for message in messages)


def test_hosts_of_settings_that_are_no_dict_are_not_checked(settings):
    settings.ALLOWED_HOSTS = ["*"]
    settings.MEDBLOCKS_CONNECT = ["API_KEY"]
    assert check_deployment(None) == []


def test_hosts_are_checked_before_a_deployment_alone(settings):
    settings.ALLOWED_HOSTS = ["*"]
    settings.MEDBLOCKS_CONNECT = GOOD
    assert run_checks(tags=["medblocks_connect"]) == []
    deploying = run_checks(tags=["medblocks_connect"], include_deployment_checks=True)
    assert [message.id for message in deploying] == ["medblocks_connect.W003"]


@pytest.mark.parametrize(
    ("command", "options"),
    [("check", {}), ("migrate", {}), ("collectstatic", {"dry_run": True, "interactive": False})],
)
def test_command_runs_without_a_key(settings, tmp_path, db, command, options):
    settings.DEBUG = True  # for the sandbox
    settings.MEDBLOCKS_CONNECT = {}
    settings.STATIC_ROOT = tmp_path
    call_command(command, **options, verbosity=0)


@pytest.fixture
def north_catalog(db):
    """A catalog of the workspace ``north``."""
    return CatalogSync.objects.create(workspace="north", finished_at=timezone.now())


def check_database(settings, **changes):
    settings.MEDBLOCKS_CONNECT = {**GOOD, **changes}
    return [message.id for message in run_checks(tags=["database"], databases=["default"])]


def test_catalog_of_another_workspace_is_warned_of(settings, north_catalog):
    assert check_database(settings) == ["medblocks_connect.W004"]
    assert check_database(settings, WORKSPACE="north") == []


def test_catalog_of_both_workspaces_is_fine(settings, north_catalog):
    CatalogSync.objects.create(
        workspace="live", base_url=DEFAULTS["BASE_URL"], finished_at=north_catalog.finished_at
    )
    assert check_database(settings) == []


def test_catalog_is_not_checked_where_a_callable_names_the_workspace(settings, north_catalog):
    assert check_database(settings, WORKSPACE=f"{__name__}.fail") == []


def test_catalog_is_checked_for_its_own_database_alone(settings, north_catalog):
    settings.MEDBLOCKS_CONNECT = GOOD
    assert check_catalog(None) == check_catalog(None, databases=["clinical"]) == []


def test_catalog_is_not_checked_before_its_table_is_there(settings, north_catalog, monkeypatch):
    settings.MEDBLOCKS_CONNECT = GOOD
    monkeypatch.setattr(connection.introspection, "table_names", list)
    assert check_catalog(None, databases=["default"]) == []


def test_unknown_key_is_named_with_the_nearest(settings):
    (message,) = check(settings, WEBHOOK_SECRET=["whsec_1"])
    assert message == CheckWarning(
        "MEDBLOCKS_CONNECT has a key that means nothing: 'WEBHOOK_SECRET'.",
        hint="Is it 'WEBHOOK_SECRETS'? Correct it, or remove it.",
        id="medblocks_connect.W001",
    )


def test_empty_key_is_a_warning(settings):
    assert check(settings, API_KEY="") == [
        CheckWarning(
            "MEDBLOCKS_CONNECT['API_KEY'] is empty: Medblocks will refuse every call.",
            hint="Set it to the key of your Medblocks workspace (mb_sk_live_… or mb_sk_sbx_…). To "
            "migrate, to collect static files and to test takes none.",
            id="medblocks_connect.W005",
        )
    ]


def test_empty_key_of_a_deployment_is_an_error(settings):
    settings.MEDBLOCKS_CONNECT = {"API_KEY": ""}
    assert check_deployment(None) == [
        Error(
            "MEDBLOCKS_CONNECT['API_KEY'] is missing.",
            hint="Set it to the key of your Medblocks workspace (mb_sk_live_… or mb_sk_sbx_…).",
            id="medblocks_connect.E002",
        )
    ]


def test_live_key_under_debug_is_a_warning(settings):
    settings.DEBUG = True
    assert check(settings) == [
        CheckWarning(
            "MEDBLOCKS_CONNECT['API_KEY'] is a live workspace's, while DEBUG is on.",
            hint="Develop with a sandbox workspace's key, mb_sk_sbx_…, or with the sandbox of this "
            "package: a live key opens patients' records.",
            id="medblocks_connect.W010",
        )
    ]


def test_sandbox_key_of_a_deployment_is_a_warning(settings):
    settings.MEDBLOCKS_CONNECT = {"API_KEY": "mb_sk_sbx_1"}
    assert check_deployment(None) == [
        CheckWarning(
            "MEDBLOCKS_CONNECT['API_KEY'] is a sandbox workspace's: nobody is really connected.",
            hint="Set it to the live workspace's key, mb_sk_live_…, where patients come.",
            id="medblocks_connect.W009",
        )
    ]


@pytest.mark.parametrize(
    ("header", "return_url", "found"),
    [
        pytest.param(None, "", ["W006"], id="case-62-nothing-tells-django"),
        pytest.param(("HTTP_X", "https"), "", [], id="case-62-the-proxy-does"),
        pytest.param(None, "https://clinic.example/records/return/", [], id="case-62-the-setting"),
    ],
)
def test_tls_that_ends_at_a_proxy_is_warned_of(settings, header, return_url, found):
    settings.SECURE_PROXY_SSL_HEADER = header
    settings.MEDBLOCKS_CONNECT = {**GOOD, "RETURN_URL": return_url}
    assert [message.id[-4:] for message in check_deployment(None)] == found
    assert all("http://" in message.msg and message.hint for message in check_deployment(None))


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("SECURE_CSP", {"form-action": ["'self'"]}, ["W007"]),
        ("SECURE_CSP", {"form-action": ["'self'", "https:"]}, []),
        ("SECURE_CSP", {"default-src": ["'self'"]}, []),
        ("CONTENT_SECURITY_POLICY", {"DIRECTIVES": {"form-action": ["'self'"]}}, ["W007"]),
        ("CONTENT_SECURITY_POLICY", {"DIRECTIVES": {"form-action": ["https:"]}}, []),
        ("CSP_FORM_ACTION", ("'self'",), ["W007"]),
        ("CSP_FORM_ACTION", "*", []),
    ],
)
def test_policy_that_keeps_forms_from_portals_is_warned_of(settings, name, value, found):
    settings.MEDBLOCKS_CONNECT = GOOD
    setattr(settings, name, value)
    assert [message.id[-4:] for message in check_deployment(None)] == found
    assert all("https:" in message.hint for message in check_deployment(None))


def test_cache_of_one_process_is_warned_of_in_production(settings):
    settings.MEDBLOCKS_CONNECT = GOOD
    backend = "django.core.cache.backends.locmem.LocMemCache"
    settings.CACHES = {"default": {"BACKEND": backend}}
    assert check_deployment(None) == [
        CheckWarning(
            "The default cache is each process' own memory: a search is cached, and its throttle "
            "counted, in each process apart.",
            hint="Name a cache that all processes share in CACHES, such as Redis; with a single "
            "process, silence this check.",
            id="medblocks_connect.W008",
        )
    ]


@pytest.mark.parametrize(
    ("secret", "fault"),
    [
        pytest.param("", "is blank", id="case-57-empty"),
        pytest.param(" \n", "is blank", id="case-57-blank"),
        pytest.param("mb_sk_live_1", "is an API key", id="case-57-api-key"),
        pytest.param('"whsec_1"', "stands in quotes", id="case-57-quotes"),
        pytest.param("whsec_1 # the new one", "has a comment", id="case-57-comment"),
        pytest.param("whsec_1,whsec_2", "is two in one", id="case-57-two-in-one"),
        pytest.param("whsec_1 whsec_2", "white space inside", id="case-57-space-inside"),
        pytest.param("whsec_1\nwhsec_2", "white space inside", id="case-57-line-break-inside"),
        pytest.param("\ufeffwhsec_1", "byte order mark", id="case-57-byte-order-mark"),
    ],
)
def test_secret_that_is_none_is_named(settings, secret, fault):
    (message,) = check(settings, WEBHOOK_SECRETS=["whsec_good", secret])
    assert (message.id, message.level) == ("medblocks_connect.E032", ERROR)
    assert "secret 2" in message.msg
    assert fault in message.msg
    assert "whsec_1" not in message.msg + message.hint


@pytest.mark.parametrize("secret", ["whsec_1\n", " whsec_1", "whsec_1\r\n", "\twhsec_1 "])
def test_secret_case_57_is_forgiven_white_space_around(settings, secret):
    assert check(settings, WEBHOOK_SECRETS=[secret]) == []
    assert [bare.reveal() for bare in conf.webhook_secrets] == ["whsec_1"]
