"""One entry for each kind of failure: its codes, the words for patients and for staff, whose turn
it is and where it broke. A new code is one word in its entry below; one whose words speak of the
portal has another entry for who never left this site.

A code decides; the portal's own text (``error_description``) is for staff and never shown to a
patient. A code nobody has seen yet has words too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django_stubs_ext import StrPromise


class Turn(Enum):
    """Whoever has to act next after a failure."""

    PATIENT = "patient"
    HOSPITAL = "hospital"
    MEDBLOCKS = "Medblocks"
    DEVELOPERS = "developers"
    STAFF = "staff"


class BrokeAt(Enum):
    """The party on whose side the way to a connection broke."""

    PATIENT = "patient"
    HOSPITAL = "hospital"
    MEDBLOCKS = "Medblocks"
    SITE = "this site"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class PatientMessage:
    """The words for a patient: at a 6th grader's reading level, and naming nobody to ask, since
    only a page knows whom.
    """

    title: StrPromise
    what_happened: StrPromise
    what_to_do: StrPromise

    @property
    def text(self) -> str:
        """What happened and what to do, where there is no page for them."""
        return f"{self.what_happened} {self.what_to_do}"


@dataclass(frozen=True, kw_only=True)
class ErrorMessage(PatientMessage):
    """All that is decided for one kind of failure.

    ``codes`` are separated by spaces; ``meaning`` and ``next_step`` are for staff.
    ``is_patients_choice``: no error at all. ``leads_elsewhere``: this place takes nobody now.
    """

    codes: str = ""
    meaning: StrPromise
    next_step: StrPromise
    turn: Turn
    broke_at: BrokeAt
    is_patients_choice: bool = False
    leads_elsewhere: bool = False


def describe_error(error: str, *, at_start: bool = False) -> ErrorMessage:
    """Return the words for the code ``error``, known or not.

    ``at_start`` says that it ended the start: the patient was given no way to a portal.
    """
    if not at_start:
        return ERROR_MESSAGES.get(error, _UNKNOWN)
    return MESSAGES_AT_START.get(error) or ERROR_MESSAGES.get(error, _UNKNOWN_AT_START)


def describe_limit(seconds: int) -> PatientMessage:
    """Return the words for a patient who reached this site's limit and is to wait ``seconds``."""
    return _TOO_FAST if seconds <= _A_MINUTE else _TOO_FAST_FOR_LONG


_TRY_AGAIN_LATER: Final = _("Please wait a few minutes, then try again.")
_TRY_AGAIN_TOMORROW: Final = _("Please try again. If it does not work, try again tomorrow.")

