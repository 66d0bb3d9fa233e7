"""Checks of the settings' values: each misuse has a hint that names the mend."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.core.checks import Warning as CheckWarning
from django.utils.module_loading import import_string

from medblocks_connect.api import clean_text, validation
from medblocks_connect.api.validation import MAX_LABEL_LENGTH, is_token
from medblocks_connect.conf import (
    CALLABLE_SETTINGS,
    DEFAULTS,
    RATE,
    WORKSPACE_LABEL,
    WORKSPACE_MAX_LENGTH,
    conf,
    names_callable,
    read_configured,
)
from medblocks_connect.layout import find_frame, lacks_title
from medblocks_connect.url_safety import is_contact_url, is_safe_base_url


@register("medblocks_connect")
def check_settings(
    app_configs: Sequence[AppConfig] | None,  # noqa: ARG001 - Django passes it by name
    **kwargs: Any,  # noqa: ARG001
) -> list[CheckMessage]:
    """Report every misuse of ``MEDBLOCKS_CONNECT``."""
    configured = read_configured()
    if not isinstance(configured, dict):
        hint = "MEDBLOCKS_CONNECT = {'API_KEY': …}"
        return [Error("MEDBLOCKS_CONNECT must be a dict.", hint=hint, id="medblocks_connect.E001")]
    return [
        *_check_keys(configured),
        *_check_callables(configured),
        *_check_api_key(configured),
        *_check_workspace(configured),
        *_check_api_version(),
        *_check_numbers(configured),
        *_check_urls(configured),
        *_check_network(configured),
        *_check_resolver(),
        *_check_switches(configured),
        *_check_webhook_secrets(configured),
        *_check_throttles(configured),
        *_check_pages(configured),
        *_check_facilities(configured),
    ]


def _check_keys(configured: dict[str, Any]) -> Iterator[CheckMessage]:
    for key in sorted(set(configured) - set(DEFAULTS), key=str):
        yield CheckWarning(
            f"MEDBLOCKS_CONNECT has a key that means nothing: {key!r}.",
            hint=_describe_known_keys(key),
            id="medblocks_connect.W001",
        )


def _describe_known_keys(key: object) -> str:
    nearest = get_close_matches(str(key).upper(), DEFAULTS, n=1)
    if nearest:
        return f"Is it {nearest[0]!r}? Correct it, or remove it."
    return f"Remove it, or correct it to one of: {', '.join(DEFAULTS)}."


def _check_callables(configured: dict[str, Any]) -> Iterator[CheckMessage]:
    """Report a dotted path that names nothing; it is not called, which may take a tenant."""
    for key in filter(names_callable, CALLABLE_SETTINGS):
        if not _is_importable_callable(configured[key]):
            yield Error(
                f"MEDBLOCKS_CONNECT['{key}'] cannot be imported as a callable: "
                f"{configured[key]!r}.",
                hint="Give the dotted path of a function without arguments, such as "
                "'clinic.tenants.get_api_key', or the value itself; a URL begins with https://.",
                id="medblocks_connect.E025",
            )


def _is_importable_callable(path: str) -> bool:
    try:
        return callable(import_string(path))
    except ImportError:
        return False


def _check_api_key(configured: dict[str, Any]) -> Iterator[CheckMessage]:
    """Report a key that is none. To migrate, to collect static files or to test takes no key."""
    if names_callable("API_KEY"):
        if not configured.get("WORKSPACE"):
            yield Error(
                "MEDBLOCKS_CONNECT['API_KEY'] is a callable, while 'WORKSPACE' is not set.",
                hint="Set WORKSPACE to a callable, too, that returns a label of its own for each "
                "key: without it two live keys would both be 'live', and share what they tell.",
                id="medblocks_connect.E026",
            )
    elif not conf.api_key:
        yield CheckWarning(
            "MEDBLOCKS_CONNECT['API_KEY'] is empty: Medblocks will refuse every call.",
            hint="Set it to the key of your Medblocks workspace (mb_sk_live_… or mb_sk_sbx_…). To "
            "migrate, to collect static files and to test takes none.",
            id="medblocks_connect.W005",
        )
    elif not (conf.api_key.startswith("mb_sk_") and is_token(conf.api_key)):
        yield _bad_api_key("is no Medblocks secret key")
    elif settings.DEBUG and conf.api_key.startswith("mb_sk_live_"):
        yield CheckWarning(
            "MEDBLOCKS_CONNECT['API_KEY'] is a live workspace's, while DEBUG is on.",
            hint="Develop with a sandbox workspace's key, mb_sk_sbx_…, or with the sandbox of this "
            "package: a live key opens patients' records.",
            id="medblocks_connect.W010",
        )


def _bad_api_key(why: str) -> CheckMessage:
    return Error(
        f"MEDBLOCKS_CONNECT['API_KEY'] {why}.",
        hint="Set it to the key of your Medblocks workspace (mb_sk_live_… or mb_sk_sbx_…).",
        id="medblocks_connect.E002",
    )


def _check_workspace(configured: dict[str, Any]) -> Iterator[CheckMessage]:
    label = configured.get("WORKSPACE") or DEFAULTS["WORKSPACE"]
    if names_callable("WORKSPACE") or label == "":
        return
    if not (isinstance(label, str) and WORKSPACE_LABEL.fullmatch(label)):
        yield Error(
            f"MEDBLOCKS_CONNECT['WORKSPACE'] must be up to {WORKSPACE_MAX_LENGTH} letters, digits, "
            "hyphens or underscores.",
            hint="It is your own label of what the API key opens, such as 'live-north', and never "
            "the key; leave it out for 'live' or 'sandbox', by the key's prefix.",
            id="medblocks_connect.E024",
        )


def _check_api_version() -> Iterator[CheckMessage]:
    if conf.api_version and not is_token(conf.api_version):
        yield Error(
            "MEDBLOCKS_CONNECT['API_VERSION'] must be visible ASCII characters.",
            hint=f"Leave it out for {DEFAULTS['API_VERSION']}, which this release is written for.",
            id="medblocks_connect.E018",
        )


_NUMBERS: Final[Mapping[str, tuple[str, int, int, str]]] = {
    "TIMEOUT": ("E003", 1, 60, "seconds that one question to Medblocks may take"),
    "MAX_RETRIES": ("E004", 0, 5, "how often a call is repeated"),
    "MAX_WAITING": ("E027", 1, 64, "how many threads of a process may wait for Medblocks at once"),
    "SESSION_EXPIRES_IN": ("E005", 60, 86400, "seconds that a patient has to sign in"),
    "SEARCH_CACHE_SECONDS": ("E006", 0, 86400, "seconds that results are kept"),
    "CATALOG_MAX_AGE_DAYS": ("E020", 1, 365, "days that a local catalog may be old"),
    "POLL_PER_RUN": ("E034", 0, 10000, "how many patients a run of medblocks_reconcile asks about"),
    "CONNECTIONS_CACHE_SECONDS": ("E014", 0, 3600, "seconds that connections are kept"),
}
"""The number of each number's check, the least and the most allowed, and its meaning."""


