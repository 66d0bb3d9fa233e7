"""``medblocks_webhooks``: the sandbox's endpoints over HTTP, and what Medblocks may answer."""

from __future__ import annotations

import io
import json

import pytest
import requests
import responses
from django.core.management import CommandError, call_command

from medblocks_connect.sandbox.models import SandboxWebhookEndpoint
from tests.api.strict import ENDPOINT, page
from tests.attempts.conftest import BASE_URL

URL = "https://clinic.example/records/webhook/"
OURS = {**ENDPOINT, "url": URL}


def run(*arguments: str, **options: str) -> str:
    out = io.StringIO()
    call_command("medblocks_webhooks", *arguments, stdout=out, **options)
    return out.getvalue()


@pytest.fixture
def here(site, use):
    """A running site with its sandbox, which knows where it is."""
    use(SITE_URL=site.url)
    return site


@pytest.fixture
def at_clinic(medblocks, use, db):
    """A site at clinic.example, and a Medblocks that a test lets answer."""
    use(SITE_URL="https://clinic.example")
    return medblocks


@pytest.mark.django_db(transaction=True)
def test_register_shows_the_secret_once_and_says_where_to_put_it(here):
    said = run("register")
    endpoint = SandboxWebhookEndpoint.objects.get()
    assert endpoint.url == f"{here.url}/records/webhook/"
    assert said.count(endpoint.secret) == 1
    assert "MEDBLOCKS_CONNECT['WEBHOOK_SECRETS']" in said


@pytest.mark.django_db(transaction=True)
def test_register_twice_registers_once(here):
    run("register")
    said = run("register")
    endpoint = SandboxWebhookEndpoint.objects.get()
    assert f"registered already, as {endpoint.endpoint_id} (active)" in said
    assert endpoint.secret not in said


@pytest.mark.django_db(transaction=True)
def test_rotate_shows_another_secret(here):
    before = run("register")
    said = run("rotate")
    secret = SandboxWebhookEndpoint.objects.get().secret
    assert secret in said
    assert secret not in before


@pytest.mark.django_db(transaction=True)
def test_enable_makes_a_disabled_endpoint_active(here):
    run("register")
    SandboxWebhookEndpoint.objects.update(status="disabled")
    assert "disabled" in run("list")
    run("enable")
    assert "  active  " in run("list")


@pytest.mark.django_db(transaction=True)
def test_delete_leaves_none(here):
    run("register")
    run("delete")
    assert run("list") == "None of this site's is registered, as far as SITE_URL tells.\n"


@pytest.mark.django_db(transaction=True)
def test_list_marks_this_sites_own(here):
    run("register", url="https://other.example/records/webhook/")
    run("register")
    lines = run("list").splitlines()
    assert [line.endswith("(this site)") for line in lines] == [True, False]


@pytest.mark.parametrize(
    ("url", "registered"),
    [
        ("", URL),
        ("https://front.example", "https://front.example/records/webhook/"),
        ("https://front.example/", "https://front.example/records/webhook/"),
        ("https://front.example/hook/", "https://front.example/hook/"),
        ("http://localhost:8000", "http://localhost:8000/records/webhook/"),
    ],
)
def test_register_chooses_the_address(at_clinic, url, registered):
    at_clinic.get(f"{BASE_URL}/webhooks", json=page())
    created = at_clinic.post(f"{BASE_URL}/webhooks", json={**ENDPOINT, "secret": "whsec_1"})
    run("register", url=url)
    assert json.loads(created.calls[0].request.body) == {"url": registered, "events": ["*"]}


@pytest.mark.parametrize(
    "url",
    [
        "http://clinic.example",
        "http://127.0.0.1:8000/hook/",  # Medblocks' contract: http for localhost alone
        "clinic.example",
        "https://[::1",
        "https://clinic.example/hook/?key=1",
        "https://user:password@clinic.example",
    ],
)
def test_register_refuses_an_address_that_is_not_https(at_clinic, url):
    at_clinic.get(f"{BASE_URL}/webhooks", json=page())
    with pytest.raises(CommandError, match="https"):
        run("register", url=url)
    assert [call for call in at_clinic.calls if call.request.method == "POST"] == []


