"""The patients, played with Locust: each flow is another patient, who types, chooses and returns.

``python -m benchmarks.load.patients '<job>'`` with the job as JSON:

- ``site``: the host's address; ``users``: how many play at once; ``pause``: the seconds between
  two steps, from and to.
- ``plays``: ``flows``, ``searches``, ``webhooks`` or ``reloads``.
- ``count``: after how many flows, searches or webhooks it ends; ``seconds``: when it ends anyway.
- ``first``: the number of the first patient, so that no two jobs share one.

Prints what was answered, as JSON. Of the flows one in five cancels at the portal, one in ten never
comes back (half of these have decided there), one in twenty presses the facility twice at once. A
patient whose browser shows that the connection broke tries the same again, one whose start is
refused presses "Try again" after a while, three times at most. ``reloads`` plays flows
for half of the time, and for the other half two more patients reload a return URL, twenty times at
once each.
"""

from __future__ import annotations

import html
import json
import random
import re
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

import gevent

# Importing it replaces the sockets by gevent's (Locust's documentation, "as a library").
from locust import FastHttpUser, task
from locust.env import Environment
from locust.exception import StopUser

from benchmarks.load.medblocks import FACILITIES, sign
from benchmarks.names import make_names

LETTERS_TYPED = (3, 5, 8, 12)
TRIES = 3  # while the connection breaks
TRIES_AGAIN = 3  # where the start is refused
SECONDS_UNTIL_NEXT_TRY = (1.0, 3.0)
RELOADERS, RELOADS_AT_ONCE = 2, 20
BUTTON = re.compile(r'name="connection_id" value="([^"]*)"')
HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')
TITLE = re.compile(r"<h1[^>]*>(.*?)</h1>", re.DOTALL)


@dataclass
class Account:
    """What the patients were answered."""

    milliseconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    ends: Counter[str] = field(default_factory=Counter)
    statuses: Counter[str] = field(default_factory=Counter)
    server_errors: Counter[str] = field(default_factory=Counter)
    told: dict[str, str] = field(default_factory=dict)  # session to the title of its page
    phase: str = ""

    def note(self, name: str, answer: Any, began: float) -> None:
        self.milliseconds[self.phase + name].append((time.monotonic() - began) * 1000)
        self.statuses[f"{name} {answer.status_code}"] += 1
        if answer.status_code >= 500:
            title = read_title(answer)
            self.server_errors[f"{name} {answer.status_code} {title or 'without a page'}"] += 1


def read_form(page: str) -> dict[str, str]:
    """Return what the page's form sends by its first facility; nothing where it has none."""
    buttons = BUTTON.findall(page)
    if not buttons:
        return {}
    return dict(HIDDEN.findall(page)) | {"connection_id": html.unescape(buttons[0])}


def read_title(answer: Any) -> str:
    found = TITLE.search(answer.text or "")
    return " ".join(html.unescape(found[1]).split()) if found else ""


JOB: dict[str, Any] = {}
ACCOUNT = Account()
NUMBERS = count()
NAMES: list[str] = []


def take_number() -> int:
    """Return the next number; raises ``StopUser`` when all are played."""
    number = next(NUMBERS)
    if number >= JOB["count"]:
        raise StopUser
    return number


class Browser(FastHttpUser):
    """A browser that plays one patient after another."""

    abstract = True
    network_timeout = 60.0
    connection_timeout = 60.0
    max_retries = 0
    patient = ""

    def on_start(self) -> None:
        """Follow no redirect: said once, as two presses at once would undo it for each other."""
        self.client.client.redirect_response_codes = frozenset()

    def become(self, number: int) -> random.Random:
        """Be another patient, without what the last one's browser kept; return their chance."""
        self.patient = f"p-{JOB['first'] + number}"
        self.client.cookiejar.clear()
        return random.Random(JOB["first"] + number)

    def ask(self, name: str, method: str, address: str, **options: Any) -> Any:
        """Send one request, and again while the connection breaks; note the last answer."""
        headers = {"X-Patient": self.patient, **options.pop("headers", {})}
        for tries_left in reversed(range(TRIES)):
            began = time.monotonic()
            answer = self.client.request(method, address, name=name, headers=headers, **options)
            if answer.status_code or not tries_left:
                ACCOUNT.note(name, answer, began)
                return answer
            ACCOUNT.statuses[f"{name} broken off"] += 1
        raise AssertionError("the last try returns")

    def pause(self, chance: random.Random) -> None:
        gevent.sleep(chance.uniform(*JOB["pause"]))


