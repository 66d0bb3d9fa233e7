"""A 6th grader can read each text that patients see (Flesch-Kincaid grade, as textstat counts it).

Each text stands alone, so that an easy one hides no hard one. Of fewer than six words the formula
measures little but the longest: a title or a button may have words that patients know from there,
such as "disconnected", and none that is longer.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import textstat

import medblocks_connect
from medblocks_connect import error_messages

HIGHEST_GRADE = 6
FEWEST_WORDS = 6
MOST_SYLLABLES = 4
TEMPLATES = Path(medblocks_connect.__file__).parent / "templates" / "medblocks_connect"
TRANSLATED = re.compile(
    r'\{% translate "(?P<one>[^"]+)"|\{% blocktranslate[^%]*%\}(?P<block>.*?)\{% endblocktranslate',
    re.DOTALL,
)
FOR_PATIENTS = ("title", "what_happened", "what_to_do")


def read_messages() -> set[str]:
    codes = ["brand_new_code", *error_messages.ERROR_MESSAGES]
    told = [
        error_messages.describe_error(code, at_start=at_start)
        for code in codes
        for at_start in (False, True)
    ]
    return {str(getattr(each, name)) for each in told for name in FOR_PATIENTS}


def read_template(template: Path) -> set[str]:
    found = TRANSLATED.finditer(template.read_text(encoding="utf-8"))
    blocks = [each["one"] or each["block"] for each in found]
    return {make_plain(text) for block in blocks for text in block.split("{% plural %}")}


def make_plain(text: str) -> str:
    """Put a number for what is filled in, and leave out names in quotes."""
    text = re.sub(r"\{\{.*?\}\}", "5", re.sub(r"<.*?>", "", text))
    return " ".join(re.sub("“.*?”", "", text).split())


def grade(text: str) -> float:
    return textstat.flesch_kincaid_grade(text if text.endswith((".", "?")) else f"{text}.")


TEXTS = sorted(read_messages().union(*map(read_template, TEMPLATES.rglob("*.html"))))


@pytest.mark.parametrize("text", [each for each in TEXTS if len(each.split()) >= FEWEST_WORDS])
def test_text_is_easy_to_read(text):
    assert grade(text) <= HIGHEST_GRADE


@pytest.mark.parametrize("text", [each for each in TEXTS if len(each.split()) < FEWEST_WORDS])
def test_short_text_has_no_long_word(text):
    assert [each for each in text.split() if textstat.syllable_count(each) > MOST_SYLLABLES] == []


@pytest.mark.parametrize(
    "text",
    [
        "Find the hospital or clinic where you were treated.",
        "This page looks again every 5 seconds.",
        "The portal could not finish your sign-in. You did nothing wrong.",
        "Disconnected",
    ],
)
def test_texts_are_really_read(text):
    assert text in TEXTS


def test_hard_text_is_found():
    hard = "Authorization of interoperability necessitates organizational verification procedures."
    assert grade(hard) > HIGHEST_GRADE
