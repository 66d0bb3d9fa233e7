"""A patient's browser without scripts: it reads pages and presses their buttons."""

import re
from html import unescape
from urllib.parse import urljoin

import requests

_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
_FACILITY = re.compile(
    r'<button[^>]*name="connection_id" value="([^"]+)"[^>]*>(.*?)</button>', re.DOTALL
)
_TAG = re.compile(r"<[^>]*>")
_ATTEMPT = re.compile(r'href="([^"]*/attempts/[^"]+)"')


class Browser:
    """One patient in front of the clinic's site at ``url``.

    A page that is not what it should be raises ``requests.HTTPError`` or ``LookupError``.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._http = requests.Session()
        self._http.trust_env = False  # a proxy would be asked for an address of this machine

    def get(self, path: str) -> requests.Response:
        """Open a page, wherever it leads."""
        response = self._http.get(urljoin(self._url, path), timeout=30)
        response.raise_for_status()
        return response

    def sign_in(self, username: str, password: str) -> None:
        """Sign in at the clinic."""
        page = self.get("/sign-in/")
        answer = self._submit(page, page.url, {"username": username, "password": password})
        if "sign-out" not in answer.text:
            raise LookupError(f"{username} could not sign in")

    def start(self, facility: str) -> requests.Response:
        """Search for ``facility`` and press its button; the answer is the portal's page or ours."""
        page = self._http.get(
            urljoin(self._url, "/records/search/"), params={"q": facility[:40]}, timeout=30
        )
        for connection_id, label in _FACILITY.findall(page.text):
            if facility in unescape(_TAG.sub("", label)):
                fields = {"connection_id": unescape(connection_id)}
                return self._submit(page, "/records/start/", fields)
        raise LookupError(f"{facility} is not among the results")

    def decide(self, portal: requests.Response, choice: str) -> requests.Response:
        """Sign in at the portal and choose; the answer is the page this ends at."""
        consent = self._submit(portal, f"{portal.url}/sign-in", {})
        return self._submit(consent, f"{portal.url}/decision", {"choice": choice})

    def open_latest_attempt(self) -> requests.Response:
        """Open the attempt that the account page names first."""
        link = _ATTEMPT.search(self.get("/account/").text)
        if link is None:
            raise LookupError("the account page names no attempt")
        return self.get(link[1])

    def _submit(
        self, page: requests.Response, path: str, fields: dict[str, str]
    ) -> requests.Response:
        token = _TOKEN.search(page.text)
        if token is None:
            raise LookupError(f"no form on the page (HTTP {page.status_code})")
        return self._http.post(
            urljoin(self._url, path),
            data={**fields, "csrfmiddlewaretoken": token[1]},
            timeout=30,
        )