class FlowBrowser(Browser):
    """Goes the whole way with each patient."""

    abstract = True

    @task
    def play(self) -> None:
        number = take_number()
        end = self.go(self.become(number))
        ACCOUNT.ends[ACCOUNT.phase + end] += 1

    def go(self, chance: random.Random) -> str:
        """Return how the flow ended."""
        page = self.search(chance)
        form = read_form(page)
        if not form:
            return "no result"
        fate = chance.random()
        portal = self.open_portal(form, chance, twice=chance.random() < 0.05)
        if "/c/" not in portal:
            return "start refused"
        self.pause(chance)
        self.ask("portal", "GET", portal)
        if 0.2 <= fate < 0.25:
            return "left the portal"
        choice = "cancel" if fate < 0.2 else "approve"
        back = self.ask("portal", "GET", f"{portal}?answer={choice}").headers["Location"]
        if 0.25 <= fate < 0.3:
            return "decided and left"
        self.pause(chance)
        return self.come_back(back)

    def search(self, chance: random.Random) -> str:
        """Open the page and type a name; return the last results."""
        self.ask("page", "GET", "/records/search/")
        name = chance.choice(NAMES)
        page = ""
        for letters in LETTERS_TYPED:
            self.pause(chance)
            text = quote(name[:letters])
            headers = {"X-Medblocks-Fragment": "results"}
            page = self.ask("results", "GET", f"/records/search/?q={text}", headers=headers).text
        return page or ""

    def open_portal(
        self,
        form: dict[str, str],
        chance: random.Random,
        *,
        twice: bool = False,
        tries: int = TRIES_AGAIN,
    ) -> str:
        """Press the facility; return where the browser is led, by the last answer of two.

        Where the start is refused, press "Try again" on its page after a while.
        """
        body = urlencode(form)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}

        def press() -> Any:
            return self.ask("start", "POST", "/records/start/", data=body, headers=headers)

        presses = [gevent.spawn(press) for _ in range(1 + twice)]
        gevent.joinall(presses, raise_error=True)
        location: str = presses[-1].value.headers.get("Location", "")
        if not location or "/c/" in location or tries == 0:
            return location
        page = self.ask("outcome", "GET", location).text or ""
        gevent.sleep(chance.uniform(*SECONDS_UNTIL_NEXT_TRY))
        return self.open_portal(read_form(page) or form, chance, tries=tries - 1)

    def come_back(self, back: str) -> str:
        """Return by the portal's redirect; note what the patient is told in the end."""
        (session,) = re.findall(r"patient_session_id=([^&]*)", back)
        answer = self.ask("return", "GET", back)
        if answer.status_code == 303:
            answer = self.ask("outcome", "GET", answer.headers["Location"])
        if answer.status_code != 200:
            return "no outcome"
        ACCOUNT.told[session] = read_title(answer)
        return "came back"


class SearchBrowser(Browser):
    """Types names, and nothing else."""

    abstract = True

    @task
    def play(self) -> None:
        chance = self.become(take_number())
        text = quote(chance.choice(NAMES)[: chance.choice(LETTERS_TYPED)])
        headers = {"X-Medblocks-Fragment": "results"}
        self.ask("results", "GET", f"/records/search/?q={text}", headers=headers)


