"""The table is whole: each of the 47 fault cases is named by a test that can be run alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CASES = range(1, 48)
NAMED = re.compile(r"case[-_](\d+)")


def cases_named() -> set[int]:
    found: set[int] = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        found |= {int(number) for number in NAMED.findall(path.read_text(encoding="utf-8"))}
    webhooks = Path(__file__).parents[1] / "test_webhooks.py"
    return found | {int(number) for number in NAMED.findall(webhooks.read_text(encoding="utf-8"))}


@pytest.mark.parametrize("case", CASES)
def test_case_has_a_test(case):
    assert case in cases_named()
