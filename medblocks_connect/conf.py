"""The settings: the one place that reads ``MEDBLOCKS_CONNECT``, with the default of every key.

A value is read when it is asked for, never at import, so that ``override_settings`` and late
settings work. Misuse is reported by :mod:`medblocks_connect.checks`; here only what no check can
see: what a callable returned.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, Final, cast

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from medblocks_connect.api.redaction import Secret

RATE: Final = re.compile(r"([1-9][0-9]{0,5})/([smhd])")
"""How a throttle's rate is written: a number per second, minute, hour or day."""

WORKSPACE_MAX_LENGTH: Final = 50

WORKSPACE_LABEL: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{WORKSPACE_MAX_LENGTH}}}")
"""How a workspace is named."""

# Neither a key, a secret, a label nor a URL looks like it.
_DOTTED_PATH: Final = re.compile(r"(?!mb_sk_|whsec_)[^\W\d]\w*(?:\.[^\W\d]\w*)+")

WINDOWS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
"""The windows of a throttle's rate, in seconds."""

_THROTTLES: Final = {"search": "120/m", "start": "20/m", "return": "60/m", "disconnect": "20/m"}


def read_configured() -> Any:
    """Return ``settings.MEDBLOCKS_CONNECT`` as the host wrote it, a dict unless it is misused."""
    return getattr(settings, "MEDBLOCKS_CONNECT", {})


def is_dotted_path(configured: object) -> bool:
    """Return whether a setting names a callable, such as ``"clinic.tenants.get_api_key"``."""
    return isinstance(configured, str) and _DOTTED_PATH.fullmatch(configured) is not None


def _read_secrets(configured: str | Iterable[str]) -> tuple[Secret, ...]:
    secrets = [configured] if isinstance(configured, str) else configured
    # White space around one, such as a file's last line break, is never part of it.
    return tuple(Secret(secret.strip()) for secret in secrets if secret.strip())


def _read_optional_text(configured: object) -> str:
    # None is what os.environ.get returns, a Path what BASE_DIR / "ca.pem" is, and a label may be
    # translated lazily.
    return str(configured or "")


def _read_optional_secret(configured: str | None) -> Secret:
    return Secret(configured or "")


def _read_throttles(configured: Mapping[str, str | None] | None) -> Mapping[str, str | None]:
    return {**_THROTTLES, **(configured or {})}


def _read_aliases(configured: Mapping[str, str | Iterable[str]]) -> dict[str, tuple[str, ...]]:
    return {
        alias: (ids,) if isinstance(ids, str) else tuple(ids) for alias, ids in configured.items()
    }


def _setting(
    default: Any, read: Callable[[Any], Any], *, callable_returns: str | None = None
) -> Any:
    return field(
        default_factory=lambda: read(default),
        metadata={"default": default, "read": read, "callable_returns": callable_returns},
    )


@dataclass(frozen=True)
class MedblocksSettings:
    """Every key of ``MEDBLOCKS_CONNECT`` in small letters: its type, its default, its meaning.

    Those of :data:`CALLABLE_SETTINGS` may be the dotted path of a callable without arguments, that
    is called at every use; None from it stands for the default.
    """

    api_key: Secret = _setting("", Secret, callable_returns="a text")
    """The workspace's secret key, ``mb_sk_live_…`` or ``mb_sk_sbx_…``."""
    workspace: str = _setting("", str, callable_returns="a text")
    """A short label of what the API key opens; see :func:`find_workspace`."""
    base_url: str = _setting("https://app.medblocks.com", str, callable_returns="a text")
    """Medblocks' address; https, or http on loopback only."""
    api_version: str = _setting("2026-04-25", str)
    """The ``Version`` header: the version of the API that this release was written for."""
    timeout: float = _setting(10.0, float)
    """Seconds that one question to Medblocks may take in all, retries included."""
    max_retries: int = _setting(2, int)
    """The number of times that a call that is safe to repeat is repeated; once for a patient."""
    max_waiting: int = _setting(4, int)
    """The number of patients' calls that may wait for Medblocks at once, in each process."""
    proxy: Secret = _setting("", _read_optional_secret, callable_returns="a text")
    """The ``http://`` URL of a proxy to Medblocks, its user and password included; empty: none."""
    ca_bundle: str = _setting("", _read_optional_text)
    """The path of a PEM file with the certificates to trust; empty: the public ones."""
    webhook_secrets: tuple[Secret, ...] = _setting(
        (), _read_secrets, callable_returns="a list of texts"
    )
    """The webhook endpoint's secrets, ``whsec_…``: several while one replaces another."""
    site_url: str = _setting("", _read_optional_text, callable_returns="a text")
    """This site's scheme and host, such as ``https://clinic.example``: where webhooks are sent."""
    poll_per_run: int = _setting(500, int)
    """The most patients that a run asks Medblocks about, to learn of access that was lost."""
    defer_signals: bool = _setting(False, bool)
    """Leave every signal to ``medblocks_reconcile`` and ``medblocks_send_signals``."""
    patient_resolver: str = _setting("medblocks_connect.patients.signed_in_user", str)
    """Dotted path to ``(request) -> Patient | None``."""
    return_url: str = _setting("", str, callable_returns="a text")
    """Absolute URL of the ``return`` view; empty: built from the request's own host."""
    session_expires_in: int = _setting(1800, int)
    """Seconds that a patient has to sign in at the portal (60 to 86400)."""
    return_button_label: str = _setting("", _read_optional_text)
    """The bare name of the site, for the button on Medblocks' own page that leads back to it."""
    search_cache_seconds: int = _setting(300, int)
    """Seconds that a page of search results is kept in Django's cache."""
    logos: bool = _setting(False, bool)
    """Show the facilities' https logos instead of their initials."""
    catalog_max_age_days: int = _setting(7, int)
    """Days after which a local catalog that was not synced again is complained about."""
    pinned_facilities: tuple[str, ...] = _setting((), tuple)
    """Ids of the facilities that are shown before anybody types, in this order."""
    facility_aliases: dict[str, tuple[str, ...]] = _setting({}, _read_aliases)
    """Names that people here call facilities: a name to one facility's id, or to several."""
    request_notes: bool = _setting(False, bool)
    """Let a patient who misses a facility add a note."""
    requests_name_patient: bool = _setting(False, bool)
    """Keep the patient's id with a request for a missing facility."""
    hosted_fallback: bool = _setting(False, bool)
    """Let a patient who misses a facility choose at Medblocks' own page instead."""
    log_patient_views: bool = _setting(True, bool)
    """Keep in Django's log which member of staff looked at which patient's page."""
    connections_cache_seconds: int = _setting(60, int)
    """Seconds that a patient's connections, as Medblocks told them, are kept in the cache."""
    base_template: str = _setting("base.html", str)
    """The site's template that our pages extend if it is there and has the block."""
    base_block: str = _setting("content", str)
    """The block of the base template that our pages fill."""
    confirm_before_portal: bool = _setting(False, bool)
    """Show a page to confirm, after a facility was chosen and before its portal."""
    contact_url: str = _setting("", str)
    """The address of help when something failed: https, mailto, tel or a path."""
    throttles: Mapping[str, str | None] = _setting(_THROTTLES, _read_throttles)
    """The rates at which one patient may search, start, be asked about after a return, and
    disconnect: ``"20/m"``; None switches one off."""


