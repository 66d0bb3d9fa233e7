"""``make screenshots``: take pictures of the demo's pages, and renew those that the docs show.

Every page is taken at two widths, light and dark, into ``screenshots/`` (not committed). Those that
the docs show are copied to ``docs/images/``. ``python -m docs.take_screenshots lost connections``
takes these two pages alone.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from docs.small_png import reduce_colours
from tests.browser.pages import sign_in
from tests.chromium import CHROMIUM, FLAGS
from tests.example.demo import Demo

ROOT = Path(__file__).resolve().parents[1]
SCREENSHOTS = ROOT / "screenshots"
DOCS_IMAGES = ROOT / "docs" / "images"
MAX_BYTES = 100_000  # a picture of the docs is no burden to a clone

WIDTHS = {390: 844, 1280: 800}  # pixels, and the height of such a screen
SCHEMES = ("light", "dark")
ON_A_PHONE = (
    "search", "results", "nothing", "thanks", "confirm", "connected", "checking", "cancelled",
    "failed-twice", "expired", "connections", "disconnect", "not-disconnected", "not-here",
    "open-too-long", "connected-es", "connections-es",
)  # fmt: skip
IN_DOCS = (
    *(f"{page}-390-light" for page in ON_A_PHONE),
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
    """One page: the user who looks at it, the steps to it, and the browser's language."""

    name: str
    username: str
    go: Callable[[Page], object]
    language: str = "en-US"


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


def _disconnect(page: Page) -> None:
    _open_disconnect(page)
    page.get_by_role("button", name="Yes, disconnect").click()
    page.get_by_role("heading", name="We could not disconnect you").wait_for()


def _report_missing_facility(page: Page) -> None:
    page.goto("/records/search/?q=qqqq")
    page.get_by_label("Name of the missing hospital or clinic").fill("Far Hill")
    page.get_by_role("button", name="Tell us").click()
    page.get_by_role("heading", name="Thank you").wait_for()


def _choose(page: Page) -> None:
    page.goto("/records/search/?q=riverside")
    page.get_by_role("button", name="Riverside General").click()
    page.get_by_role("heading", name="You are about to leave this site").wait_for()


def _submit_expired_form(page: Page) -> None:
    page.goto("/records/search/?q=riverside")
    tokens = page.locator("[name=csrfmiddlewaretoken]")
    tokens.evaluate_all("all => all.forEach((each) => { each.value = 'x'.repeat(64); })")
    page.get_by_role("button", name="Riverside General").click()
    page.get_by_role("heading", name="This page was open too long").wait_for()


def _submit_somebody_elses_form(page: Page) -> None:
    page.goto("/records/search/?q=riverside")
    tokens = page.locator("[name=medblocks_patient]")
    tokens.evaluate_all("all => all.forEach((each) => { each.value = 'x'.repeat(64); })")
    page.get_by_role("button", name="Riverside General").click()
    page.get_by_role("heading", name="This page was opened for somebody else").wait_for()


def _open_staff_page(error: str) -> Callable[[Page], object]:
    def go(page: Page) -> None:
        page.goto(ATTEMPTS)
        row = page.locator("#result_list tbody tr").filter(has_text=error).first
        row.get_by_role("link").first.click()

    return go


def _open_patient(patient_id: str) -> Callable[[Page], object]:
    def go(page: Page) -> None:
        page.goto(f"{ADMIN}/patienthistory/?q={patient_id}")
        page.get_by_role("link", name=patient_id).click()

    return go


SHOTS = (
    Shot("home", "", _open("/")),
    Shot("sign-in", "", _open("/sign-in/")),
    Shot("account", "june", _open("/account/")),
    Shot("search", "tomas", _open("/records/search/")),
    Shot("results", "june", _open("/records/search/?q=river")),
    Shot("nothing", "june", _open("/records/search/?q=qqqq")),
    Shot("thanks", "june", _report_missing_facility),
    Shot("open-too-long", "june", _submit_expired_form),
    Shot("patient-changed", "june", _submit_somebody_elses_form),
    Shot("not-here", "june", _open("/records/attempts/none/")),
    Shot("connected", "june", _open_attempt("Maple Hollow", "Connected")),
    Shot("connected-es", "june", _open_attempt("Maple Hollow", "Conexión activa"), "es-MX"),
    Shot("cancelled", "june", _open_attempt("Riverside", "Not connected")),
    Shot("unavailable", "mei", _open_attempt("Closed Harbor", "Not connected")),
    Shot("failed-twice", "tomas", _open_attempt("Kestrel", "Not connected")),
    Shot("lost", "mei", _open_attempt("Foxglove", "ended")),
    Shot("expired", "sam", _open_attempt("Hawthorn", "Ran out of time")),
    Shot("connections", "june", _open("/records/connections/")),
    Shot("connections-es", "mei", _open("/records/connections/"), "es-MX"),
    Shot("disconnect", "june", _open_disconnect),
    Shot("admin-home", "staff", _open("/admin/")),
    Shot("admin-attempts", "staff", _open(ATTEMPTS)),
    Shot("admin-attempt", "staff", _open_staff_page("token_exchange_failed")),
    Shot("admin-patients", "staff", _open(f"{ADMIN}/patienthistory/")),
    Shot("admin-patient", "staff", _open_patient("RB-0003")),
    Shot("admin-overview", "staff", _open(f"{ATTEMPTS}overview/")),
    Shot("admin-queue", "staff", _open(f"{ADMIN}/lostconnection/")),
    Shot("admin-deliveries", "staff", _open(f"{ADMIN}/webhookdelivery/")),
    # Last: each visit to the portal is one more attempt in the lists above.
    Shot("portal", "pat", _open_portal),
)
SHOTS_WITHOUT_MEDBLOCKS = (
    Shot("checking", "tomas", _open_attempt("Redfern", "Being checked")),
    Shot("not-disconnected", "pat", _disconnect),
)
SHOTS_BEFORE_THE_PORTAL = (Shot("confirm", "june", _choose),)

