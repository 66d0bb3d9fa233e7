"""The next URL for a patient whose form cannot be taken: the page of ours that it stood on."""

from __future__ import annotations

from typing import Final
from urllib.parse import SplitResult, parse_qs, urlencode, urlsplit

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse

from medblocks_connect.facilities.search import MAXIMUM_QUERY_LENGTH

# What the search takes from its address, and how long it may be.
_SEARCH_PARAMETERS: Final = {"q": MAXIMUM_QUERY_LENGTH, "type": 50}


def find_next_url(request: HttpRequest) -> str:
    """Return the path of the page that the form of ``request`` stood on, else of the search.

    The ``Referer`` may say anything: only pages of ours on this host count, and of their query
    only what was searched for.
    """
    search = reverse("medblocks_connect:search")
    connections = reverse("medblocks_connect:connections")
    referrer = _split(request.headers.get("Referer", ""))
    if referrer is None or referrer.netloc != request.get_host():
        return search
    if referrer.path == search:
        return _with_search(search, referrer.query)
    if referrer.path in {connections, reverse("medblocks_connect:disconnect")}:
        return connections
    return referrer.path if referrer.path == _find_attempt_path(referrer.path) else search


def _split(address: str) -> SplitResult | None:
    try:
        return urlsplit(address)
    except ValueError:
        return None


def _with_search(search: str, query: str) -> str:
    try:
        parameters = parse_qs(query, max_num_fields=20)
    except ValueError:  # more fields than any page of ours has
        return search
    kept = {
        name: parameters[name][0][:longest]
        for name, longest in _SEARCH_PARAMETERS.items()
        if name in parameters
    }
    return f"{search}?{urlencode(kept)}" if kept else search


def _find_attempt_path(path: str) -> str:
    """Return the path of an attempt's page with the last part of ``path``; "" where none has it."""
    public_id = path.removesuffix("/").rpartition("/")[2]
    try:
        return reverse("medblocks_connect:attempt", args=[public_id])
    except NoReverseMatch:
        return ""
