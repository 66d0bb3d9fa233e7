"""The order among found names, and the size that a name suggests."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from medblocks_connect.facilities.matching import ranking
from medblocks_connect.facilities.matching.normalization import fold_fully
from medblocks_connect.facilities.matching.query import Query
from medblocks_connect.facilities.matching.ranking import (
    Size,
    guess_size,
    rank_in_catalog,
    rank_initials,
    rank_literal_match,
    rank_similarity,
    take_beginnings,
)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("Riverside Health System", Size.SYSTEM),
        ("Allegheny Health Network", Size.SYSTEM),
        ("Prisma Health", Size.SYSTEM),
        ("Emory Healthcare Inc", Size.SYSTEM),
        ("Brigham and Women's Hospital", Size.HOSPITAL),
        ("The University of Texas MD Anderson Cancer Center", Size.HOSPITAL),
        ("Family Medical Center", Size.HOSPITAL),
        ("Baptist Medical Network", Size.UNKNOWN),
        ("Ortho Partners", Size.UNKNOWN),
        ("Riverside Women's Care", Size.PRACTICE),
        ("University Dermatology, P.C.", Size.PRACTICE),
        ("Dr. J. B. Smith", Size.PRACTICE),
        ("Northwell Health - PROD01", Size.PRACTICE),
        ("Dev Patel MD", Size.PRACTICE),
        ("Epic Dev Env", Size.TRIAL),
        ("Alta Hospitals System - TEST", Size.TRIAL),
        ("Northwell Health QA", Size.TRIAL),
        ("Unit Tests: Epic Sandbox", Size.TRIAL),
        ("ZZZ Old Clinic", Size.TRIAL),
        ("NORTHWEST WOMAN CARE, LLC (TERMED)", Size.TRIAL),
        ("Allergy Testing Center", Size.UNKNOWN),
    ],
)
def test_name_suggests_its_size(name, size):
    assert guess_size(fold_fully(name), "") is size


def test_record_system_of_hospitals_makes_a_hospital():
    assert guess_size("riverside", "epic") is Size.HOSPITAL


def rank(text="riverside clinic", typed="riverside", **changes):
    values = {"size": Size.UNKNOWN, "times_chosen": 0, "number": 5, **changes}
    return rank_literal_match(Query.of(typed), f" {text}", **values)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (rank("riverside"), rank()),
        (rank(), rank("lake riverside clinic")),
        (rank(), rank(size=Size.TRIAL)),
        (rank(size=Size.SYSTEM), rank(size=Size.PRACTICE, times_chosen=9)),
        (rank(times_chosen=1, number=6), rank()),
        (rank(number=4), rank()),
        (rank("lake riverside\n ny", typed="ny riverside"), rank("riverside\n ca", "ny riverside")),
    ],
    ids=["exact", "beginning", "no-trial", "larger", "chosen", "number", "state"],
)
def test_literal_match_that_is_better_ranks_first(first, second):
    assert first < second


def test_more_similar_name_ranks_before_the_more_chosen():
    assert rank_similarity(0.9, 0, 5) < rank_similarity(0.8, 7, 1)


def test_whole_initials_rank_before_the_more_chosen():
    whole = rank_initials(is_whole=True, times_chosen=0, number=5)
    assert whole < rank_initials(is_whole=False, times_chosen=7, number=1)


def test_whole_beginnings_are_taken_before_lower_numbers():
    assert take_beginnings([8, 9], [7, 3, 5], 4) == [8, 9, 3, 5]


def test_catalog_numbers_large_before_small_and_short_before_long():
    names = ["dover clinic llc", "dover clinic north", "dover clinic", "dover health system"]
    ranks = sorted(rank_in_catalog(name, "", "", 0) for name in names)
    assert [each.folded for each in ranks] == [names[3], names[2], names[1], names[0]]


def test_ranking_knows_no_index():
    tree = ast.parse(Path(ranking.__file__).read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert "medblocks_connect.facilities.matching.index" not in imported