# Both operations that these two pages need fail, and the patient came back just now.
MEDBLOCKS_OUTAGE = """
from django.utils import timezone
from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.sandbox.api_faults import queue_fault
for operation in ("get_patient_session", "disconnect"):
    queue_fault(operation, 500, "internal_error", times=100)
PatientConnectionAttempt.objects.filter(status="returned").update(returned_at=timezone.now())
"""


def main(names: Sequence[str]) -> None:
    """Start a demo, take the pictures ``names``, or every one, and renew those of the docs."""
    if CHROMIUM is None:
        sys.exit("There is no Chromium or Chrome here to take pictures with.")
    if not names:
        shutil.rmtree(SCREENSHOTS, ignore_errors=True)
    SCREENSHOTS.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            _take_demo(browser, names)
            _take_demo_with_confirmation(browser, names)
        finally:
            browser.close()
    _renew_docs(names)


def _take_demo(browser: Browser, names: Sequence[str]) -> None:
    usual = _choose_shots(SHOTS, names)
    without_medblocks = _choose_shots(SHOTS_WITHOUT_MEDBLOCKS, names)
    if not usual and not without_medblocks:
        return
    with _run_demo() as demo:
        demo.history()
        _take_all(browser, demo.url, usual)
        if without_medblocks:
            demo.run(MEDBLOCKS_OUTAGE)
            _take_all(browser, demo.url, without_medblocks)


def _take_demo_with_confirmation(browser: Browser, names: Sequence[str]) -> None:
    shots = _choose_shots(SHOTS_BEFORE_THE_PORTAL, names)
    if shots:
        # Its history breaks off at once, as its patients do not expect to be asked.
        with _run_demo(MEDBLOCKS_CONFIRM_BEFORE_PORTAL="on") as demo:
            demo.wait_for_line("Ctrl-C stops the demo.")
            _take_all(browser, demo.url, shots)


@contextmanager
def _run_demo(**environment: str) -> Iterator[Demo]:
    with tempfile.TemporaryDirectory() as folder:
        demo = Demo(Path(folder) / "demo.sqlite3", **environment)
        try:
            yield demo
        finally:
            demo.stop()


def _choose_shots(shots: Sequence[Shot], names: Sequence[str]) -> list[Shot]:
    return [shot for shot in shots if not names or shot.name in names]


def _take_all(browser: Browser, url: str, shots: Sequence[Shot]) -> None:
    for username, language in dict.fromkeys((shot.username, shot.language) for shot in shots):
        with browser.new_context(base_url=url) as context:
            if username:
                sign_in(context.new_page(), username)
            cookies = context.storage_state()
        same_browser = [
            shot for shot in shots if (shot.username, shot.language) == (username, language)
        ]
        for width, height in WIDTHS.items():
            for scheme in SCHEMES:
                with browser.new_context(
                    base_url=url,
                    storage_state=cookies,
                    viewport={"width": width, "height": height},
                    color_scheme=scheme,
                    locale=language,
                ) as context:
                    _take(context, same_browser, f"{width}-{scheme}")


def _take(context: BrowserContext, shots: Sequence[Shot], suffix: str) -> None:
    page = context.new_page()
    for shot in shots:
        shot.go(page)
        page.wait_for_load_state("networkidle")
        page.screenshot(path=SCREENSHOTS / f"{shot.name}-{suffix}.png", animations="disabled")


def _renew_docs(names: Sequence[str]) -> None:
    for name in IN_DOCS:
        if names and name.rsplit("-", 2)[0] not in names:
            continue
        picture = reduce_colours((SCREENSHOTS / f"{name}.png").read_bytes())
        if len(picture) > MAX_BYTES:
            sys.exit(f"{name} has {len(picture)} bytes, and at most {MAX_BYTES} are committed.")
        (DOCS_IMAGES / f"{name}.png").write_bytes(picture)


if __name__ == "__main__":
    main(sys.argv[1:])
