"""The state of a patient at a place: the same, in whatever order its links were told of."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import reduce
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medblocks_connect.attempts.connection_state import (
    LinkState,
    State,
    conclude_place,
    merge_links,
    tell_link,
)

START = datetime(2026, 11, 1, 10, 0, tzinfo=timezone.utc)
STATUSES = ("active", "refresh_failed", "disconnected", "expired", "brand_new")


def after(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def active(minutes: float, since: float = 0) -> LinkState:
    return tell_link("active", after(minutes), since=after(since))


def lost(minutes: float, status: str = "refresh_failed", at: float | None = None) -> LinkState:
    lost_at = None if at is None else after(at)
    return tell_link(status, after(minutes), lost_at=lost_at)


def ended_here(minutes: float) -> LinkState:
    told = after(minutes)
    return tell_link("disconnected", told, lost_at=told, is_ended_here=True)


def conclude(*told: LinkState):
    return conclude_place([reduce(merge_links, told)])


moments = st.integers(min_value=0, max_value=6).map(after)
words = st.builds(
    tell_link,
    st.sampled_from(STATUSES),
    moments,
    since=st.none() | moments,
    lost_at=st.none() | moments,
    is_ended_here=st.booleans(),
)


@given(words, words)
def test_merge_of_two_words_commutes(left, right):
    assert merge_links(left, right) == merge_links(right, left)


@given(words, words, words)
def test_merge_of_three_words_associates(one, two, three):
    assert merge_links(merge_links(one, two), three) == merge_links(one, merge_links(two, three))


@given(words, words)
def test_merge_of_a_word_told_twice_changes_nothing(left, right):
    merged = merge_links(left, right)
    assert merge_links(merged, right) == merged == merge_links(left, merged)


@given(st.lists(words, min_size=1, max_size=4), st.randoms())
def test_place_is_the_same_in_whatever_order_its_links_stand(links, random):
    shuffled = random.sample(links, len(links))
    assert conclude_place(shuffled) == conclude_place(links)


def test_place_whose_links_ended_at_once_was_ended_here_where_one_was():
    links = [lost(0), tell_link("refresh_failed", after(0), is_ended_here=True)]
    assert conclude_place(links) == conclude_place(links[::-1])
    assert conclude_place(links).was_ended_here


@given(st.lists(words, min_size=1, max_size=4))
def test_place_with_a_link_that_works_is_connected(links):
    is_connected = conclude_place(links).state == State.CONNECTED
    assert is_connected is any(link.is_active for link in links)


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_link_won_again_is_connected_in_every_order(order):
    told = [active(0), lost(2, at=1), active(3)]
    assert conclude(*(told[index] for index in order)).state == State.CONNECTED


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_link_lost_again_is_lost_in_every_order(order):
    told = [lost(2, at=1), active(3), lost(5, at=4)]
    place = conclude(*(told[index] for index in order))
    assert (place.state, place.lost_at) == (State.LOST, after(4))


def test_link_lost_and_active_at_once_is_lost():
    """A false "connected" is the worse of the two."""
    assert conclude(active(1), lost(1)).state == State.LOST


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("active", State.CONNECTED),
        ("refresh_failed", State.LOST),
        ("expired", State.LOST),
        ("disconnected", State.DISCONNECTED),
        ("brand_new", State.CHECKING),
    ],
)
def test_link_status_is_the_places_state(status, state):
    assert conclude(tell_link(status, START)).state == state


def test_loss_is_dated_as_medblocks_says():
    assert conclude(active(0), lost(9, at=4), lost(12, at=4)).lost_at == after(4)


def test_loss_without_a_time_is_dated_when_it_was_seen_first():
    assert conclude(active(0), lost(9), lost(12)).lost_at == after(9)


def test_disconnection_here_stays_one_when_medblocks_lists_it():
    place = conclude(active(0), ended_here(3), lost(5, "disconnected", at=3))
    assert (place.state, place.was_ended_here) == (State.DISCONNECTED, True)


def test_disconnection_here_is_forgotten_once_it_is_connected_again():
    place = conclude(ended_here(3), active(4), lost(6, at=5))
    assert (place.state, place.was_ended_here) == (State.LOST, False)


def test_place_with_one_of_two_links_ended_is_connected_since_the_other():
    ended = merge_links(active(0), ended_here(3))
    place = conclude_place([ended, active(5, since=2)])
    assert (place.state, place.since) == (State.CONNECTED, after(2))


@pytest.mark.parametrize("order", [*permutations(range(2))])
def test_place_whose_links_were_lost_at_once_is_the_same_in_both_orders(order):
    ended = tell_link("refresh_failed", START, since=after(1), is_ended_here=True)
    place = conclude_place([[ended, lost(0)][index] for index in order])
    assert (place.state, place.was_ended_here) == (State.DISCONNECTED, True)


def test_place_whose_links_are_all_lost_is_as_the_last_of_them():
    gone = merge_links(active(0), lost(2, at=1))
    ended = merge_links(active(3), ended_here(5))
    place = conclude_place([ended, gone])
    assert (place.state, place.was_ended_here) == (State.DISCONNECTED, True)
