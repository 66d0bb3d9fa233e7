"""What has happened to the demo's patients: every kind of outcome, through the real pages.

No row is written here. Each story signs a patient in, presses the site's own buttons, and decides
at the sandbox's portal; what the history then shows is what the app made of it.
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
class Story:
    """One attempt: who, where, in words what they did, and how to do it."""

    person: Person
    facility: str
    told: str
    deed: Callable[[Browser, Story], None]

    @property
    def patient_id(self) -> str:
        """The number on this patient's card."""
        return patient_number(get_user_model().objects.get(username=self.person.username))


def _decide(choice: str) -> Callable[[Browser, Story], None]:
    def deed(browser: Browser, story: Story) -> None:
        browser.decide(browser.start(story.facility), choice)

    return deed


def _start_only(browser: Browser, story: Story) -> None:
    browser.start(story.facility)


def _expire(browser: Browser, story: Story) -> None:
    browser.decide(browser.start(story.facility), "expire")
    browser.look_at_latest_attempt()


def _start_when_busy(browser: Browser, story: Story) -> None:
    with _Fault(Operation.CREATE_PATIENT_SESSION, 429, "throttled"):
        browser.start(story.facility)


def _return_unconfirmed(browser: Browser, story: Story) -> None:
    # Neither asked nor by webhook does Medblocks tell: only the return URL's claim is there.
    portal = browser.start(story.facility)
    sandbox = raw_settings()
    webhook_url, sandbox["WEBHOOK_URL"] = sandbox["WEBHOOK_URL"], ""
    try:
        with _Fault(Operation.GET_PATIENT_SESSION, 500, "internal_error"):
            browser.decide(portal, "approve")
    finally:
        sandbox["WEBHOOK_URL"] = webhook_url


def _return_with_wrong_claim(browser: Browser, story: Story) -> None:
    # The portal's way back says "failed", and Medblocks, when it is asked, "active".
    browser.decide(browser.start(story.facility), "stay_away")
    latest = PatientConnectionAttempt.objects.filter(patient_id=story.patient_id).latest("pk")
    claim = {
        "patient_id": story.patient_id,
        "patient_session_id": latest.patient_session_id,
        "success": "false",
        "error": "oauth_callback_failed",
        "error_description": "The authorization response could not be processed.",
    }
    browser.get(f"{reverse('medblocks_connect:return')}?{urlencode(claim)}")


def _lose_access(browser: Browser, story: Story) -> None:
    browser.decide(browser.start(story.facility), "approve")
    flows.lose_access(
        SandboxConnection.objects.filter(patient__patient_id=story.patient_id).latest("pk")
    )


class _Fault:
    """The sandbox fails at one operation for as long as this lasts."""

    def __init__(self, operation: Operation, status: int, code: str) -> None:
        self._order = (operation, status, code)

    def __enter__(self) -> None:
        operation, status, code = self._order
        self._fault = api_faults.queue_fault(operation, status, code, times=20, retry_after=60)

    def __exit__(self, *_error: object) -> None:
        SandboxFault.objects.filter(pk=self._fault.pk).update(remaining=0)


STORIES: Final = (
    # First what the sandbox is told to fail at: nobody else is at the portal yet.
    Story(TOMAS, "Redfern Regional Hospital", "came back, Medblocks silent", _return_unconfirmed),
    Story(SAM, "Hawthorn Ridge Clinic", "could not start, too busy", _start_when_busy),
    Story(PAT, "Whitewillow Hospital", "signed in and approved", _decide("approve")),
    Story(JUNE, "Riverside General", "cancelled at the portal", _decide("cancel")),
    Story(JUNE, "Riverside General", "tried again and approved", _decide("approve")),
    Story(TOMAS, "Kestrel Health Northport", "portal broke", _decide("portal_error")),
    Story(TOMAS, "Kestrel Health Northport", "portal said no", _decide("access_denied")),
    Story(MEI, "Lantern Hill Clinic", "last step failed", _decide("token_exchange_failed")),
    Story(MEI, "Closed Harbor Hospital (always unavailable)", "could not start", _start_only),
    Story(MEI, "Broken Bridge Clinic (sign-in service down)", "could not start", _start_only),
    Story(SAM, "Crooked Mile Family Practice (bad request)", "could not start", _start_only),
    Story(SAM, "Hawthorn Ridge Clinic", "let the link run out", _expire),
    Story(TOMAS, "Stonecrop Medical Center", "left at the portal", _start_only),
    Story(JUNE, "Maple Hollow Family Practice", "approved, never came back", _decide("stay_away")),
    Story(
        PAT, "Granite Pass Medical Center", "approved, way back said no", _return_with_wrong_claim
    ),
    Story(MEI, "Foxglove Hospital", "approved, later lost access", _lose_access),
    Story(PAT, "St. Alder's Medical Center", "cancelled at the portal", _decide("cancel")),
)


def live_through_stories(url: str) -> Iterator[tuple[Story, PatientConnectionAttempt]]:
    """Let every story happen on the site at ``url``; give each with the attempt it made.

    What a webhook adds comes a moment later: see :func:`wait_for_webhooks`.
    """
    browsers: dict[str, Browser] = {}
    for story in STORIES:
        username = story.person.username
        if username not in browsers:
            browsers[username] = Browser(url)
            browsers[username].sign_in(username, PASSWORD)
        story.deed(browsers[username], story)
        attempts = PatientConnectionAttempt.objects.filter(patient_id=story.patient_id)
        yield story, attempts.latest("pk")


def wait_for_webhooks(seconds: float = 5.0) -> None:
    """Wait until the site has answered every webhook that is on its way, ``seconds`` at most."""
    deadline = time.monotonic() + seconds
    while _sending() and time.monotonic() < deadline:
        time.sleep(0.1)


def _sending() -> bool:
    return any(thread.name.startswith("webhook ") for thread in threading.enumerate())
