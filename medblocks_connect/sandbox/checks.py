"""System checks of the sandbox: refuse production, and settings that it cannot keep."""

from typing import Any

from django.apps import apps
from django.conf import UserSettingsHolder, settings
from django.core.checks import CheckMessage, Error, Warning  # noqa: A004 - Django's own name

from medblocks_connect.sandbox import conf


def check_sandbox_debug(**_kwargs: Any) -> list[CheckMessage]:
    """Refuse a site without ``DEBUG``."""
    if settings.DEBUG or _is_turned_off_by_a_test_runner():
        return []
    return [
        Error(
            "The Medblocks sandbox is installed on a site that runs without DEBUG.",
            hint=(
                "Remove 'medblocks_connect.sandbox' from INSTALLED_APPS in production. "
                "For development, set DEBUG = True."
            ),
            id="medblocks_sandbox.E001",
        )
    ]


def _is_turned_off_by_a_test_runner() -> bool:
    """Return whether Django's own test runner assigned ``DEBUG = False`` to a site that had it on.

    It does so before it runs the checks, and that is no production site. A test that overrides
    the setting means it.
    """
    started_with_debug = apps.get_app_config("medblocks_sandbox").started_with_debug  # type: ignore[attr-defined]  # ours
    overridden = isinstance(vars(settings).get("_wrapped"), UserSettingsHolder)
    return bool(started_with_debug) and not overridden


def check_sandbox_settings(**_kwargs: Any) -> list[CheckMessage]:
    """Check ``MEDBLOCKS_SANDBOX``: keys, types, and that webhooks stay on this machine."""
    configured = conf.raw_settings()
    if not isinstance(configured, dict):
        return [
            Error(
                "MEDBLOCKS_SANDBOX is not a dict.",
                hint=f"Write MEDBLOCKS_SANDBOX = {{...}} with any of {', '.join(conf.KEYS)}.",
                id="medblocks_sandbox.E002",
            )
        ]
    return [*_check_keys(configured), *_check_types(configured), *_check_webhook(configured)]


def _check_keys(configured: dict[str, Any]) -> list[CheckMessage]:
    return [
        Error(
            f"MEDBLOCKS_SANDBOX has an unknown key: {key!r}.",
            hint=f"The keys are {', '.join(conf.KEYS)}.",
            id="medblocks_sandbox.E003",
        )
        for key in configured
        if key not in conf.KEYS
    ]


def _check_types(configured: dict[str, Any]) -> list[CheckMessage]:
    keys = configured.get("API_KEYS", [])
    mistyped = []
    if not isinstance(keys, (list, tuple)) or not all(isinstance(key, str) for key in keys):
        mistyped.append(("API_KEYS", "a list of strings"))
    mistyped += [
        (key, "a string")
        for key in ("WEBHOOK_URL", "WEBHOOK_SECRET")
        if not isinstance(configured.get(key, ""), str)
    ]
    mistyped += [
        (key, "True or False")
        for key in conf.SWITCHES
        if not isinstance(configured.get(key, False), bool)
    ]
    return [
        Error(
            f"MEDBLOCKS_SANDBOX['{key}'] is not {expected}.",
            hint=f"Give {expected}, or leave the key out.",
            id="medblocks_sandbox.E004",
        )
        for key, expected in mistyped
    ]


def _check_webhook(configured: dict[str, Any]) -> list[CheckMessage]:
    url = configured.get("WEBHOOK_URL", "")
    if not isinstance(url, str) or not url:
        return []
    if not conf.is_loopback_url(url):
        return [
            Error(
                "MEDBLOCKS_SANDBOX['WEBHOOK_URL'] leaves this machine.",
                hint=(
                    "The sandbox sends make-believe events to loopback only: use an address "
                    "like http://127.0.0.1:8000/…/webhook/."
                ),
                id="medblocks_sandbox.E005",
            )
        ]
    if not configured.get("WEBHOOK_SECRET"):
        return [
            Warning(
                "MEDBLOCKS_SANDBOX has a WEBHOOK_URL and no WEBHOOK_SECRET: nothing is sent.",
                hint=(
                    "Set MEDBLOCKS_SANDBOX['WEBHOOK_SECRET'] to the same secret as the app's "
                    "WEBHOOK_SECRETS."
                ),
                id="medblocks_sandbox.W001",
            )
        ]
    return []
