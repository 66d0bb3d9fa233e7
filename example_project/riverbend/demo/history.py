"""The demo's history: one scenario for every kind of outcome, through the real pages.

No row is written here. Each scenario signs a patient in, presses the site's own buttons, and
decides at the sandbox's portal; the history then shows what the app made of it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from django.contrib.auth import get_user_model
from django.urls import reverse

from medblocks_connect.models import PatientConnectionAttempt
from medblocks_connect.sandbox import api_faults, flows
from medblocks_connect.sandbox.conf import raw_settings
from medblocks_connect.sandbox.models import Operation, SandboxConnection, SandboxFault
from riverbend.demo.browser import Browser
from riverbend.demo.people import JUNE, MEI, PASSWORD, PAT, SAM, TOMAS, Person
from riverbend.patients import patient_number


@dataclass(frozen=True)
class Scenario:
    """One attempt: the patient, the facility, what the patient did in words, and how to do it."""

    person: Person
    facility: str
    description: str
    act: Callable[[Browser, Scenario], None]

    @property
    def patient_id(self) -> str:
        """The number on this patient's card."""
        return patient_number(get_user_model().objects.get(username=self.person.username))


def _decide(choice: str) -> Callable[[Browser, Scenario], None]:
    def act(browser: Browser, scenario: Scenario) -> None:
        browser.decide(browser.start(scenario.facility), choice)

    return act


def _start_only(browser: Browser, scenario: Scenario) -> None:
    browser.start(scenario.facility)


def _expire(browser: Browser, scenario: Scenario) -> None:
    browser.decide(browser.start(scenario.facility), "expire")
    browser.open_latest_attempt()


def _start_when_busy(browser: Browser, scenario: Scenario) -> None:
    with _QueuedFault(Operation.CREATE_PATIENT_SESSION, 429, "throttled"):
        browser.start(scenario.facility)
    # As long as Medblocks asked to wait, nothing is sent to it: the next patient comes later.
    time.sleep(_RETRY_AFTER + 0.5)


def _claim_only(browser: Browser, scenario: Scenario) -> None:
    # Medblocks answers no question and sends no webhook: only the return URL's claim is there.
    portal = browser.start(scenario.facility)
    sandbox = raw_settings()
    webhook_url, sandbox["WEBHOOK_URL"] = sandbox["WEBHOOK_URL"], ""
    try:
        with _QueuedFault(Operation.GET_PATIENT_SESSION, 500, "internal_error"):
            browser.decide(portal, "approve")
    finally:
        sandbox["WEBHOOK_URL"] = webhook_url


def _return_with_wrong_claim(browser: Browser, scenario: Scenario) -> None:
    # The return URL says "failed", and Medblocks, when it is asked, "active".
    browser.decide(browser.start(scenario.facility), "stay_away")
    latest = PatientConnectionAttempt.objects.filter(patient_id=scenario.patient_id).latest("pk")
    claim = {
        "patient_id": scenario.patient_id,
        "patient_session_id": latest.patient_session_id,
        "success": "false",
        "error": "oauth_callback_failed",
        "error_description": "The authorization response could not be processed.",
    }
    browser.get(f"{reverse('medblocks_connect:return')}?{urlencode(claim)}")


def _lose_access(browser: Browser, scenario: Scenario) -> None:
    browser.decide(browser.start(scenario.facility), "approve")
    flows.lose_access(
        SandboxConnection.objects.filter(patient__patient_id=scenario.patient_id).latest("pk")
    )


_RETRY_AFTER: Final = 1  # seconds


class _QueuedFault:
    """Context manager: the sandbox answers one operation with an error."""

    def __init__(self, operation: Operation, status: int, code: str) -> None:
        self._arguments = (operation, status, code)

    def __enter__(self) -> None:
        operation, status, code = self._arguments
        self._fault = api_faults.queue_fault(
            operation, status, code, times=20, retry_after=_RETRY_AFTER
        )

    def __exit__(self, *_error: object) -> None:
        SandboxFault.objects.filter(pk=self._fault.pk).update(remaining=0)


SCENARIOS: Final = (
    # Scenarios with a queued fault come first: nobody else is at the portal yet.
    Scenario(TOMAS, "Redfern Regional Hospital", "came back, Medblocks silent", _claim_only),
    Scenario(SAM, "Hawthorn Ridge Clinic", "could not start, too busy", _start_when_busy),
    Scenario(PAT, "Whitewillow Hospital", "signed in and approved", _decide("approve")),
    Scenario(JUNE, "Riverside General", "cancelled at the portal", _decide("cancel")),
    Scenario(JUNE, "Riverside General", "tried again and approved", _decide("approve")),
    Scenario(TOMAS, "Kestrel Health Northport", "portal broke", _decide("portal_error")),
    Scenario(TOMAS, "Kestrel Health Northport", "portal said no", _decide("access_denied")),
    Scenario(MEI, "Lantern Hill Clinic", "last step failed", _decide("token_exchange_failed")),
    Scenario(MEI, "Closed Harbor Hospital (always unavailable)", "could not start", _start_only),
    Scenario(MEI, "Broken Bridge Clinic (sign-in service down)", "could not start", _start_only),
    Scenario(SAM, "Crooked Mile Family Practice (bad request)", "could not start", _start_only),
    Scenario(SAM, "Hawthorn Ridge Clinic", "let the link run out", _expire),
    Scenario(TOMAS, "Stonecrop Medical Center", "left at the portal", _start_only),
    Scenario(
        JUNE, "Maple Hollow Family Practice", "approved, never came back", _decide("stay_away")
    ),
    Scenario(
        PAT, "Granite Pass Medical Center", "approved, way back said no", _return_with_wrong_claim
    ),
    Scenario(MEI, "Foxglove Hospital", "approved, later lost access", _lose_access),
    Scenario(PAT, "St. Alder's Medical Center", "cancelled at the portal", _decide("cancel")),
)


def run_scenarios(url: str) -> Iterator[tuple[Scenario, PatientConnectionAttempt]]:
    """Run every scenario on the site at ``url``; yield each with the attempt it made.

    A webhook's effect comes a moment later: see :func:`wait_for_webhooks`.
    """
    browsers: dict[str, Browser] = {}
    for scenario in SCENARIOS:
        username = scenario.person.username
        if username not in browsers:
            browsers[username] = Browser(url)
            browsers[username].sign_in(username, PASSWORD)
        scenario.act(browsers[username], scenario)
        attempts = PatientConnectionAttempt.objects.filter(patient_id=scenario.patient_id)
        yield scenario, attempts.latest("pk")


def wait_for_webhooks(seconds: float = 5.0) -> None:
    """Wait until the site has answered every webhook that is on its way, ``seconds`` at most."""
    deadline = time.monotonic() + seconds
    while _is_sending() and time.monotonic() < deadline:
        time.sleep(0.1)


def _is_sending() -> bool:
    return any(thread.name.startswith("webhook ") for thread in threading.enumerate())
