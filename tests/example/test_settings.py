"""The example project's settings under different environments."""

from __future__ import annotations

import subprocess
import sys

from tests.example.demo import MANAGE, clean_environment

PRODUCTION = {
    "DEBUG": "off",
    "SECRET_KEY": "a long secret that nobody knows, made of 50 characters or more: 0123456789",
    "ALLOWED_HOSTS": "clinic.example",
    "MEDBLOCKS_API_KEY": "mb_sk_live_only_for_tests",
    "MEDBLOCKS_WEBHOOK_SECRET": "whsec_only_for_tests",
    "DATABASE_URL": "sqlite://:memory:",
    "BEHIND_HTTPS_PROXY": "on",
    "CACHE_URL": "rediscache://127.0.0.1:6379/0",
}


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, MANAGE, *arguments],
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def shell(expression: str, **environment: str) -> str:
    code = f"from django.conf import settings; print({expression})"
    ran = manage("shell", "--no-imports", "-c", code, **environment)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_settings_without_environment_pass_checks():
    assert manage("check", "--fail-level", "INFO").returncode == 0


def test_settings_production_pass_deployment_checks():
    checked = manage("check", "--deploy", "--fail-level", "INFO", **PRODUCTION)
    assert checked.returncode == 0, checked.stderr


def test_settings_take_a_proxy_from_the_environment():
    proxy = {"MEDBLOCKS_PROXY": "http://proxy.example:3128"}
    shown = shell("settings.MEDBLOCKS_CONNECT['PROXY']", **PRODUCTION, **proxy)
    assert shown == proxy["MEDBLOCKS_PROXY"]


def test_settings_production_have_no_sandbox():
    assert shell("'medblocks_connect.sandbox' in settings.INSTALLED_APPS", **PRODUCTION) == "False"


def test_settings_production_without_secret_key_fail():
    without = {**PRODUCTION}
    del without["SECRET_KEY"]
    checked = manage("check", **without)
    assert checked.returncode != 0
    assert "Set the SECRET_KEY environment variable" in checked.stderr


def test_settings_with_live_key_turn_debug_off():
    without = {**PRODUCTION}
    del without["DEBUG"]
    assert shell("settings.DEBUG", **without) == "False"


def test_settings_with_sandbox_key_use_real_medblocks():
    expression = "settings.MEDBLOCKS_CONNECT.get('BASE_URL'), settings.DEBUG"
    assert shell(expression, MEDBLOCKS_API_KEY="mb_sk_sbx_only_for_tests") == "None True"


def test_settings_split_two_webhook_secrets():
    expression = "settings.MEDBLOCKS_CONNECT['WEBHOOK_SECRETS']"
    two = {**PRODUCTION, "MEDBLOCKS_WEBHOOK_SECRET": "whsec_old,whsec_new"}
    assert shell(expression, **two) == "['whsec_old', 'whsec_new']"


def test_settings_need_no_new_migration():
    checked = manage("makemigrations", "--check", "--dry-run", DATABASE_URL="sqlite://:memory:")
    assert checked.returncode == 0, checked.stdout