_ENTRIES: Final = (
    ErrorMessage(
        codes="user_denied",
        title=_("You stopped before you were connected"),
        what_happened=_("You chose not to share your records this time. That is fine."),
        what_to_do=_("You can connect at any time. Just try again when you are ready."),
        meaning=_("The patient cancelled at the portal's sign-in or consent page."),
        next_step=_(
            "Nothing is broken. If they want to connect, ask them to try again and approve."
        ),
        turn=Turn.PATIENT,
        broke_at=BrokeAt.PATIENT,
        is_patients_choice=True,
    ),
    ErrorMessage(
        codes="access_denied",
        title=_("The portal did not let us connect"),
        what_happened=_("The portal said no to the request. This can have many causes."),
        what_to_do=_("Please try again. If it happens twice, ask your hospital about its portal."),
        meaning=_(
            "The portal refused access. The patient may have declined, or their account may not be "
            "allowed to share records (a minor, a proxy, an account that is not fully set up)."
        ),
        next_step=_(
            "Ask whether they pressed “deny”. If not, the hospital's portal support can check the "
            "account."
        ),
        turn=Turn.PATIENT,
        broke_at=BrokeAt.HOSPITAL,
    ),
    ErrorMessage(
        codes="oauth_error",
        title=_("The portal had a problem"),
        what_happened=_("The portal could not finish your sign-in. You did nothing wrong."),
        what_to_do=_TRY_AGAIN_LATER,
        meaning=_("The portal's sign-in (OAuth) failed on the hospital's side."),
        next_step=_(
            "Ask them to try again later. If others fail at the same facility, tell Medblocks the "
            "request id."
        ),
        turn=Turn.HOSPITAL,
        broke_at=BrokeAt.HOSPITAL,
    ),
    ErrorMessage(
        codes="oauth_callback_failed oauth_state_expired",
        title=_("The way back from the portal broke"),
        what_happened=_("You signed in, but the portal's answer did not reach us in one piece."),
        what_to_do=_("Please try again. Stay in the same browser until you are back here."),
        meaning=_("The portal's answer to Medblocks was missing, late or not the expected one."),
        next_step=_("Ask them to try again in one browser window. If it repeats, tell Medblocks."),
        turn=Turn.PATIENT,
        broke_at=BrokeAt.HOSPITAL,
    ),
    ErrorMessage(
        codes="token_exchange_failed token_unavailable",
        title=_("The last step did not work"),
        what_happened=_("You signed in, but the portal did not finish the connection."),
        what_to_do=_("Please try again in a few minutes. You may have to sign in once more."),
        meaning=_("The portal accepted the sign-in and then refused the token exchange."),
        next_step=_(
            "Usually passes by itself. If it repeats, Medblocks' registration at this facility "
            "needs a look: send them the request id."
        ),
        turn=Turn.HOSPITAL,
        broke_at=BrokeAt.HOSPITAL,
    ),
    ErrorMessage(
        codes="resource_not_found http_404",
        title=_("This place cannot be reached right now"),
        what_happened=_("The place you chose does not take new connections now."),
        what_to_do=_("Please choose another place, or search for it again."),
        meaning=_("Medblocks does not know this facility, or has made it unavailable."),
        next_step=_("Ask them to search again; the catalog may hold it under another name."),
        turn=Turn.PATIENT,
        broke_at=BrokeAt.MEDBLOCKS,
        leads_elsewhere=True,
    ),
    ErrorMessage(
        codes=(
            "bad_request invalid_data invalid_image unsupported_api_version "
            "payload_too_large invalid_id http_400 http_405 http_406 http_411 http_413 "
            "http_414 http_415 http_422"
        ),
        title=_("We could not start the connection"),
        what_happened=_("Something in our request was not right. You did nothing wrong."),
        what_to_do=_TRY_AGAIN_TOMORROW,
        meaning=_("Medblocks refused our request as malformed."),
        next_step=_("This is for your developers: give them the description and the request id."),
        turn=Turn.DEVELOPERS,
        broke_at=BrokeAt.SITE,
    ),
    ErrorMessage(
        codes=(
            "not_authenticated invalid_credentials session_expired missing_api_key "
            "invalid_api_key expired_api_key forbidden org_access_denied role_insufficient "
            "patient_access_denied scope_violation insufficient_scope http_401 http_403"
        ),
        title=_("You cannot connect right now"),
        what_happened=_("This is not available for now. You did nothing wrong."),
        what_to_do=_("Please try again later."),
        meaning=_("Medblocks refused this site's API key."),
        next_step=_(
            "No patient can connect until this is fixed. Your developers should check "
            "MEDBLOCKS_CONNECT['API_KEY'] and the key's state in the Medblocks dashboard."
        ),
        turn=Turn.DEVELOPERS,
        broke_at=BrokeAt.SITE,
    ),
    ErrorMessage(
        codes="quota_exceeded feature_not_enabled api_key_limit_exceeded http_402",
        title=_("Connecting is on hold right now"),
        what_happened=_("We cannot start new connections at the moment. You did nothing wrong."),
        what_to_do=_("Please try again later."),
        meaning=_(
            "The Medblocks plan does not cover this: its quota is used up or a feature is off."
        ),
        next_step=_("Whoever manages your Medblocks account should check plan and quota."),
        turn=Turn.DEVELOPERS,
        broke_at=BrokeAt.SITE,
    ),
    ErrorMessage(
        codes="throttled http_429",
        title=_("Too many people are connecting right now"),
        what_happened=_("We had to stop your request to keep things running."),
        what_to_do=_("Please wait a minute, then try again."),
        meaning=_("Medblocks limited the rate of our requests."),
        next_step=_("Passes by itself. If it is frequent, ask Medblocks for a higher limit."),
        turn=Turn.PATIENT,
        broke_at=BrokeAt.MEDBLOCKS,
    ),
    ErrorMessage(
        codes="resource_conflict already_linked external_id_already_exists http_409",
        title=_("This was changed at the same time"),
        what_happened=_("Something else changed your connection while we were working on it."),
        what_to_do=_("Please try again."),
        meaning=_("Medblocks saw a conflict with something that exists already."),
        next_step=_("Ask them to try again. If it repeats, send Medblocks the request id."),
        turn=Turn.PATIENT,
        broke_at=BrokeAt.MEDBLOCKS,
    ),
    ErrorMessage(
        codes="fhir_error storage_error email_error",
        title=_("The hospital did not answer"),
        what_happened=_("The hospital's system did not answer as it should."),
        what_to_do=_TRY_AGAIN_LATER,
        meaning=_("The facility's record system, or Medblocks' link to it, failed."),
        next_step=_("Ask them to try again later. If it repeats, send Medblocks the request id."),
        turn=Turn.HOSPITAL,
        broke_at=BrokeAt.HOSPITAL,
    ),
    ErrorMessage(
        codes=(
            "internal_error db_error config_missing http_408 http_500 http_501 http_502 "
            "http_503 http_504"
        ),
        title=_("Something went wrong on the way"),
        what_happened=_("The service that connects us to hospitals is not working right now."),
        what_to_do=_TRY_AGAIN_LATER,
        meaning=_("Medblocks had an error of its own."),
        next_step=_("Ask them to try again later. If it repeats, send Medblocks the request id."),
        turn=Turn.MEDBLOCKS,
        broke_at=BrokeAt.MEDBLOCKS,
    ),
    ErrorMessage(
        codes="connection_failed no_answer",
        title=_("We could not reach the connection service"),
        what_happened=_("The service that connects us to hospitals does not answer right now."),
        what_to_do=_TRY_AGAIN_LATER,
        meaning=_("This site could not reach Medblocks (network, DNS or certificate)."),
        next_step=_("If others fail too, your developers should check the network and Medblocks."),
        turn=Turn.DEVELOPERS,
        broke_at=BrokeAt.SITE,
    ),
    ErrorMessage(
        codes="medblocks_busy",
        title=_("Connecting takes a short break"),
        what_happened=_(
            "The service that connects us to hospitals is too busy or does not answer right now. "
            "You did nothing wrong."
        ),
        what_to_do=_("Please wait a minute, then try again."),
        meaning=_(
            "This site did not ask Medblocks: it was not answering or limited our requests, or as "
            "many patients waited for it as may."
        ),
        next_step=_(
            "Ask them to try again in a minute. If it goes on, look at Medblocks' status; the "
            "site's log says since when."
        ),
        turn=Turn.MEDBLOCKS,
        broke_at=BrokeAt.MEDBLOCKS,
    ),
    ErrorMessage(
        codes="unexpected_reply unsafe_url duplicate_session",
        title=_("We got an answer we did not understand"),
        what_happened=_("The service that connects us to hospitals sent a strange answer."),
        what_to_do=_TRY_AGAIN_LATER,
        meaning=_("Medblocks, or something between, answered with what its API does not promise."),
        next_step=_("This is for your developers: give them the time and the request id."),
        turn=Turn.DEVELOPERS,
        broke_at=BrokeAt.MEDBLOCKS,
    ),
    ErrorMessage(
        codes="not_connected",
        title=_("You were not connected"),
        what_happened=_("Your visit to the portal ended too soon."),
        what_to_do=_("Please try again, and follow the portal's steps to the end."),
        meaning=_("The session is complete at Medblocks, with no connection to this facility."),
        next_step=_("Ask them to try again and to approve at the end."),
        turn=Turn.PATIENT,
        broke_at=BrokeAt.PATIENT,
    ),
    ErrorMessage(
        codes="site_error",
        title=_("Something went wrong on our side"),
        what_happened=_("Our own site had a problem. You did nothing wrong."),
        what_to_do=_TRY_AGAIN_TOMORROW,
        meaning=_("This site had an error of its own while it started the attempt."),
        next_step=_("This is for your developers: the site's log has the error at this time."),
        turn=Turn.STAFF,
        broke_at=BrokeAt.SITE,
    ),
)
_ENTRIES_AT_START: Final = (
    ErrorMessage(
        codes="oauth_error token_exchange_failed token_unavailable",
        title=_("We could not open the portal"),
        what_happened=_("The hospital's system did not work as it should. You did nothing wrong."),
        what_to_do=_TRY_AGAIN_LATER,
        meaning=_(
            "The facility's system failed behind Medblocks before there was a session: the patient "
            "was not sent to the portal."
        ),
        next_step=_(
            "Ask them to try again later. If others fail at the same facility, tell Medblocks the "
            "request id."
        ),
        turn=Turn.HOSPITAL,
        broke_at=BrokeAt.HOSPITAL,
    ),
    ErrorMessage(
        codes=("user_denied access_denied oauth_callback_failed oauth_state_expired not_connected"),
        title=_("We could not open the portal"),
        what_happened=_("We could not start the connection. You did nothing wrong."),
        what_to_do=_TRY_AGAIN_LATER,
        meaning=_(
            "Medblocks refused the start with a code that belongs to a later step: the patient was "
            "not sent to the portal."
        ),
        next_step=_("Ask them to try again later. If it repeats, send Medblocks the request id."),
        turn=Turn.MEDBLOCKS,
        broke_at=BrokeAt.MEDBLOCKS,
    ),
)
ERROR_MESSAGES: Final[Mapping[str, ErrorMessage]] = {
    code: message for message in _ENTRIES for code in message.codes.split()
}
MESSAGES_AT_START: Final[Mapping[str, ErrorMessage]] = {
    code: message for message in _ENTRIES_AT_START for code in message.codes.split()
}
"""The codes that mean something else where they ended the start."""

