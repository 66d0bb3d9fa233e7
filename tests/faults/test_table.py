"""The table is whole: each fault case is named in the id of a test, to be run alone."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CASES = (*range(1, 54), 55, 57, *range(59, 63), *range(64, 75))
NAMED = re.compile(r"case[-_](\d+)[-_]")
WHERE = (
    *(f"tests/{name}" for name in ("admin", "api", "faults", "management", "views", "worlds")),
    "tests/test_checks.py",
)


@pytest.fixture(scope="module")
def cases_named() -> set[int]:
    """The cases in the ids that pytest gives the tests: what stands in a text runs nothing."""
    options = ("--collect-only", "--quiet", "-p", "no:cacheprovider", "-p", "no:xdist")
    collected = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *WHERE],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return {int(number) for number in NAMED.findall(collected.stdout)}


@pytest.mark.parametrize("case", CASES)
def test_case_has_a_test(case, cases_named):
    assert case in cases_named