class WebhookSender(Browser):
    """Sends the events of the attempts that the job before made, each once."""

    abstract = True

    @task
    def play(self) -> None:
        number = JOB["first"] + take_number()
        connection = {
            "id": f"conn_{number}",
            "connection_id": "fhirsrc_1",
            "status": "active",
            "failure_code": None,
            "failure_at": None,
            "created_at": "2026-11-01T10:00:00.000Z",
        }
        session: dict[str, Any] = {
            "id": f"ps_of_webhook_{number}",
            "resource_type": "patient_session",
            "status": "complete",
            "url": None,
            "patient_id": f"p-{number}",
            "connection_id": "fhirsrc_1",
            "return_url": "https://clinic.example/records/return/",
            "connections": [connection],
            "expires_at": "2026-11-01T10:30:00.000Z",
            "metadata": {},
            "created_at": "2026-11-01T10:00:00.000Z",
        }
        event = {
            "id": f"evt_of_webhook_{number}",
            "object": "event",
            "type": "patient_session.completed",
            "api_version": "2026-04-25",
            "created_at": "2026-11-01T10:01:00.000Z",
            "data": {"object": session},
        }
        body = json.dumps(event).encode()
        headers = {"Medblocks-Signature": sign(body), "Content-Type": "application/json"}
        self.ask("webhook", "POST", "/records/webhook/", data=body, headers=headers)


class Reloader(FlowBrowser):
    """Goes to the portal, then loads the return URL again and again, many times at once."""

    abstract = True
    concurrency = RELOADS_AT_ONCE

    @task
    def play(self) -> None:
        chance = self.become(next(NUMBERS) + 1_000_000)
        page = self.search(chance)
        portal = self.open_portal(read_form(page), chance)
        answer = self.ask("portal", "GET", f"{portal}?answer=approve")
        back = answer.headers["Location"]

        def reload() -> None:
            while True:
                self.ask("reload", "GET", back)

        gevent.joinall([gevent.spawn(reload) for _ in range(RELOADS_AT_ONCE)])


PLAYERS = {
    "flows": FlowBrowser,
    "reloads": FlowBrowser,
    "searches": SearchBrowser,
    "webhooks": WebhookSender,
}


def play() -> float:
    """Play the job; return the seconds that it took."""
    player = type("Player", (PLAYERS[JOB["plays"]],), {"host": JOB["site"]})
    environment = Environment(user_classes=[player], catch_exceptions=False)
    runner = environment.create_local_runner()
    began = time.monotonic()
    runner.start(JOB["users"], spawn_rate=JOB["users"])
    if JOB["plays"] == "reloads":
        play_with_reloads()
    else:
        gevent.sleep(0.5)
        while runner.user_count and time.monotonic() < began + JOB["seconds"]:
            gevent.sleep(0.05)
    seconds = time.monotonic() - began
    runner.quit()
    return seconds


def play_with_reloads() -> None:
    """Let the patients play alone, then beside those who reload."""
    half = JOB["seconds"] / 2
    ACCOUNT.phase = "alone "
    gevent.sleep(half)
    reloader = type("Reloader", (Reloader,), {"host": JOB["site"]})
    others = Environment(user_classes=[reloader], catch_exceptions=False).create_local_runner()
    others.start(RELOADERS, spawn_rate=RELOADERS)
    gevent.sleep(2)  # until they reload
    ACCOUNT.phase = "beside "
    gevent.sleep(half)
    others.quit()


def main() -> None:
    JOB.update(json.loads(sys.argv[1]))
    NAMES.extend(name for name, _kind in make_names(FACILITIES, seed=5))
    seconds = play()
    told = {
        "seconds": seconds,
        "milliseconds": ACCOUNT.milliseconds,
        "ends": ACCOUNT.ends,
        "statuses": ACCOUNT.statuses,
        "server_errors": ACCOUNT.server_errors,
        "told": ACCOUNT.told,
    }
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    assert urlsplit(json.loads(sys.argv[1])["site"]).hostname == "127.0.0.1"
    main()
