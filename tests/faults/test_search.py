"""Cases 39 to 41: what a search shows of a catalog that is hostile, late or away."""

from __future__ import annotations

import pytest

from medblocks_connect.sandbox.api_faults import queue_fault
from tests.chromium import CHROMIUM, FLAGS

PAGE, JSON = "/records/search/", "/records/api/connections/"
GOOD = "https://logos.example/riverside.png"

UNSAFE = [
    pytest.param("javascript:alert(1)", id="case-39-script"),
    pytest.param("JaVaScRiPt:alert(1)//https://a.example", id="case-39-script-in-capitals"),
    pytest.param("data:image/svg+xml,<svg onload=alert(1)>", id="case-39-data"),
    pytest.param("http://logos.example/a.png", id="case-39-http"),
    pytest.param("//logos.example/a.png", id="case-39-no-scheme"),
    pytest.param("https://10.0.0.7/a.png", id="case-39-inner-address"),
    pytest.param("https://127.0.0.1/a.png", id="case-39-loopback"),
    pytest.param("https://[::1]/a.png", id="case-39-loopback-6"),
    pytest.param("https://2130706433/a.png", id="case-39-address-as-a-number"),
    pytest.param("https://0x7f.1/a.png", id="case-39-address-in-disguise"),
    pytest.param("https://127.0.0.1./a.png", id="case-39-address-with-a-dot"),
    pytest.param("https://printer.local/a.png", id="case-39-inner-name"),
    pytest.param("https://intranet/a.png", id="case-39-single-label"),
    pytest.param("https://a@b.example/a.png", id="case-39-userinfo"),
    pytest.param('https://a.example/"onerror="alert(1)', id="case-39-attribute"),
]


@pytest.fixture
def with_logo(clinic, settings):
    """Let every facility that Medblocks lists have ``url`` for its logo and its portal."""
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, "LOGOS": True}

    def give(url: str):
        def change(page):
            return {
                **page,
                "data": [{**each, "logo_url": url, "portal_url": url} for each in page["data"]],
            }

        clinic.medblocks.change("GET", "/connections", change)
        return clinic

    return give


@pytest.mark.parametrize("url", UNSAFE)
def test_unsafe_link_is_not_shown(with_logo, url):
    client = with_logo(url).client
    page = client.get(PAGE, {"q": "riverside"}).content.decode()
    assert "Riverside General" in page
    assert "<img" not in page
    assert url not in page
    for facility in client.get(JSON, {"q": "riverside"}).json()["data"]:
        assert (facility["logo_url"], facility["portal_url"]) == (None, None)


def test_safe_link_case_39_is_shown_and_never_fetched(with_logo):
    clinic = with_logo(GOOD)
    page = clinic.client.get(PAGE, {"q": "riverside"}).content.decode()
    assert f'<img src="{GOOD}"' in page
    assert {method for method, _ in clinic.medblocks.calls} == {"GET"}
    assert all(path.startswith("/connections") for _, path in clinic.medblocks.calls)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        pytest.param(429, "throttled", id="case-40-429"),
        pytest.param(503, "internal_error", id="case-40-away"),
    ],
)
def test_search_that_medblocks_refuses_shows_the_last_answer(clinic, status, code):
    clinic.client.get(PAGE, {"q": "riverside"})
    queue_fault("search_connections", status, code, times=9)
    last_good = clinic.client.get(PAGE, {"q": "Riverside"})
    assert (last_good.status_code, b"Riverside General" in last_good.content) == (200, True)
    other = clinic.client.get(PAGE, {"q": "willow"})
    assert other.status_code == 200
    assert "cannot be reached right now" in other.content.decode()
    by_json = clinic.client.get(JSON, {"q": "willow"})
    assert (by_json.status_code, by_json.json()["error"]["code"]) == (503, "search_unavailable")


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium or Chrome here")
@pytest.mark.django_db(transaction=True)
def test_search_case_41_answered_out_of_order_shows_the_last_question(site):
    """The first question's answer comes last, and is not shown."""
    from playwright.sync_api import sync_playwright

    held = []

    def hold(route):  # a function: playwright marks what it is given
        held.append(route)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page()
        page.context.add_cookies(
            [
                {"name": each.name, "value": each.value, "url": site.url}
                for each in site.browser.cookies
            ]
        )
        page.goto(f"{site.url}{PAGE}")
        page.route("**/search/?*q=riverside*", hold)
        results = page.locator("[data-medblocks-results]")
        page.get_by_role("searchbox").fill("riverside")
        page.wait_for_timeout(600)
        page.get_by_role("searchbox").fill("willow")
        results.get_by_text("Willow").first.wait_for()
        assert len(held) == 1
        held[0].fulfill(body="<p>Riverside General</p>", content_type="text/html")
        page.wait_for_timeout(300)
        assert "Riverside" not in results.inner_text()
        assert "willow" in page.url
        browser.close()


@pytest.mark.parametrize("path", ["/records/search/", "/records/api/connections/"])
@pytest.mark.parametrize("query", ["q=river&q=willow", "q=river&type=epic&type=", "q=&q="])
def test_search_with_a_repeated_parameter_is_400(clinic, path, query):
    assert clinic.client.get(f"{path}?{query}").status_code == 400
    assert clinic.medblocks.calls == []
