"""A real Chromium in front of the running demo, and what no page may do in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, StorageState

from tests.browser.pages import sign_in
from tests.chromium import CHROMIUM
from tests.example.demo import Demo


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test here, and skip it with the reason where there is no browser."""
    for item in items:
        if "tests/browser/" in item.nodeid:
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="there is no Chromium or Chrome here"))


@pytest.fixture(scope="session")
def demo(tmp_path_factory) -> Iterator[Demo]:
    demo = Demo(tmp_path_factory.mktemp("browser") / "demo.sqlite3")
    demo.history()  # which asks the sandbox to fail at times
    yield demo
    demo.stop()


class Watched:
    """What a page did that a patient's browser would hold against the site."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.complaints: list[str] = []
        self._host = urlsplit(url).netloc
        context.on("console", self._hear)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("request", self._see)

    def _hear(self, message) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"{message.text} ({message.location.get('url')})")

    def _see(self, request) -> None:
        if urlsplit(request.url).netloc != self._host:
            self.complaints.append(f"asked {request.url}")


@pytest.fixture(scope="session")
def sign_in_once(chromium, demo) -> Callable[[str], StorageState]:
    """Return the cookies of a signed-in person; signing in is slow, as it should be."""

    @cache
    def cookies_of(username: str) -> StorageState:
        with chromium.new_context(base_url=demo.url) as context:
            sign_in(context.new_page(), username)
            return context.storage_state()

    return cookies_of


@pytest.fixture
def open_page(chromium, demo, sign_in_once) -> Iterator[Callable[..., Page]]:
    """Open pages of fresh browsers, ``username`` signed in where one is given.

    None of the pages may complain or leave the site.
    """
    opened: list[tuple[BrowserContext, Watched]] = []

    def open_one(username: str = "", **options) -> Page:
        cookies = sign_in_once(username) if username else None
        context = chromium.new_context(base_url=demo.url, storage_state=cookies, **options)
        context.set_default_timeout(10_000)
        opened.append((context, Watched(context, demo.url)))
        return context.new_page()

    yield open_one
    for context, _watched in opened:
        context.close()
    assert [each for _context, watched in opened for each in watched.complaints] == []
