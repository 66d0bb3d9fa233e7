"""Histories: what happened to a patient's connections, drawn by number and played on the site.

Each step has a moment of its own, and may be told to the site at once, late, twice, or never. What
the site hears is told to the model in the same breath.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

from django.core.cache import cache
from django.core.management import CommandError, call_command

from medblocks_connect.medblocks_client import forget_clients
from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.fictional_catalog import find_facility
from medblocks_connect.sandbox.models import (
    SandboxConnection,
    SandboxEvent,
    SandboxSession,
)
from medblocks_connect.sandbox.portal import return_url_with_outcome
from medblocks_connect.sandbox.serializers import serialize_patient, serialize_session
from tests.faults.clinic import Clinic
from tests.statements import model
from tests.statements.clock import BEGIN, STEP, Clock
from tests.statements.medblocks import KEYS, TwoWorkspaces
from tests.statements.model import Attempt, Model, Records, Word

PLACES = (
    "fhirsrc_riverside_general",
    "fhirsrc_riverside_orthopedics_sports_medicine",
    "fhirsrc_riverside_womens_clinic",
)
ELSEWHERE = PLACES[:2]  # somebody else connected these in the sandbox, and lost the second
URLS = {place: find_facility(place).fhir_base_url for place in PLACES}
NAMES = {place: find_facility(place).name for place in PLACES}
HOW_OFTEN = (("approve", 7, 2), ("cancel", 2, 1), ("fail", 1, 5), ("expire", 0.5, 1))
"""What patients do at a portal: how often, and how often in a history in which much fails."""
ENDS = {"refresh_failed": model.LOST, "disconnected": model.DISCONNECTED}


def find_place(name: str) -> str:
    """Return the place that an id or a FHIR base URL names."""
    by_url = {url: place for place, url in URLS.items()}
    return by_url.get(name.rstrip("/"), name)


@dataclass
class Story:
    """A history as it is played: the site, Medblocks, and what the model was told of it."""

    number: int
    clinic: Clinic
    medblocks: TwoWorkspaces
    clock: Clock
    configure: Callable[..., None]
    has_catalog: bool  # of its own, in which every place has its URL
    workspace: str = "sandbox"
    models: Mapping[str, Model] = field(default_factory=lambda: {key: Model() for key in KEYS})
    attempts: list[Attempt] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    events: dict[str, list[SandboxEvent]] = field(
        default_factory=lambda: {key: [] for key in KEYS}
    )  # not delivered yet
    just_disconnected: str = ""  # the place, until a page says so
    _waiting: list[Records] = field(default_factory=list)
    _made: dict[tuple[int, str], int] = field(default_factory=dict)  # moments of approval
    _last_event: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.number)
        self.medblocks.repeats_urls = self.random.random() < 0.3
        self.medblocks.tells_no_ids = (
            self.medblocks.repeats_urls and not self.has_catalog and self.random.random() < 0.4
        )
        is_unlucky = self.random.random() < 0.15
        self.how_often = {how: often[is_unlucky] for how, *often in HOW_OFTEN}

    @property
    def model(self) -> Model:
        """What is true in the workspace in force."""
        return self.models[self.workspace]

    # What the patient, the hospital and the weather do. Each is one line of the history.

    def play_step(self) -> None:
        """Draw a step of those that can be, and play it."""
        weighed = [(step, weight) for step, weight in self._list_steps() if weight]
        steps, weights = zip(*weighed, strict=True)
        self.random.choices(steps, weights)[0]()

    def _list_steps(self) -> list[tuple[Callable[[], None], float]]:
        here, away = not self.medblocks.is_away, self.medblocks.is_away
        # What seldom meets by itself is likelier where its first half is there.
        lacks_records = any(self.model.records_of(each) == "missed" for each in PLACES)
        is_lost = any(self.model.state(each) == model.LOST for each in PLACES)
        return [
            (self.visit, 5 if here else 0),
            (self.finish_later, 2 if self._list_at_portal() else 0),
            (self.come_back, 2 if self._list_finished() else 0),
            (self.deliver, 4 if self.events[self.workspace] else 0),
            (self.lose, (6 if lacks_records else 2) if self._list_active() else 0),
            (self.disconnect_at_portal, 1 if self._list_active() else 0),
            (
                self.disconnect_here,
                (12 if self._list_won_again() else 2) if self._list_connected() else 0,
            ),
            (self.sync, 2 if self._list_active() else 0),
            (self.go_away, 0.7 if here else 0),
            (self.be_there_again, 3 if away else 0),
            (self.switch_workspace, 2 if is_lost else 0.6),
            (self.reconcile, 0.7),
        ]

    def visit(self) -> None:
        """Start, and mostly do something at the portal and come back."""
        is_hosted = self.random.random() < 0.15 and not self.medblocks.tells_no_ids
        place = "" if is_hosted else self.random.choices(PLACES, (3, 2, 1))[0]
        attempt = self._start(place)
        if self.random.random() < 0.85:
            self._finish(attempt, may_keep=True)
            if self.random.random() < 0.5:
                is_connected = self.model.state(place) == model.CONNECTED
                if self.random.random() < (0.5 if is_connected else 0.15):
                    self.go_away()  # so that nobody can confirm what they come back with
                self._come_back(attempt)

    def finish_later(self) -> None:
        """Do something at the portal that was left open."""
        self._finish(self.random.choice(self._list_at_portal()))

    def come_back(self) -> None:
        """Come back late, or again."""
        self._come_back(self.random.choice(self._list_finished()))

    def _start(self, place: str) -> Attempt:
        self.clock.move_on()
        name = self.random.choice(self.list_names(place)) if place else ""
        self.medblocks.is_catalog_away = is_unnamed = (
            # Where Medblocks repeats a URL, the catalog alone tells whose it is.
            not self.medblocks.repeats_urls and self.random.random() < 0.35
        )
        if is_unnamed or self.medblocks.tells_no_ids:
            forget_clients()  # a process that has not seen it fail yet
        if self.medblocks.tells_no_ids:
            cache.clear()  # nor searched for a day
        if not name:
            answered = self.clinic.post("/records/start/elsewhere/", {})
        elif self.random.random() < 0.2:
            answered = self.clinic.start_by_json(name)
        else:
            answered = self.clinic.start(name)
        self.medblocks.is_catalog_away = False
        assert answered.status_code in {200, 303}, (name, answered.content.decode())
        attempt = Attempt(self._newest().pk, self.workspace, place, self.clock.step)
        self.attempts.append(attempt)
        self.model.attempts.append(attempt)
        self._log("start", attempt.number, name or "hosted", "unnamed" if is_unnamed else "")
        return attempt

    def list_names(self, place: str) -> tuple[str, ...]:
        """Return the names that patients choose ``place`` by."""
        by_url = URLS[place], f"{URLS[place]}/"
        return by_url if self.medblocks.tells_no_ids else (place, *by_url)

    def _finish(self, attempt: Attempt, *, may_keep: bool = False) -> None:
        self.clock.move_on()
        session = self._session(attempt)
        how = self.random.choices([*self.how_often], [*self.how_often.values()])[0]
        if how == "expire":
            flows.let_expire(session)
            self._log(how, attempt.number)
        elif attempt.place:
            self._decide(attempt, attempt.place, how, may_keep=may_keep)
        else:
            self._choose_at_medblocks(attempt, how, may_keep=may_keep)
        self._collect_events()

    def _choose_at_medblocks(self, attempt: Attempt, how: str, *, may_keep: bool) -> None:
        """Decide at one facility or two, one after the other, then press Done."""
        places = self.random.sample(PLACES, self.random.choice((1, 2)))
        for place in places:
            self._decide(attempt, place, how, may_keep=may_keep)
            self.clock.move_on()
            how = "approve"
        flows.finish(self._session(attempt))
        self._log("done", attempt.number)

    def _decide(self, attempt: Attempt, place: str, how: str, *, may_keep: bool) -> None:
        session = self._session(attempt)
        if how != "approve":
            code = "user_denied" if how == "cancel" else "oauth_error"
            flows.fail(session, code, place)
        else:
            former = self._list_ended(attempt, place)
            made = flows.approve(session, place)
            self._made[attempt.number, place] = self.clock.step
            if may_keep and former and self.random.random() < 0.4:
                self._keep_link(self.random.choice(former), made)
        self._log(how, attempt.number, place)

    def _keep_link(self, former: SandboxConnection, made: SandboxConnection) -> None:
        session = made.session
        made.delete()
        former.session, former.status = session, "active"
        former.failure_code, former.failure_at, former.updated_at = "", None, self.clock.now
        former.save()
        if not session.is_hosted:  # its event told of the other
            event = SandboxEvent.objects.latest("pk")
            event.payload["data"]["object"] = serialize_session(session)
            event.save()
        self._log("kept", former.conn_id)

    def _come_back(self, attempt: Attempt) -> None:
        self.clock.move_on()
        session = self._session(attempt)
        address = return_url_with_outcome(session).replace(
            session.patient_id, self.medblocks.patient_id
        )
        if self.medblocks.tells_no_ids and attempt.place:
            address = address.replace(attempt.place, quote(URLS[attempt.place], safe=""))
        if self.random.random() < 0.05:
            address = self._forge(address)
        answered = self.clinic.client.get(address.removeprefix("http://testserver"))
        assert answered.status_code == 303, answered.content.decode()
        if not attempt.is_back:
            attempt.came_back = self.clock.step
        attempt.claims_success |= "success=true" in address
        attempt.claims_failure |= "success=false" in address
        attempt.was_refused |= "error=user_denied" in address
        self._log("back", attempt.number, address.rpartition("success=")[2])
        self.hear_session(attempt)

    def _forge(self, address: str) -> str:
        """Let the address claim the contrary of what happened."""
        if "success=true" in address:
            return address.replace("success=true", "success=false&error=access_denied")
        return address.replace("success=false", "success=true")

    def lose(self) -> None:
        """Lose the access: the hospital no longer renews it."""
        self.clock.move_on()
        connection = self.random.choice(self._list_active())
        flows.lose_access(connection)
        self._log("lose", connection.conn_id, connection.connection_id)
        self._collect_events()

    def disconnect_at_portal(self) -> None:
        """Disconnect elsewhere: nobody is told, Medblocks' list alone says so."""
        self.clock.move_on()
        connection = self.random.choice(self._list_active())
        flows.disconnect(connection)
        self._log("disconnect at portal", connection.conn_id, connection.connection_id)

    def disconnect_here(self) -> None:
        """Press "Yes, disconnect" on our page, of a place that is said to be connected."""
        self.clock.move_on()
        place = self.random.choice(self._list_won_again() or self._list_connected())
        named = self.random.choice(self.model.links_at(place))
        self._log("disconnect here", named, place)
        self.hear_list()
        answered = self.clinic.post("/records/connections/disconnect/", {"connection": named})
        if self.medblocks.is_away:
            assert answered.status_code == 503
            return
        assert answered.status_code == 303
        if self.model.state(place) in {model.DISCONNECTED, model.ENDED_HERE}:
            return
        self.just_disconnected = place
        links = self.model.links_at(place)
        # It is the place that is disconnected, whichever link the page named. Where none works any
        # more, the newest is what is left to end.
        for link in list(filter(self.model.works, links)) or links[-1:]:
            self._tell(Word(link, model.ENDED_HERE, self.clock.step, self.clock.step))

    def sync(self) -> None:
        """Let records come, some of them, none, or fail to come: once or a few times."""
        connection = self.random.choice(self._list_active())
        for _ in range(self.random.choice((1, 2, 3))):
            self.clock.move_on()
            how = self.random.choice(("all", "all", "some", "none", "failed", "failed"))
            total = {"all": 128, "some": 120, "none": 0, "failed": 0}[how]
            event = flows.sync_records(connection, ok=how != "failed", total=total)
            if how == "some":
                event.payload["data"]["object"]["errors"] = 8
                event.save()
            self._log("records", how, connection.connection_id)
            self._collect_events()
            if self.random.random() < 0.8:
                self._deliver(self.events[self.workspace][-1])

    def go_away(self) -> None:
        """Let Medblocks be away."""
        self.clock.move_on()
        self.medblocks.is_away = True
        self._log("away")

    def be_there_again(self) -> None:
        """Let Medblocks answer again."""
        self.clock.move_on()
        self.medblocks.is_away = False
        self._log("there again")

    def switch_workspace(self) -> None:
        """Put the other workspace's key in force."""
        self.clock.move_on()
        self.workspace = next(key for key in KEYS if key != self.workspace)
        self.configure(API_KEY=KEYS[self.workspace])
        self._log("workspace", self.workspace)

    # What the site hears, and the model with it.

    def deliver(self) -> None:
        """Deliver an event, in any order, sometimes twice."""
        self._deliver(self.random.choice(self.events[self.workspace]))

    def _deliver(self, event: SandboxEvent) -> None:
        self.clock.move_on()
        events = self.events[self.workspace]
        if self.random.random() < 0.85:
            events.remove(event)
        told = self.medblocks.tell(event.payload)
        assert self.clinic.send(told).status_code == 200
        self._log("event", event.type, str(told["data"]["object"].get("connection_id")))
        about = told["data"]["object"]
        if event.type == "patient_session.completed":
            attempt = next(
                each for each in self.attempts if self._session(each).session_id == about["id"]
            )
            self._hear_session(attempt, about, self._moment(told["created_at"]))
        elif event.type == "connection.token_refresh_failed":
            moment = self._moment(about["failure_at"] or told["created_at"])
            self._tell(Word(about["id"], model.LOST, moment, moment))
        else:
            self._hear_records(event.type, about, self._moment(told["created_at"]))

    def _hear_records(self, kind: str, about: dict[str, Any], moment: int) -> None:
        is_done = kind == "records.sync.completed"
        came, missed = is_done and about["total"] > 0, not is_done or about["errors"] > 0
        told = Records(find_place(about["connection_id"]), moment, came=came, missed=missed)
        if self.model.state(told.place) == model.NEVER:
            self._waiting.append(told)  # for the next reconciliation
        else:
            self.model.records.append(told)

    def reconcile(self) -> None:
        """Reconcile, as cron does."""
        self.clock.move_on()
        self._log("reconcile")
        try:
            call_command("medblocks_reconcile", verbosity=0)
        except CommandError:
            assert self.medblocks.is_away
        self.model.records.extend(
            told for told in self._waiting if self.model.state(told.place) != model.NEVER
        )
        for attempt in model.list_open(self.model.attempts):
            self.hear_session(attempt)

    def hear_session(self, attempt: Attempt) -> None:
        """Let the model hear what Medblocks says of ``attempt`` now, where it can be asked."""
        if self.medblocks.is_away or attempt.workspace != self.workspace:
            return
        told = self.medblocks.tell(serialize_session(self._session(attempt)))
        self._hear_session(attempt, told, self.clock.step)

    def _hear_session(self, attempt: Attempt, told: dict[str, Any], moment: int) -> None:
        rows = told["connections"]
        made = [row for row in rows if row["status"] != "failed"]
        for row in made:
            place, link = find_place(row["connection_id"]), row["id"]
            self.model.places[link] = place
            attempt.connected.add(place)
            if row["status"] == "active":
                self._tell(Word(link, model.WORKS, self._made[attempt.number, place]))
            else:
                ended = self._moment(row["failure_at"]) if row["failure_at"] else None
                self._tell(Word(link, ENDS[row["status"]], moment, ended, attempt.number))
        if made:
            first = min(made, key=lambda row: row["created_at"])
            attempt.place, attempt.link = find_place(first["connection_id"]), first["id"]
            attempt.outcome = model.CONNECTED
        elif attempt.outcome == model.CONNECTED:
            pass
        elif rows or told["status"] == "complete":
            attempt.outcome = model.FAILED
            attempt.was_refused = any(row["failure_code"] == "user_denied" for row in rows)
        elif told["status"] == "expired":
            attempt.outcome = model.EXPIRED

    def hear_list(self) -> None:
        """Let the model hear Medblocks' own list of the patient, where it can be asked."""
        patient_id = self.medblocks.name_patient(self.workspace)
        session = SandboxSession.objects.filter(patient_id=patient_id).first()
        if self.medblocks.is_away or session is None:
            return
        for row in self.medblocks.tell(serialize_patient(session.patient))["connections"]:
            if row["status"] == "failed":
                continue
            self.model.places.setdefault(row["id"], find_place(row["connection_id"]))
            if row["status"] == "active":
                word = Word(row["id"], model.WORKS, self.clock.step)
            else:
                ended = self._moment(row["failure_at"] or row["updated_at"])
                word = Word(row["id"], ENDS[row["status"]], self.clock.step, ended)
            self._tell(word)

    def _tell(self, word: Word) -> None:
        self.model.words.append(word)

    def _collect_events(self) -> None:
        new = SandboxEvent.objects.filter(pk__gt=self._last_event).order_by("pk")
        for event in new:
            self._last_event = event.pk
            about = event.payload["data"]["object"]
            patient_id = about.get("patient_id") or self._patient_of_link(about["id"])
            self.events[patient_id.split("-of-")[0]].append(event)

    # What there is to choose from.

    def _list_active(self) -> list[SandboxConnection]:
        return list(self._connections().filter(status="active"))

    def _list_ended(self, attempt: Attempt, place: str) -> list[SandboxConnection]:
        """Return links of ``place`` that ended before ``attempt``, which may be kept for it."""
        known = {each.link for each in self.model.attempts}
        rows = self._connections().filter(
            connection_id=place, updated_at__lt=BEGIN + attempt.began * STEP
        )
        return [row for row in rows if row.status in ENDS and row.conn_id in known]

    def _list_connected(self) -> list[str]:
        return [place for place in PLACES if self.model.state(place) == model.CONNECTED]

    def _list_won_again(self) -> list[str]:
        """Return the connected places that had another link before."""
        return [each for each in self._list_connected() if len(self.model.links_at(each)) > 1]

    def _list_at_portal(self) -> list[Attempt]:
        return [each for each in self.model.attempts if self._status(each) == "open"]

    def _list_finished(self) -> list[Attempt]:
        return [each for each in self.model.attempts if self._status(each) == "complete"]

    def _connections(self) -> Any:
        patient_id = self.medblocks.name_patient(self.workspace)
        return SandboxConnection.objects.filter(patient_id=patient_id).order_by("pk")

    def _status(self, attempt: Attempt) -> str:
        return self._session(attempt).status_at(self.clock.now)

    def _session(self, attempt: Attempt) -> SandboxSession:
        row = PatientConnectionAttempt.objects.get(pk=attempt.number)
        return SandboxSession.objects.get(session_id=row.patient_session_id)

    def _newest(self) -> PatientConnectionAttempt:
        return PatientConnectionAttempt.objects.latest("pk")

    def _patient_of_link(self, link: str) -> str:
        return SandboxConnection.objects.get(conn_id=link).patient_id

    def _moment(self, told: str) -> int:
        return int((datetime.fromisoformat(told.replace("Z", "+00:00")) - BEGIN) / STEP)

    def _log(self, *words: object) -> None:
        self.steps.append(f"{self.clock.step}. {' '.join(str(word) for word in words if word)}")
