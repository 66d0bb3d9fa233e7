"""Facilities of one name are told apart by as little as is needed."""

from __future__ import annotations

from medblocks_connect.api import FhirSource
from medblocks_connect.facilities.disambiguation import Difference, disambiguate


def facility(number, name="Mercy", kind="epic", portal=""):
    return FhirSource(str(number), name, kind, "", "", portal)


def test_facility_alone_of_its_name_has_no_difference():
    alone = facility(1, portal="https://mychart.example/")
    assert disambiguate([alone, facility(2, "Grace")])["1"] == Difference()


def test_facilities_of_one_name_differ_by_their_portals():
    facilities = [
        facility(1, portal="https://www.a.example/"),
        facility(2, portal="https://b.example/"),
    ]
    assert [each.host for each in disambiguate(facilities).values()] == ["a.example", "b.example"]


def test_facilities_of_different_states_are_not_numbered():
    facilities = [facility(1, "NY - Mercy"), facility(2, "CA - Mercy")]
    assert [each.entry for each in disambiguate(facilities).values()] == [0, 0]


def test_facilities_that_look_the_same_are_numbered_in_order():
    differences = disambiguate([facility(1), facility(2, kind="athena"), facility(3, "MERCY")])
    assert (differences["1"].entry, differences["1"].entries) == (1, 2)
    assert differences["2"].entry == 0
    assert (differences["3"].entry, differences["3"].entries) == (2, 2)
