"""Generated requests to every operation: each answer is one of the contract's."""

import json
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest
import responses
from django.test import Client

from medblocks_connect.sandbox import flows
from medblocks_connect.sandbox.models import SandboxConnection, SandboxEvent, SandboxSession
from medblocks_connect.sandbox.portal import return_url_with_outcome
from medblocks_connect.sandbox.webhook_sender import send_waiting
from tests.sandbox.conftest import BASE, KEY, LANTERN
from tests.sandbox.contract import find_errors, load_contract, needs_contract, read_reply
from tests.sandbox.generated import PATH_KINDS, RequestMaker

pytestmark = [pytest.mark.django_db, needs_contract]

SAID_TO_BE_MISSING = {"api.createPatient", "api.updatePatient", "api.retrieveLaunchContext"}
SEEDS = range(4)
REQUESTS = 90  # for each seed


@pytest.fixture(autouse=True)
def receiver():
    """A receiver that takes nothing."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        mock.post("http://localhost:9/hook/", status=500)
        yield mock


class Walk:
    """Requests of one seed, with what patients and hospitals do between them."""

    def __init__(self, seed):
        self.make = RequestMaker(seed)
        self.client = Client()
        self.cursors = {}
        self.patients_of_links = {}
        self.statuses = {}

    def call(self, operation):
        contract = load_contract()["operations"][operation]
        body, takes_body = self._make_body(contract)
        path = self._make_path(contract["path"])
        query, takes_query = self.make.make_query(operation, self.cursors.get(path, []))
        response = self.client.generic(
            contract["method"],
            f"{BASE}{path}?{urlencode(query)}",
            json.dumps(body) if body is not None else "",
            content_type="application/json",
            headers=KEY,
        )
        self.statuses.setdefault(operation, set()).add(response.status_code)
        if operation in SAID_TO_BE_MISSING:
            assert response.status_code == 501
            assert find_errors(response.json(), "ErrorEnvelope") == []
            return
        content = read_reply(response, operation)
        self._check_refusal(response, content, body, query, takes_body and takes_query)
        if response.status_code == 200:
            self._learn(path, content)

    def _make_body(self, contract):
        schema = contract.get("request_body", {}).get("schema")
        return self.make.make_body(schema["$ref"].rpartition("/")[2]) if schema else (None, True)

    def _make_path(self, template):
        if "{id}" not in template:
            return template
        link = self.make.choose_id("link")
        identifier = PATH_KINDS[template.split("/")[1]](self.make)
        if "{connection_id}" in template:
            identifier = self.patients_of_links.get(link, identifier)
        path = template.replace("{connection_id}", link)
        return path.replace("{id}", quote(identifier, safe=""))

    def _check_refusal(self, response, content, body, query, is_valid):
        if not is_valid:
            # An address that names nothing may say so first.
            assert response.status_code in {400, 404}, (body, query)
        elif response.status_code == 400:
            assert content["error"]["param"] in {"starting_after", "ending_before"}, (body, query)

    def _learn(self, path, content):
        kinds = {
            "patient": "patient",
            "patient_session": "session",
            "connection": "link",
            "webhook_endpoint": "webhook",
            "event": "event",
        }
        listed = content.get("data", []) if content.get("resource_type") == "list" else []
        for thing in [content, *listed, *content.get("connections", [])]:
            kind = kinds.get(thing.get("resource_type"))
            if kind and thing["id"] is not None:
                self.make.ids[kind].append(thing["id"])
            if kind == "link" and content["resource_type"] == "patient":
                self.patients_of_links[thing["id"]] = content["id"]
        if content.get("next_cursor"):
            self.cursors.setdefault(path, []).append(content["next_cursor"])

    def live(self):
        """Let a patient decide, a hospital send records or end the access."""
        choose = self.make.random.choice
        for session in SandboxSession.objects.filter(completed_at=None):
            act = choose([flows.approve, flows.cancel])
            act(session, "" if session.connection_id else LANTERN)
            if session.is_hosted:
                flows.finish(session)
        for connection in SandboxConnection.objects.filter(status="active"):
            flows.sync_records(connection, total=5, ok=choose([True, False]))
            choose([flows.lose_access, flows.disconnect, lambda _connection: None])(connection)


@pytest.mark.parametrize("seed", SEEDS)
def test_generated_requests_have_answers_of_the_contract(seed, settings):
    settings.MEDBLOCKS_SANDBOX = {"FAILED_CONNECTIONS_HAVE_IDS": bool(seed % 2)}
    walk = Walk(seed)
    operations = sorted(load_contract()["operations"])
    for step in range(REQUESTS):
        frequent = ["api.initPatientSession", "api.createWebhook"]
        walk.call(walk.make.random.choice(operations + frequent * 2))
        if step % 20 == 19:
            walk.live()
            send_waiting()
    for event in SandboxEvent.objects.all():
        assert find_errors(event.payload, "WebhookDelivery") == []
    for session in SandboxSession.objects.exclude(completed_at=None):
        returned = dict(parse_qsl(urlsplit(return_url_with_outcome(session)).query))
        assert find_errors(returned, "Return") == []


def test_generated_requests_reach_every_operation():
    walk = Walk(0)
    # What deletes comes last in a round, and more is made before the next.
    operations = sorted(load_contract()["operations"], key=lambda name: "delete" in name)
    for _round in range(6):
        for operation in ["api.initPatientSession", "api.createWebhook"] * 3:
            walk.call(operation)
        walk.live()
        for operation in operations:
            walk.call(operation)
    answered = {operation for operation, statuses in walk.statuses.items() if 200 in statuses}
    assert answered == set(operations) - SAID_TO_BE_MISSING