def _check_numbers(configured: dict[str, Any]) -> Iterator[CheckMessage]:
    for key, (number, least, most, meaning) in _NUMBERS.items():
        value = configured.get(key, DEFAULTS[key])
        is_whole = isinstance(DEFAULTS[key], int)
        is_number = isinstance(value, int if is_whole else (int, float))
        if isinstance(value, bool) or not (is_number and least <= value <= most):
            kind = "a whole number" if is_whole else "a number"
            yield Error(
                f"MEDBLOCKS_CONNECT['{key}'] must be {kind} from {least} to {most}.",
                hint=f"It says {meaning}; leave it out for {DEFAULTS[key]}.",
                id=f"medblocks_connect.{number}",
            )


def _check_urls(configured: dict[str, Any]) -> Iterator[CheckMessage]:
    if not names_callable("BASE_URL") and not is_safe_base_url(conf.base_url):
        yield Error(
            "MEDBLOCKS_CONNECT['BASE_URL'] must be an https URL without query.",
            hint="Leave it out for the real Medblocks; http is for this machine (127.0.0.1) only.",
            id="medblocks_connect.E007",
        )
    is_text = configured.get("RETURN_URL") and not names_callable("RETURN_URL")
    if is_text and not is_safe_base_url(conf.return_url):
        yield Error(
            "MEDBLOCKS_CONNECT['RETURN_URL'] must be an absolute https URL without query.",
            hint="It is the address of this app's return view, such as "
            "https://clinic.example/records/return/; leave it out to use the request's own host.",
            id="medblocks_connect.E008",
        )
    site_url = configured.get("SITE_URL") or ""
    if not names_callable("SITE_URL") and site_url and not _is_site_url(site_url):
        yield Error(
            "MEDBLOCKS_CONNECT['SITE_URL'] must be an https scheme and host, without a path.",
            hint="It is where Medblocks reaches this site, such as https://clinic.example, for "
            "medblocks_webhooks and medblocks_reconcile; http is for this machine only.",
            id="medblocks_connect.E033",
        )


