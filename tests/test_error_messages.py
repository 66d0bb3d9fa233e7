"""Every code has its words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from medblocks_connect.error_messages import describe_error, name_record_system

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
    "connection_failed", "unexpected_reply", "not_connected", "unsafe_url", "duplicate_session",
    "site_error", "invalid_id",
]  # fmt: skip
WITHOUT_A_CODE = [
    f"http_{status}" for status in (400, 401, 402, 403, 404, 409, 413, 422, 429, 500, 502, 503, 504)
]


@pytest.mark.parametrize("code", sorted({*SEEN_ON_RETURN, *API_CODES, *OURS, *WITHOUT_A_CODE}))
def test_known_code_has_words_of_its_own(code):
    assert describe_error(code) is not describe_error("brand_new_code")


def test_codes_of_the_issues_table_differ_from_each_other():
    told = [describe_error(code) for code in TABLE_OF_THE_ISSUE]
    assert len({str(each.title) for each in told}) == len(told)
    assert len({str(each.meaning) for each in told}) == len(told)


@pytest.mark.parametrize("code", ["", "brand_new_code", "<script>", "x" * 1000])
def test_unknown_code_has_words_too(code):
    assert str(describe_error(code).title) == "It did not work this time"


def test_unknown_code_at_the_start_speaks_of_no_portal():
    at_start, later = describe_error("new", at_start=True), describe_error("new")
    assert "portal" not in str(at_start.what_happened)
    assert "portal" in str(later.what_happened)
    assert at_start.title == later.title


def test_known_code_says_the_same_whenever_it_comes():
    assert describe_error("oauth_error", at_start=True) is describe_error("oauth_error")


def test_access_denied_does_not_say_that_the_patient_refused():
    message = describe_error("access_denied")
    assert "you" not in re.findall(r"[a-z]+", str(message.what_happened).lower())


def test_record_system_that_nobody_knows_keeps_its_name():
    assert name_record_system("epic") == "Epic (MyChart)"
    assert name_record_system("brandnew") == "brandnew"


def test_every_message_is_translatable():
    source = Path("medblocks_connect/error_messages.py").read_text(encoding="utf-8")
    assert not re.search(r'(title|what_happened|what_to_do|meaning|next_step)="', source)
