"""The sandbox over a real socket: the API with requests, the portal with a browser."""

from urllib.parse import quote

import pytest
import requests

from tests.pages.test_barriers import find_barriers, needs_axe
from tests.sandbox.conftest import BASE, KEY, RIVERSIDE, wait_for_senders


@pytest.fixture
def start(live_server):
    def start(**body):
        required = {"patient_id": "pat-1", "return_url": f"{live_server.url}/clinic/return/"}
        response = requests.post(
            f"{live_server.url}{BASE}/patient-sessions",
            json=required | body,
            headers=KEY,
            timeout=10,
        )
        assert response.status_code == 200
        return response.json()

    return start


def test_session_over_http_goes_from_start_to_return(live_server, start):
    session = start(patient_id="a/b ü", connection_id=RIVERSIDE)
    assert session["url"].startswith(f"{live_server.url}{BASE}/c/")
    with requests.Session() as browser:
        browser.get(session["url"], timeout=10).raise_for_status()
        answer = browser.post(
            session["url"] + "/decision",
            data={"choice": "approve", "csrfmiddlewaretoken": browser.cookies["csrftoken"]},
            timeout=10,
        )
    assert answer.text == "back at the clinic"
    assert answer.history[0].status_code == 302
    assert f"&success=true&connection_id={RIVERSIDE}" in answer.url
    patient = requests.get(
        f"{live_server.url}{BASE}/patients/{quote('a/b ü', safe='')}", headers=KEY, timeout=10
    ).json()
    assert patient["connections"][0]["status"] == "active"


def test_webhook_endpoint_over_http_is_registered_told_and_found_disabled(live_server, start):
    def call(method, path, **body):
        url = f"{live_server.url}{BASE}{path}"
        response = requests.request(method, url, json=body or None, headers=KEY, timeout=10)
        assert response.status_code == 200
        return response.json()

    receiver = f"{live_server.url}/clinic/no-such-address/"  # answers 404
    webhook = call("POST", "/webhooks", url=receiver, events=["*"])
    with requests.Session() as browser:
        url = start(connection_id=RIVERSIDE)["url"]
        browser.get(url, timeout=10)
        token = browser.cookies["csrftoken"]
        browser.post(
            url + "/decision",
            data={"choice": "approve", "csrfmiddlewaretoken": token},
            timeout=10,
        )
        wait_for_senders()
        page = browser.get(f"{live_server.url}{BASE}/", timeout=10).text
        assert "Waits after attempt 1 of 9: answered 404." in page
        browser.post(
            f"{live_server.url}{BASE}/page/endpoints/{webhook['id']}",
            data={"action": "days", "csrfmiddlewaretoken": token},
            timeout=10,
        )
    assert call("GET", f"/webhooks/{webhook['id']}")["status"] == "disabled"
    (event,) = call("GET", f"/webhooks/{webhook['id']}/events?delivered=false")["data"]
    assert (event["attempts"], event["last_status_code"], event["next_attempt_at"]) == (
        9,
        404,
        None,
    )


def test_large_body_over_http_is_answered(live_server):
    response = requests.post(
        f"{live_server.url}{BASE}/patient-sessions", data=b"x" * 2_000_000, headers=KEY, timeout=10
    )
    assert response.status_code == 413


@pytest.fixture
def browser_page(chromium):
    page = chromium.new_page(viewport={"width": 390, "height": 844})
    page.complaints = []
    page.on("console", lambda message: page.complaints.append(message.text))
    yield page
    page.context.close()


@pytest.mark.browser
def test_portal_in_browser_works_under_strict_policy(settings, start, browser_page):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.sandbox.csp.only_own_files"]
    page = browser_page
    page.goto(start()["url"])
    page.get_by_label("Search by name").fill("greater willow")
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="The Greater Willow").click()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.get_by_role("button", name="Continue").click()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    main = page.locator("main").evaluate("node => getComputedStyle(node).maxWidth")
    assert main == "512px"  # the style sheet was let in
    assert not page.get_by_role("button", name="Portal error").is_visible()
    page.get_by_role("button", name="Sign in and approve").click()
    page.get_by_text("So far").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.get_by_role("button", name="Done").press("Enter")
    page.get_by_text("back at the clinic").wait_for()
    assert [text for text in page.complaints if "favicon" not in text and "404" not in text] == []


@needs_axe
@pytest.mark.browser
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_hosted_page_in_browser_has_no_barrier(start, browser_page, color_scheme):
    page = browser_page
    page.emulate_media(color_scheme=color_scheme)
    page.goto(start()["url"])
    assert find_barriers(page) == []
    for choice in ("Cancel", "Sign in and approve"):
        page.locator(".facilities a").first.press("Enter")
        page.get_by_role("button", name="Continue").press("Enter")
        assert find_barriers(page) == []
        page.get_by_role("button", name=choice).press("Enter")
        page.get_by_text("So far").wait_for()
    assert find_barriers(page) == []
