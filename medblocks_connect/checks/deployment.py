"""Checks of a deployment: what a site may do without until patients come."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning

from medblocks_connect.conf import conf, names_callable, read_configured

_LOCAL_MEMORY: Final = "django.core.cache.backends.locmem.LocMemCache"
_HTTPS_SOURCES: Final = {"*", "https:"}


@register("medblocks_connect", deploy=True)
def check_deployment(
    app_configs: Sequence[AppConfig] | None,  # noqa: ARG001 - Django passes it by name
    **kwargs: Any,  # noqa: ARG001
) -> list[CheckMessage]:
    """Report a missing key or one of the sandbox, and what its patients would meet on the way."""
    configured = read_configured()
    if not isinstance(configured, Mapping):  # E001 says so
        return []
    return [
        *_check_key(configured),
        *_check_hosts(configured),
        *_check_proxy(configured),
        *_check_form_action(),
        *_check_cache(),
    ]


def _check_key(configured: Mapping[str, Any]) -> Iterator[CheckMessage]:
    if not configured.get("API_KEY"):
        yield Error(
            "MEDBLOCKS_CONNECT['API_KEY'] is missing.",
            hint="Set it to the key of your Medblocks workspace (mb_sk_live_… or mb_sk_sbx_…).",
            id="medblocks_connect.E002",
        )
    elif not names_callable("API_KEY") and conf.api_key.startswith("mb_sk_sbx_"):
        yield CheckWarning(
            "MEDBLOCKS_CONNECT['API_KEY'] is a sandbox workspace's: nobody is really connected.",
            hint="Set it to the live workspace's key, mb_sk_live_…, where patients come.",
            id="medblocks_connect.W009",
        )


def _check_hosts(configured: Mapping[str, Any]) -> Iterator[CheckMessage]:
    """Report a site that lets whoever sends a request say where its patients come back to."""
    if not configured.get("RETURN_URL") and "*" in settings.ALLOWED_HOSTS:
        yield CheckWarning(
            "MEDBLOCKS_CONNECT['RETURN_URL'] is not set, while ALLOWED_HOSTS takes every host.",
            hint="Set it to the address of this app's return view, such as "
            "https://clinic.example/records/return/, or name the site's own hosts in "
            "ALLOWED_HOSTS: a forged Host header would send a patient elsewhere.",
            id="medblocks_connect.W003",
        )


def _check_proxy(configured: Mapping[str, Any]) -> Iterator[CheckMessage]:
    """Report a site whose return URLs are http where a proxy ends TLS, which Medblocks refuses."""
    if not configured.get("RETURN_URL") and not settings.SECURE_PROXY_SSL_HEADER:
        yield CheckWarning(
            "If TLS ends at a proxy, return URLs will begin with http://, which Medblocks refuses: "
            "neither MEDBLOCKS_CONNECT['RETURN_URL'] nor SECURE_PROXY_SSL_HEADER is set.",
            hint="Set RETURN_URL to the https address of this app's return view, or "
            "SECURE_PROXY_SSL_HEADER to the header that your proxy sets. Where the server itself "
            "speaks TLS, silence this check.",
            id="medblocks_connect.W006",
        )


def _check_form_action() -> Iterator[CheckMessage]:
    """Report a policy that keeps a browser from following a start's redirect to the portal.

    Chromium applies ``form-action`` to the redirects of a form, too (CSP level 3 leaves it open).
    """
    sources = _list_form_actions()
    if sources is not None and not _HTTPS_SOURCES & {str(source) for source in sources}:
        yield CheckWarning(
            "The Content-Security-Policy's form-action lets no form lead to a patient portal.",
            hint="Add https: to form-action: a start is a form whose answer leads to the portal of "
            "any hospital, and browsers check redirects too.",
            id="medblocks_connect.W007",
        )


def _list_form_actions() -> Sequence[object] | None:
    """Return the sources of ``form-action``, None where there is none.

    By Django 6's ``SECURE_CSP``, and the settings of django-csp 4 and of those before it.
    """
    policy: Mapping[str, Any] = getattr(settings, "CONTENT_SECURITY_POLICY", None) or {}
    for sources in (
        (getattr(settings, "SECURE_CSP", None) or {}).get("form-action"),
        policy.get("DIRECTIVES", {}).get("form-action"),
        getattr(settings, "CSP_FORM_ACTION", None),
    ):
        if sources:
            return [sources] if isinstance(sources, str) else list(sources)
    return None


def _check_cache() -> Iterator[CheckMessage]:
    if settings.CACHES.get("default", {}).get("BACKEND") == _LOCAL_MEMORY:
        yield CheckWarning(
            "The default cache is each process' own memory: a search is cached, and its throttle "
            "counted, in each process apart.",
            hint="Name a cache that all processes share in CACHES, such as Redis; with a single "
            "process, silence this check.",
            id="medblocks_connect.W008",
        )
