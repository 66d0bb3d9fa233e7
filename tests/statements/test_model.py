"""What the model makes of a few histories that are drawn seldom."""

from __future__ import annotations

from tests.statements.model import (
    CONNECTED,
    DISCONNECTED,
    ENDED_HERE,
    LOST,
    WORKS,
    Attempt,
    Model,
    Word,
)

PLACE = "fhirsrc_riverside_general"


def connected_anew(*words: Word) -> tuple[Model, Attempt]:
    """Return a model of an attempt whose place another link connects later, at moment 5."""
    attempt = Attempt(1, "sandbox", PLACE, began=1, outcome=CONNECTED, link="conn_1")
    links = {"conn_1": PLACE, "conn_2": PLACE}
    model = Model([*words, Word("conn_2", WORKS, 5)], attempts=[attempt], places=links)
    return model, attempt


def test_end_in_the_moment_that_the_link_was_first_seen_is_won_again():
    """Our own page asks what works, and ends it at once; the session tells no more than its end."""
    seen, ended = Word("conn_1", WORKS, 3), Word("conn_1", ENDED_HERE, 3, 3)
    session = Word("conn_1", DISCONNECTED, 6, None, 1)
    model, attempt = connected_anew(seen, ended, session)
    assert model.was_won_again(attempt)


def test_end_in_the_moment_that_the_attempt_began_is_not_its_own():
    """Without word that it worked, what ended before it began was another's."""
    before = [Word("conn_0", WORKS, 0), Word("conn_0", ENDED_HERE, 1, 1)]
    model, attempt = connected_anew(*before, Word("conn_1", DISCONNECTED, 6, None, 1))
    model.places["conn_0"] = PLACE
    assert not model.was_won_again(attempt)


def test_link_of_which_the_end_was_told_first_and_that_was_kept_is_won_again():
    words = [Word("conn_1", LOST, 4, 3, 1), Word("conn_1", WORKS, 5)]
    model, attempt = connected_anew(*words)
    assert model.was_won_again(attempt)