_FIELDS: Final[Mapping[str, Field[Any]]] = {
    setting.name: setting for setting in fields(MedblocksSettings)
}

DEFAULTS: Final[Mapping[str, Any]] = {
    name.upper(): setting.metadata["default"] for name, setting in _FIELDS.items()
}
"""The default of every key of ``MEDBLOCKS_CONNECT``, as a site would write it."""


CALLABLE_SETTINGS: Final = tuple(
    name.upper() for name, setting in _FIELDS.items() if setting.metadata["callable_returns"]
)
"""The settings that may be dotted paths of callables, so that each tenant has its own."""


class _LiveSettings:
    """Reads each attribute of :class:`MedblocksSettings` from ``settings`` whenever it is used."""

    def __getattr__(self, name: str) -> Any:
        if name not in _FIELDS:
            raise AttributeError(name)
        configured: Mapping[str, Any] = read_configured()
        metadata = _FIELDS[name].metadata
        value = configured.get(name.upper(), metadata["default"])
        if metadata["callable_returns"] and is_dotted_path(value):
            value = _call(name.upper(), value, metadata)
        return metadata["read"](value)


def _call(key: str, path: str, metadata: Mapping[str, Any]) -> Any:
    """Return what the callable at ``path`` returns; raises ``ImproperlyConfigured`` for nonsense.

    Neither the message nor what raised it shows what was returned: it may be a key.
    """
    try:
        call = import_string(path)
    except ImportError as error:
        raise ImproperlyConfigured(f"MEDBLOCKS_CONNECT['{key}']: {error}") from error
    value = call()
    if value is None:
        return metadata["default"]
    if isinstance(value, str) if metadata["callable_returns"] == "a text" else _are_texts(value):
        return value
    raise ImproperlyConfigured(
        f"MEDBLOCKS_CONNECT['{key}']: {path} must return {metadata['callable_returns']}."
    )


def _are_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(text, str) for text in value)


conf: Final = cast("MedblocksSettings", _LiveSettings())


@dataclass(frozen=True)
class Rate:
    """A throttle's rate: ``allowed`` times in each window of ``seconds``."""

    allowed: int
    seconds: int

    def find_end(self, now: float) -> int:
        """Return when the window of ``now`` ends; both in seconds since 1970."""
        return (int(now // self.seconds) + 1) * self.seconds

    def count_seconds_left(self, now: float) -> int:
        """Return the seconds until the next window begins, at least 1."""
        return max(1, int(self.seconds - now % self.seconds) + 1)


def find_rate(action: str) -> Rate | None:
    """Return the rate of ``action``, a key of the setting ``THROTTLES``; None for no limit."""
    rate = conf.throttles[action]
    match = RATE.fullmatch(rate) if rate else None
    return Rate(int(match[1]), WINDOWS[match[2]]) if match else None


def find_workspace() -> str:
    """Return the label of what the API key opens: its facilities, its patients, their connections.

    Medblocks gives it no id. Without the setting ``WORKSPACE`` it is ``live`` or ``sandbox``, by
    the key's prefix ("Authentication" on the API page); so a key can be rotated. Raises
    ``ImproperlyConfigured`` where a callable gives no label: two tenants would share the other.
    """
    workspace = conf.workspace
    if not workspace and not names_callable("API_KEY") and not names_callable("WORKSPACE"):
        return "live" if conf.api_key.startswith("mb_sk_live_") else "sandbox"
    if not WORKSPACE_LABEL.fullmatch(workspace):
        raise ImproperlyConfigured(
            f"MEDBLOCKS_CONNECT['WORKSPACE'] must be 1 to {WORKSPACE_MAX_LENGTH} letters, digits, "
            "hyphens or underscores, where it or API_KEY is a callable too."
        )
    return workspace


def names_callable(key: str) -> bool:
    """Return whether the setting ``key`` is the dotted path of a callable."""
    configured: Mapping[str, Any] = read_configured()
    return key in CALLABLE_SETTINGS and is_dotted_path(configured.get(key))
