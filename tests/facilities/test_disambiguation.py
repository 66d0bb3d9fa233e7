"""Facilities of one name are told apart by as little as is needed."""

from __future__ import annotations

from medblocks_connect.api import FhirSource
from medblocks_connect.facilities.disambiguation import Difference, disambiguate


def place(number, name="Mercy", kind="epic", portal=""):
    return FhirSource(str(number), name, kind, "", "", portal)


def test_facility_alone_is_told_by_its_name():
    alone = place(1, portal="https://mychart.example/")
    assert disambiguate([alone, place(2, "Grace")])["1"] == Difference()


def test_twins_are_told_by_their_portals():
    twins = [place(1, portal="https://www.a.example/"), place(2, portal="https://b.example/")]
    assert [each.host for each in disambiguate(twins).values()] == ["a.example", "b.example"]


def test_twins_of_different_states_are_not_numbered():
    twins = [place(1, "NY - Mercy"), place(2, "CA - Mercy")]
    assert [each.entry for each in disambiguate(twins).values()] == [0, 0]


def test_twins_that_nothing_tells_apart_are_numbered_in_order():
    told = disambiguate([place(1), place(2, kind="athena"), place(3, "MERCY")])
    assert (told["1"].entry, told["1"].entries) == (1, 2)
    assert told["2"].entry == 0
    assert (told["3"].entry, told["3"].entries) == (2, 2)