def test_register_without_an_address_names_the_setting(medblocks, db):
    with pytest.raises(CommandError, match="SITE_URL"):
        run("register")
    assert len(medblocks.calls) == 0


@pytest.mark.parametrize(
    "same",
    ["https://clinic.example/records/webhook", "https://CLINIC.example:443/records/webhook/"],
)
def test_register_knows_its_address_in_every_spelling(at_clinic, same):
    at_clinic.get(f"{BASE_URL}/webhooks", json=page({**OURS, "url": same}))
    assert "registered already" in run("register")


def test_register_looks_on_every_page_first(at_clinic):
    other = {**ENDPOINT, "url": "https://other.example/"}
    more = {**page(other), "has_more": True, "next_cursor": "2"}
    first = {"limit": "100"}
    second = {"limit": "100", "starting_after": "2"}
    matchers = responses.matchers
    at_clinic.get(f"{BASE_URL}/webhooks", json=more, match=[matchers.query_param_matcher(first)])
    at_clinic.get(
        f"{BASE_URL}/webhooks", json=page(OURS), match=[matchers.query_param_matcher(second)]
    )
    assert "registered already" in run("register")
    assert len(at_clinic.calls) == 2


def test_register_beside_another_process_is_left_to_it(at_clinic, monkeypatch):
    said = []

    def reply(_request):
        with pytest.raises(CommandError, match="Another process") as refused:
            run("register")
        said.append(refused.value)
        return 200, {}, json.dumps(page())

    at_clinic.add_callback("GET", f"{BASE_URL}/webhooks", callback=reply)
    at_clinic.post(f"{BASE_URL}/webhooks", json={**OURS, "secret": "whsec_1"})
    run("register")
    assert len(said) == 1
    assert len(at_clinic.calls) == 2


def test_register_without_an_answer_says_how_to_go_on(at_clinic):
    at_clinic.get(f"{BASE_URL}/webhooks", json=page())
    at_clinic.post(f"{BASE_URL}/webhooks", body=requests.ReadTimeout())
    with pytest.raises(CommandError, match="medblocks_webhooks list"):
        run("register")


@pytest.mark.parametrize("action", ["list", "register", "enable"])
def test_key_that_may_not_read_endpoints_is_named(at_clinic, action):
    error = {"error": {"type": "permission_error", "code": "insufficient_scope", "message": "x"}}
    at_clinic.get(f"{BASE_URL}/webhooks", json=error, status=403)
    with pytest.raises(CommandError, match="insufficient_scope"):
        run(action)


def test_enable_without_an_endpoint_says_so(at_clinic):
    at_clinic.get(f"{BASE_URL}/webhooks", json=page())
    with pytest.raises(CommandError, match="No such endpoint"):
        run("enable")


@pytest.mark.parametrize(
    ("option", "value"), [("endpoint_id", "wh_other"), ("url", "https://b.example/")]
)
def test_delete_takes_the_endpoint_that_is_named(at_clinic, option, value):
    other = {**ENDPOINT, "id": "wh_other", "url": "https://b.example/records/webhook/"}
    at_clinic.get(f"{BASE_URL}/webhooks", json=page(OURS, other))
    answer = {"id": "wh_other", "resource_type": "webhook_endpoint", "deleted": True}
    deleted = at_clinic.delete(f"{BASE_URL}/webhooks/wh_other", json=answer)
    run("delete", **{option: value})
    assert deleted.call_count == 1


def test_register_logs_no_secret(at_clinic, caplog):
    caplog.set_level("DEBUG")
    at_clinic.get(f"{BASE_URL}/webhooks", json=page())
    at_clinic.post(f"{BASE_URL}/webhooks", json={**OURS, "secret": "whsec_hidden"})
    assert "whsec_hidden" in run("register")
    assert "whsec_hidden" not in caplog.text
