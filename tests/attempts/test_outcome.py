"""Outcome is a function of the evidence: proven over all orders, then case by case."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medblocks_connect.api import (
    PatientSession,
    ReturnedFailure,
    ReturnedFromHostedPage,
    ReturnedSuccess,
)
from medblocks_connect.attempts.outcome import (
    CLOCK_TOLERANCE,
    Failure,
    Outcome,
    Rank,
    conclude_from_return,
    conclude_from_session,
    merge,
)

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
FACILITY = "fhirsrc_riverside"
OTHER_FACILITY = "fhirsrc_lakeside"

codes = st.sampled_from(["user_denied", "access_denied", "oauth_error", "brand_new_code"])
times = st.none() | st.integers(0, 3).map(lambda hours: NOW + timedelta(hours=hours))


def make_session(status="open", connections=(), expires_in=30, connection_id=FACILITY):
    return PatientSession.from_json(
        {
            "id": "ps_1",
            "status": status,
            "patient_id": "p-1",
            "connection_id": connection_id,
            "expires_at": (NOW + timedelta(minutes=expires_in)).isoformat(),
            "connections": list(connections),
        }
    )


def make_connection(status, facility=FACILITY, code=None, failure_at=None):
    return {
        "id": None if status == "failed" else "conn_1",
        "connection_id": facility,
        "status": status,
        "failure_code": code,
        "failure_at": failure_at.isoformat() if failure_at else None,
        "created_at": NOW.isoformat(),
    }


connections = st.builds(
    make_connection,
    st.sampled_from(["active", "failed", "expired", "refresh_failed", "disconnected", "pondering"]),
    st.sampled_from([FACILITY, OTHER_FACILITY]),
    st.none() | codes,
    times,
)
sessions = st.builds(
    make_session,
    st.sampled_from(["open", "complete", "expired", "dreaming"]),
    st.lists(connections, max_size=3),
    st.integers(-60, 30),
)
claims = st.one_of(
    st.just(ReturnedSuccess("ps_1", "p-1", FACILITY)),
    st.just(ReturnedFromHostedPage("ps_1", "p-1")),
    st.builds(
        ReturnedFailure, st.just("ps_1"), st.just("p-1"), codes, st.sampled_from(["", "why", "no"])
    ),
).map(conclude_from_return)
facts = sessions.map(lambda session: conclude_from_session(session, FACILITY, NOW))
refusals = st.builds(
    lambda code: Outcome(Rank.FAILED, failure=Failure(code, "Medblocks' words"), settled=True),
    codes,
)
evidence = st.one_of(claims, facts, refusals, st.just(Outcome(Rank.STARTED)))


def merge_all(pieces):
    return reduce(merge, pieces, Outcome())


@given(st.lists(evidence, max_size=8), st.randoms(use_true_random=False))
def test_merge_any_order_and_any_duplicates_end_alike(pieces, random):
    shuffled = pieces + [random.choice(pieces) for _ in range(3) if pieces]
    random.shuffle(shuffled)
    assert merge_all(shuffled) == merge_all(pieces)


@given(evidence, evidence, evidence)
def test_merge_is_associative(one, two, three):
    assert merge(merge(one, two), three) == merge(one, merge(two, three))


@given(st.lists(claims | st.just(Outcome(Rank.STARTED)), max_size=8))
def test_merge_claims_alone_never_succeed(pieces):
    assert merge_all(pieces).status != "succeeded"


@given(st.lists(evidence, max_size=6), evidence)
def test_merge_nothing_weaker_replaces_something_stronger(pieces, late):
    before = merge_all(pieces)
    assert merge(before, late).rank >= before.rank


@given(sessions)
def test_session_without_this_facility_ever_active_never_succeeds(session):
    won = {"active", "expired", "refresh_failed", "disconnected"}
    ours = [each for each in session.connections if each.connection_id == FACILITY]
    succeeded = conclude_from_session(session, FACILITY, NOW).status == "succeeded"
    assert succeeded == any(each.status in won for each in ours)


@pytest.mark.parametrize(
    ("returned", "status", "error"),
    [
        (ReturnedSuccess("ps_1", "p-1", FACILITY), "returned", ""),
        (ReturnedFromHostedPage("ps_1", "p-1"), "returned", ""),
        (ReturnedFailure("ps_1", "p-1", "user_denied", ""), "failed", "user_denied"),
    ],
    ids=["success", "hosted", "failure"],
)
def test_return_concludes_an_unconfirmed_status(returned, status, error):
    outcome = conclude_from_return(returned)
    assert (outcome.status, outcome.error, outcome.unconfirmed) == (status, error, True)


@pytest.mark.parametrize(
    ("session", "status", "error"),
    [
        (make_session("complete", [make_connection("active")]), "succeeded", ""),
        (make_session("open", [make_connection("active")]), "succeeded", ""),
        (make_session("complete", [make_connection("refresh_failed")]), "succeeded", ""),
        (make_session("complete", []), "failed", "not_connected"),
        (
            make_session("complete", [make_connection("failed", code="oauth_error")]),
            "failed",
            "oauth_error",
        ),
        (make_session("complete", [make_connection("failed")]), "failed", "unknown_error"),
        (
            make_session("complete", [make_connection("active", OTHER_FACILITY)]),
            "failed",
            "not_connected",
        ),
        (make_session("complete", [make_connection("pondering")]), "started", ""),
        (make_session("open", []), "started", ""),
        (make_session("expired", []), "expired", ""),
        (make_session("open", [], expires_in=-5), "started", ""),
        (make_session("open", [], expires_in=-11), "expired", ""),
        (make_session("complete", [], expires_in=-11), "failed", "not_connected"),
        (make_session("complete", [make_connection("pondering")], expires_in=-11), "started", ""),
        (make_session("dreaming", [make_connection("pondering")], expires_in=-11), "started", ""),
        (make_session("open", [make_connection("pondering")], expires_in=-11), "expired", ""),
    ],
    ids=[
        "active", "active-in-open-session", "lost-since", "complete-without-connection", "failed",
        "failed-without-code", "case-28-other-facility", "case-28-unknown-status", "open",
        "expired", "case-46-within-the-clocks-tolerance", "lapsed", "complete-and-past",
        "case-28-unknown-status-complete-and-past", "case-28-unknown-words-and-past",
        "case-28-unknown-status-lapsed",
    ],
)  # fmt: skip
def test_session_concludes_status_and_error(session, status, error):
    outcome = conclude_from_session(session, FACILITY, NOW)
    assert (outcome.status, outcome.error) == (status, error)


@pytest.mark.parametrize(
    ("session", "settled"),
    [
        (make_session("open", [make_connection("failed")]), False),
        (make_session("open", [make_connection("failed")], expires_in=-11), True),
        (make_session("complete", [make_connection("failed")]), True),
        (make_session("complete", [make_connection("pondering")], expires_in=-60 * 24 * 29), False),
        (make_session("complete", [make_connection("pondering")], expires_in=-60 * 24 * 31), True),
    ],
    ids=["may-try-again", "lapsed", "complete", "unknown-status", "unknown-status-for-a-month"],
)
def test_session_is_settled_once_it_is_over(session, settled):
    assert conclude_from_session(session, FACILITY, NOW).settled is settled


@pytest.mark.parametrize(("minutes", "status"), [(-11, "expired"), (-9, "started")])
def test_session_without_an_end_ends_with_its_lifetime(minutes, status):
    session = replace(make_session("open"), expires_at=None)
    ends_at = NOW + timedelta(minutes=minutes)
    assert conclude_from_session(session, FACILITY, NOW, ends_at).status == status


def test_session_keeps_an_unknown_status_as_it_came():
    outcome = conclude_from_session(
        make_session("complete", [make_connection("pondering")]), FACILITY, NOW
    )
    assert outcome.connection.status == "pondering"


def test_session_started_with_a_base_url_matches_the_catalogs_id():
    session = make_session("complete", [make_connection("active")])
    assert conclude_from_session(session, "https://fhir.example/r4", NOW).status == "succeeded"


BASE_URL = "https://fhir.example/r4"


@pytest.mark.parametrize("named", [BASE_URL, f"{BASE_URL}/", ""], ids=["url", "slash", "nothing"])
@pytest.mark.parametrize("facility", [FACILITY, BASE_URL, f"{BASE_URL}/"])
def test_session_started_with_a_base_url_takes_the_only_facility_it_holds(named, facility):
    session = make_session("complete", [make_connection("active", facility)], connection_id=named)
    assert conclude_from_session(session, BASE_URL, NOW).status == "succeeded"


@pytest.mark.parametrize(
    ("named", "facilities"),
    [
        ("", [FACILITY, OTHER_FACILITY]),
        (BASE_URL, [FACILITY, OTHER_FACILITY]),
        (FACILITY, [OTHER_FACILITY]),
        (BASE_URL, []),
    ],
    ids=["case-28-two", "case-28-two-of-url", "case-28-another", "none"],
)
def test_session_started_with_a_base_url_takes_no_other_facility(named, facilities):
    connections = [make_connection("active", facility) for facility in facilities]
    session = make_session("complete", connections, connection_id=named)
    assert conclude_from_session(session, BASE_URL, NOW).error == "not_connected"


def test_session_started_with_an_id_takes_no_other_facility_though_it_is_the_only_one():
    other = make_connection("active", OTHER_FACILITY)
    session = make_session("complete", [other], connection_id="")
    assert conclude_from_session(session, FACILITY, NOW).error == "not_connected"


def test_session_of_the_hosted_page_counts_any_facility():
    session = make_session("complete", [make_connection("active", OTHER_FACILITY)])
    assert conclude_from_session(session, "", NOW).status == "succeeded"


def make_link(link_id, facility=FACILITY, status="active", minutes=0):
    made_at = None if minutes is None else (NOW + timedelta(minutes=minutes)).isoformat()
    return {**make_connection(status, facility), "id": link_id, "created_at": made_at}


links = st.builds(
    make_link,
    st.sampled_from(["conn_1", "conn_2", "conn_3"]),
    st.sampled_from([FACILITY, OTHER_FACILITY, BASE_URL, f"{BASE_URL}/"]),
    st.sampled_from(["active", "failed", "refresh_failed", "disconnected", "pondering"]),
    st.none() | st.integers(0, 2),
)


@pytest.mark.parametrize(
    ("minutes", "other_minutes", "first"),
    [(1, 2, "conn_1"), (2, 1, "conn_2"), (None, 2, "conn_2"), (1, 1, "conn_2")],
    ids=["before", "after", "unknown", "at-once"],
)
@pytest.mark.parametrize("is_listed_first", [True, False])
def test_session_of_the_hosted_page_takes_the_place_that_was_connected_first(
    minutes, other_minutes, first, is_listed_first
):
    both = [
        make_link("conn_1", FACILITY, minutes=minutes),
        make_link("conn_2", OTHER_FACILITY, minutes=other_minutes),
    ]
    session = make_session("open", both if is_listed_first else both[::-1], connection_id="")
    assert conclude_from_session(session, "", NOW).connection.patient_connection_id == first


def test_session_of_the_hosted_page_stays_with_the_place_that_is_known():
    both = [make_link("conn_1", OTHER_FACILITY), make_link("conn_2", FACILITY, minutes=1)]
    session = make_session("open", both, connection_id="")
    outcome = conclude_from_session(session, FACILITY, NOW, is_hosted=True)
    assert (outcome.connection.patient_connection_id, outcome.settled) == ("conn_2", False)


@pytest.mark.parametrize("lost", ["conn_1", "conn_2"])
def test_session_with_a_link_that_works_beside_a_lost_one_is_connected(lost):
    both = [
        make_link(each, status="disconnected" if each == lost else "active")
        for each in ("conn_1", "conn_2")
    ]
    outcome = conclude_from_session(make_session("complete", both), FACILITY, NOW)
    assert not outcome.connection.is_lost
    assert outcome.connection.patient_connection_id != lost


@pytest.mark.parametrize(
    ("status", "minutes", "settled"),
    [("open", 0, False), ("complete", 0, True), ("expired", 0, True), ("open", 60, True)],
    ids=["open", "complete", "expired", "lapsed"],
)
def test_session_of_the_hosted_page_is_settled_once_it_is_over(status, minutes, settled):
    session = make_session(status, [make_link("conn_1")], connection_id="")
    now = NOW + timedelta(minutes=minutes)
    for chosen, is_hosted in (("", False), (FACILITY, True)):
        outcome = conclude_from_session(session, chosen, now, is_hosted=is_hosted)
        assert (outcome.status, outcome.settled) == ("succeeded", settled)


@given(st.lists(links, max_size=5), st.randoms(use_true_random=False))
def test_session_of_the_hosted_page_concludes_alike_in_every_order(rows, random):
    told = conclude_from_session(make_session("open", rows, connection_id=""), "", NOW)
    shuffled = make_session("open", random.sample(rows, len(rows)), connection_id="")
    if told.rank >= Rank.FAILED:
        assert conclude_from_session(shuffled, "", NOW) == told
    assert merge(told, told) == told


def test_session_latest_failure_wins():
    session = make_session(
        "complete",
        [
            make_connection("failed", code="access_denied", failure_at=NOW),
            make_connection("failed", code="oauth_error", failure_at=NOW + timedelta(minutes=1)),
        ],
    )
    assert conclude_from_session(session, FACILITY, NOW).error == "oauth_error"


def test_merge_equal_failures_take_the_code_first_in_the_alphabet():
    failures = [Outcome(Rank.FAILED, failure=Failure(code, "", NOW)) for code in ("b", "a", "c")]
    assert merge_all(failures).error == "a"


def test_merge_keeps_the_claims_words_beside_the_confirmed_code():
    claim = conclude_from_return(
        ReturnedFailure("ps_1", "p-1", "oauth_error", "The portal's words")
    )
    fact = Outcome(Rank.FAILED, failure=Failure("token_exchange_failed"))
    outcome = merge(claim, fact)
    assert outcome.error == "token_exchange_failed"
    assert outcome.error_description == "The portal's words"


@pytest.mark.parametrize(
    ("claim", "fact", "disagrees"),
    [
        (ReturnedFailure("ps_1", "", "user_denied", ""), "active", True),
        (ReturnedSuccess("ps_1", "", FACILITY), "failed", True),
        (ReturnedSuccess("ps_1", "", FACILITY), "active", False),
        (ReturnedFailure("ps_1", "", "user_denied", ""), "failed", False),
    ],
    ids=["case-20-denied-yet-active", "case-20-success-yet-failed", "both-good", "both-bad"],
)
def test_merge_notes_a_disagreement(claim, fact, disagrees):
    session = make_session("complete", [make_connection(fact, code="oauth_error")])
    outcome = merge(conclude_from_return(claim), conclude_from_session(session, FACILITY, NOW))
    assert outcome.claim_disagrees is disagrees


def test_clock_tolerance_is_ten_minutes():
    assert timedelta(minutes=10) == CLOCK_TOLERANCE
