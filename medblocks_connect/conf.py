"""Where settings come from: the one place that reads ``MEDBLOCKS_CONNECT``.

Every key is a typed property below, with its default in :data:`DEFAULTS`. Values are read when
they are asked for, never at import, so that ``override_settings`` and late settings work.
Misuse is reported by :mod:`medblocks_connect.checks`, not here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings

from medblocks_connect.api.redaction import Secret

DEFAULTS: Final[Mapping[str, Any]] = {
    "API_KEY": "",
    "BASE_URL": "https://app.medblocks.com",
    "API_VERSION": "2026-04-25",
    "TIMEOUT": 10.0,
    "MAX_RETRIES": 2,
    "WEBHOOK_SECRETS": (),
    "PATIENT_RESOLVER": "medblocks_connect.patients.signed_in_user",
    "RETURN_URL": "",
    "SESSION_EXPIRES_IN": 1800,
    "SEARCH_CACHE_SECONDS": 300,
    "LOGOS": False,
    "CATALOG_MAX_AGE_DAYS": 7,
    "PINNED_FACILITIES": (),
    "FACILITY_ALIASES": {},
    "REQUEST_NOTES": False,
    "REQUESTS_NAME_PATIENT": False,
    "HOSTED_FALLBACK": False,
    "LOG_PATIENT_VIEWS": True,
    "CONNECTIONS_CACHE_SECONDS": 60,
    "BASE_TEMPLATE": "base.html",
    "BASE_BLOCK": "content",
    "CONFIRM_BEFORE_PORTAL": False,
    "CONTACT_URL": "",
    "THROTTLES": {"search": "120/m", "start": "20/m"},
}

RATE: Final = re.compile(r"([1-9][0-9]{0,5})/([smhd])")
"""How a throttle's rate is written: a number per second, minute, hour or day."""


class MedblocksSettings:
    """The settings of the app, read live from ``settings.MEDBLOCKS_CONNECT``."""

    def _read(self, key: str) -> Any:
        configured: Mapping[str, Any] = getattr(settings, "MEDBLOCKS_CONNECT", {})
        return configured.get(key, DEFAULTS[key])

    @property
    def api_key(self) -> Secret:
        """The workspace's secret key, ``mb_sk_live_…`` or ``mb_sk_sbx_…``."""
        return Secret(self._read("API_KEY"))

    @property
    def webhook_secrets(self) -> list[Secret]:
        """The webhook endpoint's secrets, ``whsec_…``: several while one replaces another."""
        configured = self._read("WEBHOOK_SECRETS")
        secrets = [configured] if isinstance(configured, str) else configured
        return [Secret(secret) for secret in secrets if secret]

    @property
    def base_url(self) -> str:
        """Where Medblocks answers; https, or http on loopback only."""
        return str(self._read("BASE_URL"))

    @property
    def api_version(self) -> str:
        """What the ``Version`` header says; the version this release was written for."""
        return str(self._read("API_VERSION"))

    @property
    def timeout(self) -> float:
        """Seconds that one question to Medblocks may take in all, retries included."""
        return float(self._read("TIMEOUT"))

    @property
    def max_retries(self) -> int:
        """How often a call that is safe to repeat is repeated."""
        return int(self._read("MAX_RETRIES"))

    @property
    def patient_resolver(self) -> str:
        """Dotted path to ``(request) -> Patient | None``."""
        return str(self._read("PATIENT_RESOLVER"))

    @property
    def return_url(self) -> str:
        """Absolute URL of the ``return`` view; empty: built from the request's own host."""
        return str(self._read("RETURN_URL"))

    @property
    def session_expires_in(self) -> int:
        """Seconds that a patient has to sign in at the portal (60 to 86400)."""
        return int(self._read("SESSION_EXPIRES_IN"))

    @property
    def search_cache_seconds(self) -> int:
        """Seconds that a page of search results is kept in Django's cache."""
        return int(self._read("SEARCH_CACHE_SECONDS"))

    @property
    def logos(self) -> bool:
        """Return whether results show the facilities' https logos instead of their initials."""
        return bool(self._read("LOGOS"))

    @property
    def log_patient_views(self) -> bool:
        """Return whether Django's log keeps who of staff looked at which patient's page."""
        return bool(self._read("LOG_PATIENT_VIEWS"))

    @property
    def connections_cache_seconds(self) -> int:
        """Seconds that a patient's connections, as Medblocks told them, are kept in the cache."""
        return int(self._read("CONNECTIONS_CACHE_SECONDS"))

    @property
    def base_template(self) -> str:
        """The site's template that our pages extend if it is there and has the block."""
        return str(self._read("BASE_TEMPLATE"))

    @property
    def base_block(self) -> str:
        """The block of :attr:`base_template` that our pages fill."""
        return str(self._read("BASE_BLOCK"))

    @property
    def confirm_before_portal(self) -> bool:
        """Return whether choosing a facility shows a page to confirm before the portal."""
        return bool(self._read("CONFIRM_BEFORE_PORTAL"))

    @property
    def contact_url(self) -> str:
        """Where a patient finds help when something failed: https, mailto, tel or a path."""
        return str(self._read("CONTACT_URL"))

    @property
    def throttles(self) -> Mapping[str, str | None]:
        """How often one patient may search and start: ``"20/m"``; None switches one off."""
        return {**DEFAULTS["THROTTLES"], **(self._read("THROTTLES") or {})}

    @property
    def catalog_max_age_days(self) -> int:
        """Days after which a local catalog that was not synced again is complained about."""
        return int(self._read("CATALOG_MAX_AGE_DAYS"))

    @property
    def pinned_facilities(self) -> tuple[str, ...]:
        """Ids of the facilities that are shown before anybody types, in this order."""
        return tuple(self._read("PINNED_FACILITIES"))

    @property
    def facility_aliases(self) -> dict[str, tuple[str, ...]]:
        """What people here call a facility: a name of yours to one facility's id, or to several."""
        configured: Mapping[str, Any] = self._read("FACILITY_ALIASES")
        return {
            alias: (ids,) if isinstance(ids, str) else tuple(ids)
            for alias, ids in configured.items()
        }

    @property
    def request_notes(self) -> bool:
        """Return whether a patient who misses a facility may add a note."""
        return bool(self._read("REQUEST_NOTES"))

    @property
    def requests_name_patient(self) -> bool:
        """Return whether a request for a missing facility keeps the patient's id."""
        return bool(self._read("REQUESTS_NAME_PATIENT"))

    @property
    def hosted_fallback(self) -> bool:
        """Return whether a patient who misses a facility may choose at Medblocks' own page."""
        return bool(self._read("HOSTED_FALLBACK"))


conf: Final = MedblocksSettings()
