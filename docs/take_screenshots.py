"""``make screenshots``: which pictures of the demo are taken, and which of them the docs show.

Every page is taken at two widths, light and dark, into ``screenshots/`` (not committed). The few
that the docs show are copied to ``docs/images/``.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from docs.small_png import reduce_colours
from tests.browser.pages import sign_in
from tests.chromium import CHROMIUM, FLAGS
from tests.example.demo import Demo

ROOT = Path(__file__).resolve().parents[1]
EVERYTHING = ROOT / "screenshots"
SHOWN = ROOT / "docs" / "images"
LARGEST = 100_000  # bytes: a picture of the docs is no burden to a clone

WIDTHS = {390: 844, 1280: 800}  # pixels, and the height of such a screen
SCHEMES = ("light", "dark")
IN_DOCS = (
    *(
        f"{page}-390-light"
        for page in ("search", "results", "connected", "cancelled", "connections", "disconnect")
    ),
    "lost-390-dark",
    *(
        f"admin-{page}-1280-{scheme}"
        for page in ("attempts", "attempt", "patient", "overview", "queue")
        for scheme in SCHEMES
    ),
)

ADMIN = "/admin/medblocks_connect"
ATTEMPTS = f"{ADMIN}/patientconnectionattempt/"


@dataclass(frozen=True)
class Shot:
    """One page: who looks at it, and how they get there."""

    name: str
    username: str
    go: Callable[[Page], object]


def _open(path: str) -> Callable[[Page], object]:
    return lambda page: page.goto(path)


def _open_attempt(facility: str, state: str) -> Callable[[Page], object]:
    def go(page: Page) -> None:
        page.goto("/account/")
        attempt = page.get_by_role("listitem").filter(has_text=facility).filter(has_text=state)
        attempt.first.get_by_role("link").click()
        page.get_by_role("heading", level=1).wait_for()

    return go


def _open_portal(page: Page) -> None:
    page.goto("/records/search/?q=riverside")
    page.get_by_role("button", name="Riverside General").click()
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Cancel").wait_for()


def _open_disconnect(page: Page) -> None:
    page.goto("/records/connections/")
    page.get_by_role("button", name="Disconnect").first.click()
    page.get_by_role("button", name="Yes, disconnect").wait_for()


def _open_staff_page(error: str) -> Callable[[Page], object]:
    def go(page: Page) -> None:
        page.goto(ATTEMPTS)
        row = page.locator("#result_list tbody tr").filter(has_text=error).first
        row.get_by_role("link").first.click()

    return go


SHOTS = (
    Shot("home", "", _open("/")),
    Shot("sign-in", "", _open("/sign-in/")),
    Shot("account", "june", _open("/account/")),
    Shot("search", "june", _open("/records/search/")),
    Shot("results", "june", _open("/records/search/?q=river")),
    Shot("nothing", "june", _open("/records/search/?q=qqqq")),
    Shot("connected", "june", _open_attempt("Maple Hollow", "Connected")),
    Shot("cancelled", "june", _open_attempt("Riverside", "Not connected")),
    Shot("unavailable", "mei", _open_attempt("Closed Harbor", "Not connected")),
    Shot("lost", "mei", _open_attempt("Foxglove", "ended")),
    Shot("expired", "sam", _open_attempt("Hawthorn", "Ran out of time")),
    Shot("connections", "mei", _open("/records/connections/")),
    Shot("disconnect", "june", _open_disconnect),
    Shot("admin-home", "staff", _open("/admin/")),
    Shot("admin-attempts", "staff", _open(ATTEMPTS)),
    Shot("admin-attempt", "staff", _open_staff_page("token_exchange_failed")),
    Shot("admin-patients", "staff", _open(f"{ADMIN}/patienthistory/")),
    Shot("admin-patient", "staff", _open(f"{ADMIN}/patienthistory/RB-0003/change/")),
    Shot("admin-overview", "staff", _open(f"{ATTEMPTS}overview/")),
    Shot("admin-queue", "staff", _open(f"{ADMIN}/lostconnection/")),
    Shot("admin-deliveries", "staff", _open(f"{ADMIN}/webhookdelivery/")),
    # Last: each visit to the portal is one more attempt in the lists above.
    Shot("portal", "pat", _open_portal),
)


def main() -> None:
    """Start a demo, take every picture, and renew those of the docs."""
    if CHROMIUM is None:
        sys.exit("There is no Chromium or Chrome here to take pictures with.")
    shutil.rmtree(EVERYTHING, ignore_errors=True)
    EVERYTHING.mkdir()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        demo = Demo(Path(folder) / "demo.sqlite3")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            demo.history()
            _take_all(browser, demo.url)
        finally:
            browser.close()
            demo.stop()
    _renew_docs()


def _take_all(browser: Browser, url: str) -> None:
    for username in dict.fromkeys(shot.username for shot in SHOTS):
        with browser.new_context(base_url=url) as context:
            if username:
                sign_in(context.new_page(), username)
            cookies = context.storage_state()
        for width, height in WIDTHS.items():
            for scheme in SCHEMES:
                screen = {"width": width, "height": height}
                with browser.new_context(
                    base_url=url, storage_state=cookies, viewport=screen, color_scheme=scheme
                ) as context:
                    _take(context, username, f"{width}-{scheme}")


def _take(context: BrowserContext, username: str, suffix: str) -> None:
    page = context.new_page()
    for shot in SHOTS:
        if shot.username == username:
            shot.go(page)
            page.wait_for_load_state("networkidle")
            page.screenshot(path=EVERYTHING / f"{shot.name}-{suffix}.png", animations="disabled")


def _renew_docs() -> None:
    for name in IN_DOCS:
        picture = reduce_colours((EVERYTHING / f"{name}.png").read_bytes())
        if len(picture) > LARGEST:
            sys.exit(f"{name} has {len(picture)} bytes, and at most {LARGEST} are committed.")
        (SHOWN / f"{name}.png").write_bytes(picture)


if __name__ == "__main__":
    main()
