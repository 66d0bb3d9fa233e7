"""Where a patient is led back to, whatever their browser says."""

from __future__ import annotations

import pytest
from django.test import RequestFactory

from medblocks_connect.views.next_url import find_next_url

SEARCH = "/records/search/"
CONNECTIONS = "/records/connections/"
ATTEMPT = "/records/attempts/abc_DEF-1/"
HERE = "http://testserver"


@pytest.mark.parametrize(
    ("came_from", "next_url"),
    [
        (f"{HERE}{SEARCH}", SEARCH),
        (f"{HERE}{SEARCH}?q=St.%20Alder", f"{SEARCH}?q=St.+Alder"),
        (f"{HERE}{SEARCH}?q=a%26b&type=epic&starting_after=x", f"{SEARCH}?q=a%26b&type=epic"),
        (f"{HERE}{SEARCH}?q={'q' * 500}", f"{SEARCH}?q={'q' * 64}"),
        (f"{HERE}{SEARCH}?{'q=1&' * 500}", SEARCH),
        (f"{HERE}{CONNECTIONS}?any=thing", CONNECTIONS),
        (f"{HERE}{CONNECTIONS}disconnect/?connection=conn_1", CONNECTIONS),
        (f"{HERE}{ATTEMPT}?stop", ATTEMPT),
    ],
)
def test_page_of_ours_is_led_back_to(came_from, next_url):
    request = RequestFactory().post("/records/start/", headers={"Referer": came_from})
    assert find_next_url(request) == next_url


@pytest.mark.parametrize(
    "came_from",
    [
        "",
        "about:blank",
        "http://[",
        f"https://evil.example{CONNECTIONS}",
        f"//evil.example{CONNECTIONS}",
        CONNECTIONS,
        f"{HERE}//evil.example/",
        f"{HERE}/admin/",
        f"{HERE}/records/start/",
        f"{HERE}/records/attempts//",
        f"{HERE}/records/attempts/a/b/",
        f"{HERE}/records/return/?patient_id=p-1",
    ],
)
def test_anything_else_leads_to_the_search(came_from):
    request = RequestFactory().post("/records/start/", headers={"Referer": came_from})
    assert find_next_url(request) == SEARCH
