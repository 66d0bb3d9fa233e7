"""The sandbox's system checks."""

from types import SimpleNamespace

import pytest
from django.apps import apps
from django.core.checks import run_checks

from medblocks_connect.sandbox import checks

URL = "http://127.0.0.1:8000/webhook/"


def read_ids(messages):
    assert all(message.hint for message in messages)
    return [message.id.removeprefix("medblocks_sandbox.") for message in messages]


@pytest.fixture
def started_without_debug(settings, monkeypatch):
    settings.DEBUG = False
    monkeypatch.setattr(apps.get_app_config("medblocks_sandbox"), "started_with_debug", False)


def test_debug_on_passes():
    assert checks.check_sandbox_debug() == []


def test_debug_off_is_refused(started_without_debug):
    assert read_ids(checks.check_sandbox_debug()) == ["E001"]


def test_debug_off_by_test_runner_passes(monkeypatch):
    # What django.test.utils.setup_test_environment does: an assignment, and no override.
    assigned = SimpleNamespace(DEBUG=False, _wrapped=object())
    monkeypatch.setattr(checks, "settings", assigned)
    assert checks.check_sandbox_debug() == []


def test_debug_off_by_override_is_refused(settings):
    settings.DEBUG = False
    assert read_ids(checks.check_sandbox_debug()) == ["E001"]


@pytest.mark.django_db  # Django's own checks of models ask the database
def test_checks_are_registered(started_without_debug, settings):
    settings.MEDBLOCKS_SANDBOX = {"API_KEY": "mb_sk_sbx_1"}
    ours = [message for message in run_checks() if message.id.startswith("medblocks_sandbox")]
    assert sorted(read_ids(ours)) == ["E001", "E003"]


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        ({}, []),
        ({"API_KEYS": ["mb_sk_sbx_1"]}, []),
        ({"WEBHOOK_URL": URL, "WEBHOOK_SECRET": "whsec_1"}, []),
        ({"WEBHOOK_URL": "http://localhost:1/", "WEBHOOK_SECRET": "whsec_1"}, []),
        ({"WEBHOOK_URL": "http://[::1]:1/", "WEBHOOK_SECRET": "whsec_1"}, []),
        ([], ["E002"]),
        ({"webhook_url": URL}, ["E003"]),
        ({"API_KEYS": "mb_sk_sbx_1"}, ["E004"]),
        ({"API_KEYS": [1]}, ["E004"]),
        ({"WEBHOOK_SECRET": None}, ["E004"]),
        ({"WEBHOOK_URL": 7}, ["E004"]),
        ({"FAILED_CONNECTIONS_HAVE_IDS": True}, []),
        ({"FAILED_CONNECTIONS_HAVE_IDS": "no"}, ["E004"]),
        ({"DISABLED_ENDPOINTS_RECORD_EVENTS": 1}, ["E004"]),
        ({"WEBHOOK_URL": "https://hooks.example/", "WEBHOOK_SECRET": "whsec_1"}, ["E005"]),
        ({"WEBHOOK_URL": "http://192.168.0.1/", "WEBHOOK_SECRET": "whsec_1"}, ["E005"]),
        ({"WEBHOOK_URL": "http://127.0.0.1@evil.example/"}, ["E005"]),
        ({"WEBHOOK_URL": "ftp://127.0.0.1/"}, ["E005"]),
        ({"WEBHOOK_URL": "http://[broken/"}, ["E005"]),
        ({"WEBHOOK_URL": URL}, ["W001"]),
    ],
)
def test_settings_give_expected_checks(settings, configured, expected):
    settings.MEDBLOCKS_SANDBOX = configured
    assert read_ids(checks.check_sandbox_settings()) == expected


def test_settings_absent_pass(settings):
    if hasattr(settings, "MEDBLOCKS_SANDBOX"):
        del settings.MEDBLOCKS_SANDBOX
    assert checks.check_sandbox_settings() == []
