"""The state that a name gives, and letters that are no state."""

from __future__ import annotations

import pytest

from medblocks_connect.facilities.matching.states import split_state


@pytest.mark.parametrize(
    ("name", "state", "rest"),
    [
        ("NY - Rebecca Fishman MD", "NY", "Rebecca Fishman MD"),
        ("ny-Rebecca Fishman", "NY", "Rebecca Fishman"),
        ("TX: Dover Clinic", "TX", "Dover Clinic"),
        ("MD \u2013 Women's Health", "MD", "Women's Health"),
        ("Dover Heart Center, TX", "TX", "Dover Heart Center, TX"),
        ("Dover Heart Center (OH)", "OH", "Dover Heart Center (OH)"),
        ("Rebecca Fishman MD", "", "Rebecca Fishman MD"),
        ("Dover Pediatrics PA", "", "Dover Pediatrics PA"),
        ("ZZ - Dover", "", "ZZ - Dover"),
        ("NY - ", "", "NY - "),
        ("Sunny", "", "Sunny"),
        ("", "", ""),
    ],
)
def test_split_state_gives_state_and_rest(name, state, rest):
    assert split_state(name) == (state, rest)
