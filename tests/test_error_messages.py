"""Every code has all its parts: words for patients and staff, whose turn it is, where it broke."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from django.utils.translation import override

from medblocks_connect.api import (
    MedblocksBusyError,
    MedblocksConnectionError,
    NoAnswerError,
    UnexpectedReplyError,
)
from medblocks_connect.attempts import start
from medblocks_connect.attempts.outcome import NOT_CONNECTED
from medblocks_connect.error_messages import (
    ERROR_MESSAGES,
    MESSAGES_AT_START,
    NEVER_LED_AWAY,
    PATIENTS_CHOICES,
    BrokeAt,
    Turn,
    describe_error,
    name_record_system,
)
from tests.test_docs import ROOT, table

CONTRACT = Path(__file__).resolve().parents[2] / "shared" / "data" / "medblocks-contract.json"

SEEN_ON_RETURN = [
    "user_denied", "access_denied", "oauth_callback_failed", "oauth_error",
    "token_exchange_failed",
]  # fmt: skip
TABLE_OF_THE_ISSUE = [
    "resource_not_found", "bad_request", "oauth_error", "token_exchange_failed", "user_denied",
]  # fmt: skip
API_CODES = [
    "not_authenticated",
    "invalid_credentials",
    "session_expired",
    "missing_api_key",
    "invalid_api_key",
    "expired_api_key",
    "forbidden",
    "org_access_denied",
    "role_insufficient",
    "patient_access_denied",
    "scope_violation",
    "insufficient_scope",
    "bad_request",
    "invalid_data",
    "invalid_image",
    "unsupported_api_version",
    "oauth_state_expired",
    "payload_too_large",
    "resource_not_found",
    "resource_conflict",
    "already_linked",
    "external_id_already_exists",
    "throttled",
    "quota_exceeded",
    "api_key_limit_exceeded",
    "feature_not_enabled",
    "fhir_error",
    "oauth_error",
    "email_error",
    "token_exchange_failed",
    "token_unavailable",
    "storage_error",
    "internal_error",
    "db_error",
    "config_missing",
]
OURS = [
    MedblocksBusyError.default_code, MedblocksConnectionError.default_code,
    NoAnswerError.default_code, UnexpectedReplyError.default_code, NOT_CONNECTED,
    start.UNSAFE_URL, start.DUPLICATE_SESSION, start.SITE_ERROR, "invalid_id",
]  # fmt: skip
WITHOUT_A_CODE = [
    f"http_{status}" for status in (400, 401, 402, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504)
]


CODES = sorted({*SEEN_ON_RETURN, *API_CODES, *OURS, *WITHOUT_A_CODE, *ERROR_MESSAGES})


@pytest.mark.parametrize("code", CODES)
def test_known_code_has_words_of_its_own(code):
    assert describe_error(code) is not describe_error("brand_new_code")


@pytest.mark.parametrize("code", CODES)
def test_known_code_has_every_part(code):
    message = describe_error(code)
    texts = (
        message.title,
        message.what_happened,
        message.what_to_do,
        message.meaning,
        message.next_step,
    )
    assert all(map(str, texts))
    assert message.turn in Turn
    assert message.broke_at in set(BrokeAt) - {BrokeAt.UNKNOWN}


@pytest.mark.skipif(not CONTRACT.exists(), reason="the facts of Medblocks' API are not here")
def test_code_of_the_contract_is_known():
    contract = json.loads(CONTRACT.read_text(encoding="utf-8"))
    codes = {error["code"] for error in contract["errors"]}
    codes.update(*contract["return_error_codes_named"].values())
    assert codes - set(ERROR_MESSAGES) == set()


def test_code_stands_in_one_entry_alone():
    for message in ERROR_MESSAGES.values():
        assert all(ERROR_MESSAGES[code] is message for code in message.codes.split())


def test_patients_choice_is_their_denial_alone():
    assert {"user_denied"} == PATIENTS_CHOICES


def test_docs_error_codes_with_their_decisions():
    page = (ROOT / "docs" / "admin.md").read_text(encoding="utf-8")
    *rows, unknown = table(page, "Error code")
    written = {
        code: decisions for codes, *decisions in rows for code in re.findall(r"[a-z0-9_]+", codes)
    }
    assert written == {code: list_decisions(code) for code in ERROR_MESSAGES}
    assert unknown[1:] == list_decisions("brand_new_code")


def test_docs_codes_that_mean_something_else_at_the_start():
    page = (ROOT / "docs" / "admin.md").read_text(encoding="utf-8")
    written = {
        code: decisions
        for codes, *decisions in table(page, "Error code of a refused start")
        for code in re.findall(r"[a-z0-9_]+", codes)
    }
    assert written == {code: list_decisions(code, at_start=True) for code in MESSAGES_AT_START}


def list_decisions(code: str, *, at_start: bool = False) -> list[str]:
    message = describe_error(code, at_start=at_start)
    return [str(message.title), message.turn.value, message.broke_at.value]


def test_codes_of_the_issues_table_differ_from_each_other():
    messages = [describe_error(code) for code in TABLE_OF_THE_ISSUE]
    assert len({str(message.title) for message in messages}) == len(messages)
    assert len({str(message.meaning) for message in messages}) == len(messages)


@pytest.mark.parametrize("code", ["", "brand_new_code", "<script>", "x" * 1000])
def test_unknown_code_has_words_too(code):
    assert str(describe_error(code).title) == "It did not work this time"


def test_unknown_code_at_the_start_speaks_of_no_portal():
    at_start, later = describe_error("new", at_start=True), describe_error("new")
    assert "portal" not in str(at_start.what_happened)
    assert "portal" in str(later.what_happened)
    assert at_start.title == later.title


def test_known_code_says_the_same_whenever_it_comes_unless_it_speaks_of_the_portal():
    differ = {
        code for code in CODES if describe_error(code, at_start=True) is not describe_error(code)
    }
    assert differ == set(MESSAGES_AT_START)
    assert differ <= set(ERROR_MESSAGES)


def test_codes_that_led_nobody_away_are_those_of_the_start():
    assert {start.UNSAFE_URL, start.DUPLICATE_SESSION, start.SITE_ERROR} == NEVER_LED_AWAY


def test_own_no_at_a_refused_start_is_nobodys_choice():
    assert describe_error("user_denied").is_patients_choice
    assert not describe_error("user_denied", at_start=True).is_patients_choice


# What nobody says of a patient who never left this site: in the words for patients and for staff.
SAID_OF_WHO_LEFT = {
    "en": (
        "signed in", "sign-in", "sign in", "came back", "come back", "back from", "sent us back",
        "at the portal", "your visit", "portal said", "portal refused", "portal accepted",
        "portal did not", "portal could not", "portal's answer", "portal had", "hospital refused",
        "the portal's steps", "cancel", "stopped", "approve", "deny", "denied", "declined",
        "chose not to", "consent",
    ),
    "es": (
        "inició sesión", "entró", "su entrada", "la entrada", "volvió", "volver", "de vuelta",
        "nos devolvió", "en el portal", "su visita", "el portal dijo", "el portal rechazó",
        "el portal aceptó", "el portal no", "respuesta del portal", "el portal tuvo",
        "el hospital rechazó", "pasos del portal", "cancel", "se detuvo", "aprob", "neg",
        "decidió no", "consent",
    ),
}  # fmt: skip


def read_contract() -> set[str]:
    contract = json.loads(CONTRACT.read_text(encoding="utf-8")) if CONTRACT.exists() else {}
    named = contract.get("return_error_codes_named", {})
    return {error["code"] for error in contract.get("errors", [])}.union(*named.values())


@pytest.mark.parametrize("language", SAID_OF_WHO_LEFT)
@pytest.mark.parametrize(
    "code", sorted({*CODES, *read_contract(), "brand_new_code", "http_418", "unknown_error"})
)
def test_words_of_a_refused_start_fit_who_never_left(code, language):
    message = describe_error(code, at_start=True)
    with override(language):
        told = "\n".join(
            (
                f"{message.title}\n{message.what_happened}\n{message.what_to_do}",
                f"{message.meaning}\n{message.next_step}",
            )
        ).lower()
    assert [words for words in SAID_OF_WHO_LEFT[language] if words in told] == []


@pytest.mark.parametrize(("language", "title"), [("en", "open the"), ("es", "abrir el")])
def test_words_of_a_refused_start_are_read_in_their_language(language, title):
    with override(language):
        assert title in str(describe_error("oauth_error", at_start=True).title)


def test_words_that_speak_of_the_portal_are_found():
    told = {code: str(describe_error(code).what_happened).lower() for code in MESSAGES_AT_START}
    told |= {code: f"{told[code]} {describe_error(code).meaning}".lower() for code in told}
    fit = [code for code in told if not any(each in told[code] for each in SAID_OF_WHO_LEFT["en"])]
    assert fit == []


def test_access_denied_does_not_say_that_the_patient_refused():
    message = describe_error("access_denied")
    assert "you" not in re.findall(r"[a-z]+", str(message.what_happened).lower())


def test_unknown_record_system_keeps_its_name():
    assert name_record_system("epic") == "Epic (MyChart)"
    assert name_record_system("brandnew") == "brandnew"


def test_every_message_is_translatable():
    source = Path("medblocks_connect/error_messages.py").read_text(encoding="utf-8")
    assert not re.search(r'(title|what_happened|what_to_do|meaning|next_step)="', source)