def _is_site_url(url: object) -> bool:
    return isinstance(url, str) and is_safe_base_url(url) and urlsplit(url).path in {"", "/"}


def _check_network(configured: dict[str, Any]) -> Iterator[CheckMessage]:
    """Report a proxy or a file of certificates that no call could use."""
    if not names_callable("PROXY") and not _is_taken(
        validation.check_proxy, configured.get("PROXY")
    ):
        yield Error(
            "MEDBLOCKS_CONNECT['PROXY'] must be the http:// URL of a proxy.",
            hint="Such as http://proxy.example:3128, or http://user:password@proxy.example:3128 "
            "with both percent-encoded; leave it out where the site reaches Medblocks by itself.",
            id="medblocks_connect.E029",
        )
    if not _is_taken(validation.check_ca_bundle, configured.get("CA_BUNDLE")):
        yield Error(
            "MEDBLOCKS_CONNECT['CA_BUNDLE'] must be a readable file of certificates in PEM form.",
            hint="Give its absolute path; leave it out to trust the public authorities alone.",
            id="medblocks_connect.E030",
        )


def _is_taken(check: Callable[[Any], object], value: object) -> bool:
    try:
        check(value or "")
    except (ValueError, TypeError, AttributeError):
        return False
    return True


def _check_resolver() -> Iterator[CheckMessage]:
    if not _is_importable_callable(conf.patient_resolver):
        yield Error(
            "MEDBLOCKS_CONNECT['PATIENT_RESOLVER'] cannot be imported as a callable: "
            f"{conf.patient_resolver!r}.",
            hint="Give the dotted path of a function (request) -> Patient | None; leave it out "
            "for the signed-in user.",
            id="medblocks_connect.E009",
        )


_SWITCHES: Final[Mapping[str, tuple[str, str]]] = {
    "LOGOS": (
        "E010",
        (
            "True shows the facilities' own logos; a Content-Security-Policy then needs "
            "img-src https:."
        ),
    ),
    "LOG_PATIENT_VIEWS": (
        "E013",
        "True keeps in Django's admin log who looked at which patient's page.",
    ),
    "CONFIRM_BEFORE_PORTAL": (
        "E016",
        "True shows a page to confirm before a patient is sent to the portal.",
    ),
    "REQUEST_NOTES": ("E023", "Leave it out for False."),
    "REQUESTS_NAME_PATIENT": ("E023", "Leave it out for False."),
    "HOSTED_FALLBACK": ("E023", "Leave it out for False."),
    "DEFER_SIGNALS": (
        "E028",
        "True leaves signals to medblocks_reconcile and medblocks_send_signals.",
    ),
}
"""The number of each switch's check, and its hint."""


def _check_switches(configured: dict[str, Any]) -> Iterator[CheckMessage]:
    for key, (number, hint) in _SWITCHES.items():
        if not isinstance(configured.get(key, DEFAULTS[key]), bool):
            yield Error(
                f"MEDBLOCKS_CONNECT['{key}'] must be True or False.",
                hint=hint,
                id=f"medblocks_connect.{number}",
            )


def _check_webhook_secrets(configured: dict[str, Any]) -> Iterator[CheckMessage]:
    secrets = configured.get("WEBHOOK_SECRETS", ())
    if names_callable("WEBHOOK_SECRETS"):
        return
    if not isinstance(secrets, list | tuple) or not all(
        isinstance(secret, str) for secret in secrets
    ):
        yield Error(
            "MEDBLOCKS_CONNECT['WEBHOOK_SECRETS'] must be a list of strings.",
            hint="List the endpoint's secret (whsec_…), and during a rotation the new one too.",
            id="medblocks_connect.E011",
        )
        return
    for number, secret in enumerate(secrets, start=1):
        if fault := _find_fault(secret):
            yield Error(
                f"MEDBLOCKS_CONNECT['WEBHOOK_SECRETS']: secret {number} {fault}.",
                hint="Copy it again as Medblocks shows it, whsec_… and nothing else, one entry of "
                "the list for each; no webhook's signature holds otherwise.",
                id="medblocks_connect.E032",
            )