NEVER_LED_AWAY: Final = frozenset({"unsafe_url", "duplicate_session", "site_error"})
"""This site's own codes for a start that Medblocks did not refuse, and that led nobody away."""

PATIENTS_CHOICES: Final = frozenset(
    code for code, message in ERROR_MESSAGES.items() if message.is_patients_choice
)
"""Codes of the patient's own "no" at a portal: an outcome, and no failure."""

_UNKNOWN = ErrorMessage(
    title=_("It did not work this time"),
    what_happened=_("The portal sent us back without a connection. You did nothing wrong."),
    what_to_do=_TRY_AGAIN_TOMORROW,
    meaning=_("A code that this version does not know; the description may say more."),
    next_step=_("Ask them to try again. If it repeats, send Medblocks code and request id."),
    turn=Turn.STAFF,
    broke_at=BrokeAt.UNKNOWN,
)
_UNKNOWN_AT_START = replace(
    _UNKNOWN, what_happened=_("We could not start the connection. You did nothing wrong.")
)

# Ours, not Medblocks': one patient did it, and not too many people.
_A_MINUTE: Final = 61  # seconds; throttles round up
_BUSY: Final = ERROR_MESSAGES["throttled"]
_TOO_FAST: Final = PatientMessage(
    title=_("That was a lot at once"),
    what_happened=_BUSY.what_happened,
    what_to_do=_BUSY.what_to_do,
)
_TOO_FAST_FOR_LONG = replace(_TOO_FAST, what_to_do=_("Please come back later and try again."))

RECORD_SYSTEMS: Final[Mapping[str, str]] = {
    "altera": "Altera",
    "athena": "athenahealth",
    "cerner": "Oracle Health (Cerner)",
    "eclinicalworks": "eClinicalWorks",
    "epic": "Epic (MyChart)",
    "greenway": "Greenway",
    "meditech": "MEDITECH",
    "modmed": "ModMed",
    "nextgen": "NextGen",
    "practicefusion": "Practice Fusion",
    "veradigm": "Veradigm",
}


def name_record_system(connection_type: str) -> str:
    """Return the name people know for Medblocks' ``type``; one that is not known as it came."""
    return RECORD_SYSTEMS.get(connection_type, connection_type)
