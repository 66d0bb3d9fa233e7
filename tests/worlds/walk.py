"""A walk over every page, JSON answer and admin page of a site, as its patient and its staff.

Two walks at the same site, over the same database and the same Medblocks, see the same: what may
differ (tokens, random ids, times) is made equal in what they note.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import requests
from django.urls import reverse

from tests.faults.events import event
from tests.worlds.medblocks import EYES, LONG_AGO, MEADOWS, SHARED, Json, World
from tests.worlds.running import RunningSite, sign_event

URLCONF = "tests.worlds.urls"
ATTEMPT = "patientconnectionattempt"
HOST = "clinic.example"
MOST_REQUESTS = 50  # more than a walk leaves to the limits

_MONTHS = "Jan|Feb|March|April|May|June|July|Aug|Sept|Oct|Nov|Dec"
_VARIABLE = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r'(name="csrfmiddlewaretoken" value=")\w+', r"\1token"),
        (r"'?(?<![\w-])[\w-]{32}(?![\w-])", "random"),  # the export escapes a hyphen before
        (r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?([+-]\d\d:\d\d|Z)?)?", "time"),
        (rf"(({_MONTHS})[a-z]*\.?\s\d{{1,2}}|\d{{1,2}}\s({_MONTHS}))(,\s\d{{4}})?", "day"),
        (r"\d{1,2}(:\d\d){0,2}\s[ap]\.m\.|\bnoon\b|\bmidnight\b|\b\d\d:\d\d(:\d\d)?\b", "hour"),
        (r"\d+\s(s|seconds?|minutes?|hours?)\b", "duration"),
        (r",\d+,(?=(time)?,(req_\w+)?,)", ",seconds,"),  # in the export
    )
)


@dataclass(frozen=True)
class Seen:
    """An answer: its status, where it leads, and its text as it came."""

    status: int
    location: str
    text: str

    @property
    def normalised(self) -> tuple[int, str, str]:
        """The same, less what differs from one walk to the next."""
        return self.status, make_equal(self.location), make_equal(self.text)


def make_equal(text: str) -> str:
    for pattern, replacement in _VARIABLE:
        text = pattern.sub(replacement, text)
    return text


@dataclass
class Walk:
    """What is seen at ``site``, whose Medblocks is ``world``, by the URL's name and the case."""

    site: RunningSite
    world: World
    secret: str
    host: str = HOST
    seen: dict[str, Seen] = field(default_factory=dict)
    allowed: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self._browsers = {
            who: self.site.browse(who, self.host) for who in ("patient", "other", "staff")
        }

    # One request.

    def ask(
        self, name: str, *args: Any, by: str = "patient", method: str = "GET", **how: Any
    ) -> requests.Response:
        """Ask for the URL ``name`` and note nothing."""
        path = reverse(name, urlconf=URLCONF, args=args)
        return self._browsers[by].ask(method, path, **how)

    def note(self, case: str, answer: requests.Response) -> Seen:
        location = answer.headers.get("Location", "")
        seen = Seen(answer.status_code, location, answer.content.decode())
        assert case not in self.seen, case
        self.seen[case] = seen
        return seen

    def visit(self, name: str, case: str = "", *args: Any, **how: Any) -> Seen:
        """Look at a page of the app as the patient, and note what is seen."""
        noted = f"{name} {case}".strip()
        return self.note(noted, self.ask(f"medblocks_connect:{name}", *args, **how))

    def visit_staff(self, name: str, case: str = "", *args: Any, **how: Any) -> Seen:
        """Look at a page of the admin as staff, and note what is seen."""
        noted = f"{name} {case}".strip()
        return self.note(noted, self.ask(f"admin:{name}", *args, by="staff", **how))

    # What a patient does.

    def start(self, facility: str, case: str, *, by: str = "patient") -> Json:
        """Start at ``facility``; return the session at Medblocks."""
        form = {"connection_id": facility, "confirmed": "yes"}
        seen = self.visit("start", case, method="POST", data=form, by=by)
        assert seen.status == 303, seen.text
        return self.world.newest_session()

    def come_back(self, session: Json, case: str, *, by: str = "patient", **claim: str) -> Seen:
        """Come back from the portal with ``claim``; return the attempt's page."""
        query = {"patient_id": session["patient_id"], "patient_session_id": session["id"], **claim}
        self.visit("return", case, params=query, by=by)
        return self.visit_attempt(session, case, by=by)

    def connect(self, facility: str, case: str, *, by: str = "patient") -> Json:
        """Connect at ``facility`` and come back; return the session."""
        session = self.start(facility, case, by=by)
        self.world.approve(session)
        self.come_back(session, case, by=by, success="true", connection_id=facility)
        return session

    def visit_attempt(self, session: Json, case: str, *, by: str = "patient") -> Seen:
        return self.visit("attempt", case, session["metadata"]["attempt"], by=by)

    def send(
        self, case: str, kind: str, about: Any, *, secret: str = "", event_id: str = ""
    ) -> Seen:
        """Deliver an event, signed with the site's own secret unless another is given."""
        key = event_id or f"evt_{self.world.mark}_{case}".replace(" ", "_")
        body = json.dumps(event(kind, about, key)).encode()
        headers = sign_event(body, secret or self.secret)
        return self.visit("webhook", case, method="POST", data=body, headers=headers)

    def run(self, command: str, *options: str) -> str:
        how = {"method": "POST", "data": {"option": options}, "by": "staff"}
        answer = self.ask("run", command, **how)
        assert answer.status_code == 200
        self.seen[f"run {command}"] = Seen(200, "", answer.text)
        return answer.text

    # The whole of it.

    def walk_patients_pages(self) -> None:
        """See everything that a patient and Medblocks may ask for."""
        self.visit("attempt", "nobody's", "x" * 32)
        self.search("first")
        self.visit("connections", "first")
        self.live_through_everything()
        self.visit("connections", "after it")
        self.search("after it")
        self.disconnect()
        self.report_missing()
        self.run("medblocks_reconcile")
        self.run("medblocks_sync_facilities", "--pause", "0")
        self.search("in the catalog")
        self.start(MEADOWS[20], "in the catalog")

    def search(self, case: str) -> None:
        self.visit("search", f"empty {case}")
        cursor = "place:20:"
        for typed in ("hospital", "eyes", "place for eyes", "eye", "nowhere at all"):
            query = {"q": typed}
            self.visit("search", f"{typed} {case}", params=query)
            seen = self.visit("api-connections", f"{typed} {case}", params=query)
            cursor = json.loads(seen.text).get("next_cursor") or cursor
        fragment = {"X-Medblocks-Fragment": "settled"}
        self.visit("search", f"results {case}", params={"q": "hospital"}, headers=fragment)
        later = {"q": "hospital", "starting_after": cursor}
        self.visit("search", f"later {case}", params=later)
        self.visit("api-connections", f"later {case}", params=later)
        self.visit("search", f"kind {case}", params={"q": "hospital", "type": "cerner"})

    def live_through_everything(self) -> None:
        """Let attempts end in every way there is."""
        for facility in (SHARED, MEADOWS[0], "fhirsrc_unknown"):
            form = {"connection_id": facility}
            self.visit("start", f"confirm {facility}", method="POST", data=form)
        unknown = {"connection_id": "fhirsrc_unknown", "confirmed": "yes"}
        self.visit("start", "unknown", method="POST", data=unknown)
        self.visit("start", "nothing", method="POST", data={})
        self.visit_attempt(self.start(EYES, "open"), "open")
        self.come_back(self.start(MEADOWS[1], "unconfirmed"), "unconfirmed", success="true")
        connected = self.connect(MEADOWS[2], "connected")
        self._fail()
        self._choose_at_medblocks()
        told = self.start(MEADOWS[4], "told")
        self.world.approve(told)
        self.send("completed", "patient_session.completed", told)
        self.visit_attempt(told, "told")
        self._lose()
        about = {"patient_id": "1", "connection_id": connected["connection_id"]}
        synced = {"resource_type": "records_sync", "total": 12, "errors": 0, "duration_ms": 1}
        self.send("records", "records.sync.completed", {**about, **synced})
        self.send("unsigned", "records.sync.completed", about, secret="whsec_of_nobody")

    def _fail(self) -> None:
        body = {"connection_id": MEADOWS[3]}
        self.visit("api-patient-sessions", "started", method="POST", json=body)
        session = self.world.newest_session()
        self.world.fail(session)
        self.come_back(session, "failed", success="false", error="oauth_error")
        for case, wrong in (("unknown", "fhirsrc_unknown"), ("nothing", "")):
            body = {"connection_id": wrong}
            self.visit("api-patient-sessions", case, method="POST", json=body)

    def _choose_at_medblocks(self) -> None:
        self.visit("start-hosted", method="POST", data={"shown": [SHARED, EYES]})
        session = self.world.newest_session()
        self.world.approve(session, MEADOWS[6])
        self.come_back(session, "hosted")

    def _lose(self) -> None:
        session = self.connect(MEADOWS[5], "before the loss")
        connection = session["connections"][0]
        self.world.lose(connection)
        lost = {**connection, "failure_code": "token_unavailable", "failure_at": LONG_AGO}
        lost["failure_at"] = "2098-01-01T00:00:00.000Z"  # after it was connected, whenever that is
        self.send("lost", "connection.token_refresh_failed", lost)
        self.visit_attempt(session, "lost")

    def disconnect(self) -> None:
        for connection in (f"conn_{self.world.mark}_0", "conn_of_nobody"):
            chosen = {"connection": connection}
            self.visit("disconnect", f"ask {connection}", params=chosen)
            self.visit("disconnect", f"end {connection}", method="POST", data=chosen)
        self.visit("connections", "disconnected")

    def report_missing(self) -> None:
        for case, text in (("told", "The clinic by the river"), ("nothing", "")):
            form = {"text": text, "note": "By the old mill"}
            self.visit("not-found", case, method="POST", data=form)
        self.visit("not-found-thanks")

    def walk_while_away(self, case: str) -> None:
        """See what is shown while Medblocks is away; ``case`` says whether it was there before."""
        self.visit("connections", case)
        for typed in ("hospital", "eye"):
            self.visit("search", f"{typed} {case}", params={"q": typed})
            self.visit("api-connections", f"{typed} {case}", params={"q": typed})

    def walk_staff_pages(self) -> None:
        """See everything that staff may see in the admin, and do."""
        for name in ("index", "app_list"):
            self.visit_staff(name, "", *(["medblocks_connect"] if name == "app_list" else []))
        lists = (ATTEMPT, "webhookdelivery", "facility", "catalogsync", "missingfacility")
        for model in (*lists, "patienthistory", "lostconnection"):
            self._visit_list(model)
        for model in lists:
            self.visit_staff(f"medblocks_connect_{model}_add")
            for number, key in enumerate(self._list_keys(model)):
                for page in ("change", "history", "delete")[: 1 if number else 3]:
                    self.visit_staff(f"medblocks_connect_{model}_{page}", key, key)
        for key in self._list_keys("patienthistory"):
            self.visit_staff("medblocks_connect_patienthistory_change", key, key)
            self.visit_staff("medblocks_connect_patienthistory_erase", key, key)
        for name in ("overview", "export"):
            method = "POST" if name == "export" else "GET"
            self.visit_staff(f"medblocks_connect_{ATTEMPT}_{name}", method=method)
        self._press_staffs_buttons()

    def _visit_list(self, model: str) -> None:
        name = f"medblocks_connect_{model}_changelist"
        self.visit_staff(name)
        self.visit_staff(name, "search", params={"q": "1"})

    def _list_keys(self, model: str) -> list[str]:
        """Return the keys of the first rows that the list shows, each once."""
        text = self.seen[f"medblocks_connect_{model}_changelist"].text
        found = re.findall(rf"/medblocks_connect/{model}/(\d+)/change/", text)
        return list(dict.fromkeys(found))[: 3 if model == "facility" else 12]

    def _press_staffs_buttons(self) -> None:
        self.visit_staff(f"medblocks_connect_{ATTEMPT}_enable_webhooks", method="POST")
        for name, model in (("ask", ATTEMPT), ("process", "webhookdelivery")):
            for key in self._list_keys(model)[:3]:
                self.visit_staff(f"medblocks_connect_{model}_{name}", key, key, method="POST")
                page = f"medblocks_connect_{model}_change"
                self.visit_staff(page, f"{key} after {name}", key)

    def count_allowed(self, name: str, most: int, **how: Any) -> int:
        """Return how many requests of the patient's are allowed until one is a 429."""
        for number in range(most):
            answer = self.ask(f"medblocks_connect:{name}", **how)
            if answer.status_code == 429:
                self.note(f"{name} throttled", answer)
                return number
        return most

    def use_up_throttles(self) -> None:
        """Search and start until it is too often; keep how often was allowed."""
        nothing = {"method": "POST", "data": {}}
        self.allowed = (
            self.count_allowed("api-connections", MOST_REQUESTS, params={"q": "eye"}),
            self.count_allowed("start", MOST_REQUESTS, **nothing),
        )
