"""Reading and writing of a return URL's claim."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medblocks_connect.api import (
    ReturnedFailure,
    ReturnedFromHostedPage,
    ReturnedSuccess,
    parse_return_url,
    write_return_query,
)

SUCCESS = "patient_id=p1&patient_session_id=ps_1&success=true&connection_id=f1"
FAILURE = "patient_id=p1&patient_session_id=ps_1&success=false&error=user_denied"


@pytest.mark.parametrize(
    "query",
    [
        SUCCESS,
        "?" + SUCCESS,
        "https://clinic.example/return/?" + SUCCESS,
        "https://clinic.example/return/?" + SUCCESS + "#top",
        "/return/?" + SUCCESS,
        SUCCESS + "&utm=1&utm=2&url=https://a/?b",
        {
            "patient_id": ["p1"],
            "patient_session_id": ["ps_1"],
            "success": ["true"],
            "connection_id": ["f1"],
        },
        [
            ("patient_id", ["p1"]),
            ("patient_session_id", ["ps_1"]),
            ("success", ["true"]),
            ("connection_id", ["f1"]),
        ],
        {
            "patient_id": "p1",
            "patient_session_id": "ps_1",
            "success": "true",
            "connection_id": "f1",
        },
        [
            ("patient_id", "p1"),
            ("patient_session_id", "ps_1"),
            ("success", "true"),
            ("connection_id", "f1"),
        ],
    ],
)
def test_success_is_read_from_every_form_of_query(query: Any) -> None:
    assert parse_return_url(query) == ReturnedSuccess("ps_1", "p1", "f1")


def test_id_with_replaced_bytes_is_malformed() -> None:
    """Django puts U+FFFD where a query is not UTF-8."""
    assert parse_return_url({"patient_session_id": ["a\ufffd"]}) is None


def test_success_without_facility_or_patient_is_read() -> None:
    assert parse_return_url("patient_session_id=a&success=true") == ReturnedSuccess("a", "", "")


@pytest.mark.parametrize("extra", ["", "&error_description="])
def test_failure_is_read_with_its_code(extra: str) -> None:
    assert parse_return_url(FAILURE + extra) == ReturnedFailure("ps_1", "p1", "user_denied", "")


@pytest.mark.parametrize("error", ["", "&error=", "&error=%00%20"])
def test_failure_without_code_is_an_unknown_error(error: str) -> None:
    found = parse_return_url("patient_session_id=a&success=false" + error)
    assert found == ReturnedFailure("a", "", "unknown_error", "")


@pytest.mark.parametrize(
    ("description", "expected"),
    [
        pytest.param("a+b%20c", "a b c", id="spaces"),
        pytest.param("%3Cscript%3E", "<script>", id="case-24-script"),
        pytest.param("a%E2%80%AEb", "ab", id="case-24-right-to-left"),
        pytest.param("a%00b", "ab", id="case-24-nul"),
        pytest.param("a%0D%0Ab", "a b", id="case-24-line-break"),
        pytest.param("x" * 1_000_000, "x" * 1999 + "\u2026", id="case-24-1-mb"),
    ],
)
def test_failure_description_is_cleaned(description: str, expected: str) -> None:
    found = parse_return_url(f"{FAILURE}&error_description={description}")
    assert isinstance(found, ReturnedFailure)
    assert found.error_description == expected


def test_lone_surrogate_in_failure_description_is_removed() -> None:
    """Case 24."""
    lists = {"patient_session_id": ["a"], "success": ["false"], "error_description": ["x\ud800y"]}
    assert parse_return_url(lists) == ReturnedFailure("a", "", "unknown_error", "xy")


def test_return_without_success_is_from_the_hosted_page() -> None:
    found = parse_return_url("patient_id=p1&patient_session_id=ps_1")
    assert found == ReturnedFromHostedPage("ps_1", "p1")


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?",
        "https://clinic.example/return/",
        "success=true",
        pytest.param("patient_session_id=", id="case-25-empty"),
        pytest.param("patient_session_id=a&success=true&success=false", id="case-25-twice"),
        pytest.param("patient_session_id=a&patient_session_id=a", id="case-25-session-twice"),
        pytest.param("patient_session_id=" + "a" * 10_000, id="case-25-10-kb"),
        "patient_session_id=" + "a" * 501,
        "patient_session_id=a%00",
        "patient_session_id=a%0A",
        "patient_session_id=a&patient_id=b%7F",
        "patient_session_id=a&success=true&connection_id=%0D",
        "patient_session_id=%FF",
        "patient_session_id=%ED%A0%80",
        "patient_session_id=a&success=TRUE",
        "patient_session_id=a&success=1",
        "patient_session_id=a&success=",
        "patient_session_id=a&error=x&error=y",
        "patient_session_id=a" + "&x=1" * 200,
        {"patient_session_id": ["a\ud800"]},
        {"patient_session_id": []},
        {"patient_session_id": ["a", "a"]},
        {"patient_session_id": 7},
        {"patient_session_id": "a", "success": None},
        [("patient_session_id", "a"), ("success", "true"), ("success", "false")],
        None,
    ],
)
def test_malformed_query_is_none(query: Any) -> None:
    assert parse_return_url(query) is None


@pytest.mark.parametrize(
    "query", [SUCCESS, FAILURE + "&error_description=why", "patient_session_id=x&patient_id=p1"]
)
def test_repr_names_no_patient(query: str) -> None:
    shown = repr(parse_return_url(query))
    assert "p1" not in shown
    assert "why" not in shown


@pytest.mark.parametrize(
    "query",
    [
        "patient_session_id=ps_1&success=true&connection_id=fhirsrc_1",
        "patient_session_id=ps_1&success=false&error=user_denied&error_description=No+%C3%A9",
        "patient_session_id=ps_1",
    ],
)
def test_written_query_claims_the_same(query: str) -> None:
    returned = parse_return_url(f"{query}&patient_id=p1")
    assert returned is not None
    assert write_return_query(returned, 2000) == query


@pytest.mark.parametrize(
    ("session_id", "description"),
    [("ps_1", "a" * 1000), ("ps_1", "\U0001f3e5" * 1000), ("\U0001f3e5" * 255, "why")],
    ids=["long", "long-when-written", "long-id"],
)
def test_written_query_is_bounded_and_keeps_the_session(session_id: str, description: str) -> None:
    given = {"patient_session_id": session_id, "success": "false", "error_description": description}
    returned = parse_return_url(urlencode(given))
    assert returned is not None
    query = write_return_query(returned, 2000)
    again = parse_return_url(query)
    assert again is not None
    assert again.patient_session_id == session_id
    assert len(query) <= max(2000, len(urlencode({"patient_session_id": session_id})))


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    assert parse_return_url(text) is None or "patient_session_id" in text


@given(
    st.dictionaries(
        st.sampled_from(["patient_session_id", "success", "error"]), st.lists(st.text())
    )
)
def test_any_lists_are_read_or_refused(lists: dict[str, list[str]]) -> None:
    found = parse_return_url(lists)
    assert found is None or [found.patient_session_id] == lists["patient_session_id"]
