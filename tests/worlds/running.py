"""Running sites: starting one, stopping it, starting it anew, and the browsers at it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from typing import Any

import requests

from medblocks_connect.api import sign
from tests.worlds.medblocks import EYES, SHARED

ROOT = Path(__file__).parents[2]
CSRF_TOKEN = "0" * 32
SETTINGS = {
    "MAX_RETRIES": 0,
    "SEARCH_CACHE_SECONDS": 1,
    "CONNECTIONS_CACHE_SECONDS": 1,
    "THROTTLES": {"search": "80/d", "start": "50/d"},
    "LOGOS": True,
    "CONFIRM_BEFORE_PORTAL": True,
    "REQUEST_NOTES": True,
    "REQUESTS_NAME_PATIENT": True,
    "HOSTED_FALLBACK": True,
    "PINNED_FACILITIES": [SHARED],
    "FACILITY_ALIASES": {"the place for eyes": EYES},
}
"""Whatever shows more: a mixing must have nowhere to hide."""

KEYS = {"a": "mb_sk_live_key_of_a", "b": "mb_sk_live_key_of_b"}
SECRETS = {"a": "whsec_of_a", "b": "whsec_of_b"}
TENANTS = {
    f"{name}.example": {
        "API_KEY": KEYS[name],
        "WORKSPACE": name,
        "WEBHOOK_SECRETS": [SECRETS[name]],
    }
    for name in KEYS
}
TENANTS_SETTINGS = {
    "API_KEY": "tests.worlds.tenants.get_api_key",
    "WORKSPACE": "tests.worlds.tenants.get_workspace",
    "WEBHOOK_SECRETS": "tests.worlds.tenants.get_webhook_secrets",
}
"""A and B, as sites of their own or as tenants of one process."""


class Browser:
    """Somebody's browser at a site; ``host`` is the name that the site is called by."""

    def __init__(self, url: str, session_id: str, host: str) -> None:
        self._url = url
        self._session = requests.Session()
        # A cookie jar would keep the cookies of one host name from the other.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        cookies = f"csrftoken={CSRF_TOKEN}; sessionid={session_id}"
        named = {"Cookie": cookies, "X-CSRFToken": CSRF_TOKEN, "Host": host}
        self._session.headers.update(named)

    def ask(self, method: str, path: str, **how: Any) -> requests.Response:
        return self._session.request(
            method, self._url + path, allow_redirects=False, timeout=30, **how
        )

    def close(self) -> None:
        self._session.close()


class RunningSite:
    """A site's process; ``browse`` gives the browsers at it."""

    def __init__(
        self,
        database: Path,
        cache: str,
        connect: Mapping[str, Any],
        tenants: Mapping[str, Any] | None = None,
    ) -> None:
        environment = {
            **os.environ,
            "DATABASE": str(database),
            "CACHE": cache,
            "MEDBLOCKS_CONNECT": json.dumps({**SETTINGS, **connect}),
            "TENANTS": json.dumps(tenants or {}),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.worlds.site"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._browsers: list[Browser] = []
        assert self._process.stdout
        about = json.loads(self._process.stdout.readline())
        self.url = f"http://127.0.0.1:{about['port']}"
        self._sessions = about["sessions"]

    def browse(self, who: str, host: str = "clinic.example") -> Browser:
        browser = Browser(self.url, self._sessions[who], host)
        self._browsers.append(browser)
        return browser

    def stop(self) -> None:
        for browser in self._browsers:
            browser.close()
        self._process.terminate()
        self._process.wait(10)
        assert self._process.stdout
        self._process.stdout.close()


def sign_event(body: bytes, secret: str) -> dict[str, str]:
    """Return the headers of an event that whoever has ``secret`` signed."""
    signature = sign(body, secret, int(time.time()))
    return {"Medblocks-Signature": signature, "Content-Type": "application/json"}
