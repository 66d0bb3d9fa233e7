"""The search page as a test reads it."""

from __future__ import annotations

import re
from html import unescape

TYPING = {"X-Medblocks-Fragment": "results"}
SETTLED = {"X-Medblocks-Fragment": "settled"}


def configure(settings, **changes):
    settings.MEDBLOCKS_CONNECT = {**settings.MEDBLOCKS_CONNECT, **changes}


def search(client, q, headers=None, **query):
    response = client.get("/records/search/", {"q": q, **query}, headers=headers or {})
    assert response.status_code == 200
    return response.content.decode()


def names(page):
    """Return the names of the places that can be chosen."""
    cards = re.findall(r'<button class="medblocks-facility".*?<bdi>(.*?)</bdi>', page, re.DOTALL)
    return [text_of(each) for each in cards]


def post(client, path, data):
    token = "t" * 32
    client.cookies["csrftoken"] = token
    return client.post(path, {"csrfmiddlewaretoken": token, **data})


def text_of(page):
    return " ".join(unescape(re.sub(r"<[^>]+>", "", page)).split())