def _find_fault(secret: str) -> str:
    """Return what is wrong with a webhook secret, "" for nothing. Shows nothing of it."""
    bare = secret.strip()  # white space around it is forgiven
    if not bare:
        return "is blank"
    if bare.startswith("mb_sk_"):
        return "is an API key"
    if bare[0] in "\"'`" or bare[-1] in "\"'`":
        return "stands in quotes"
    if "#" in bare:
        return "has a comment"
    if len(re.split(r"[\s,;]+", bare)) > 1:
        return "is two in one, or has white space inside"
    return "" if is_token(bare) else "has a character that none has, such as a byte order mark"


def _check_throttles(configured: dict[str, Any]) -> Iterator[CheckMessage]:
    throttles = configured.get("THROTTLES", {})
    actions = DEFAULTS["THROTTLES"]
    wrong = not isinstance(throttles, dict) or any(
        name not in actions
        or not (rate is None or (isinstance(rate, str) and RATE.fullmatch(rate)))
        for name, rate in throttles.items()
    )
    if wrong:
        yield Error(
            "MEDBLOCKS_CONNECT['THROTTLES'] must be a dict of 'search', 'start', 'return' and "
            "'disconnect' to a rate.",
            hint="A rate is a number per s, m, h or d, such as '20/m'; None switches one off.",
            id="medblocks_connect.E012",
        )


def _check_pages(configured: dict[str, Any]) -> Iterator[CheckMessage]:
    names = ("BASE_TEMPLATE", "BASE_BLOCK")
    is_named = any(configured.get(name, DEFAULTS[name]) != DEFAULTS[name] for name in names)
    if is_named and conf.base_template and not find_frame():
        yield Error(
            f"MEDBLOCKS_CONNECT['BASE_TEMPLATE'] or ['BASE_BLOCK'] is wrong: no template "
            f"{conf.base_template!r} with a block {conf.base_block!r} was found.",
            hint="Name a Django template of your site and the block for a page's content; leave "
            "both out to use base.html and its block content where they are there.",
            id="medblocks_connect.E015",
        )
    if lacks_title():
        yield CheckWarning(
            f"MEDBLOCKS_CONNECT['BASE_TEMPLATE'], {conf.base_template!r}, has no block 'title': "
            "all pages of this app have the same title there.",
            hint="Put {% block title %}{% endblock %} into its <title>: a screen reader reads the "
            "title first, and WCAG 2.4.2 asks for one that tells the page.",
            id="medblocks_connect.W002",
        )
    label = conf.return_button_label
    if clean_text(label, MAX_LABEL_LENGTH) != label:
        yield Error(
            "MEDBLOCKS_CONNECT['RETURN_BUTTON_LABEL'] must be one line of up to "
            f"{MAX_LABEL_LENGTH} characters.",
            hint="It is the bare name of your site, such as 'Riverbend Clinic'.",
            id="medblocks_connect.E031",
        )
    if conf.contact_url and not is_contact_url(conf.contact_url):
        yield Error(
            "MEDBLOCKS_CONNECT['CONTACT_URL'] must begin with https://, mailto:, tel: or /.",
            hint="It is where a patient finds help when something failed.",
            id="medblocks_connect.E017",
        )


def _check_facilities(configured: dict[str, Any]) -> Iterator[CheckMessage]:
    if not _is_list_of_ids(configured.get("PINNED_FACILITIES", ())):
        yield Error(
            "MEDBLOCKS_CONNECT['PINNED_FACILITIES'] must be a list of facilities' ids.",
            hint="For example ['fhirsrc_…']; leave it out to pin none.",
            id="medblocks_connect.E021",
        )
    aliases = configured.get("FACILITY_ALIASES", {})
    if not (
        isinstance(aliases, dict)
        and all(isinstance(alias, str) and alias.strip() for alias in aliases)
        and all(isinstance(ids, str) or _is_list_of_ids(ids) for ids in aliases.values())
    ):
        yield Error(
            "MEDBLOCKS_CONNECT['FACILITY_ALIASES'] must be a dict of names to facilities' ids.",
            hint="For example {'the Brigham': 'fhirsrc_…'}, or a list of ids for several.",
            id="medblocks_connect.E022",
        )


def _is_list_of_ids(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)
